"""Damage real logs at random, read them, and check what must hold whatever the damage.

    python benchmarks/fuzz.py --mutations 1000000 --seed 1 [--jobs N] [--first FILE]

Each file is made of some lines of a log of our lab (Zeek's TSV, Zeek's JSON or Suricata's EVE) by
one to a dozen mutations, and sent through recognition, decompression and decoding. It fails when

- anything is raised but the refusal of a file in which nothing sound is left to recognise;
- a record is counted in no place or in two, or a reject names a line that is not there;
- a flow is not valid in the schema: times finite, ports and counts in range, texts printable;
- a line that was not touched is lost, or read with another value;
- the same bytes in other pieces give other results.

File number N of a seed is always the same, whatever the number of jobs, so a failure is repeated
by ``--first N --mutations 1``. What is done to files is in fuzz_cases.py, what must hold in
fuzz_checks.py.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import count

from fuzz_cases import Case, Log, make_case
from fuzz_checks import LOGS, InvariantError, Reading, check, load_logs, read_as

__all__ = ["LOGS", "InvariantError", "check", "load_logs", "make_case", "read_as", "run"]

CHUNK = 100  # files that a process takes at a time
MOST_FAILURES = 50  # after which nothing new is to be learnt
PROGRESS_EVERY = 10.0  # seconds


def run(
    logs: list[Log], seed: int, mutations: int, first: int = 0
) -> Iterator[tuple[int, Case, Reading | InvariantError | None]]:
    """Make and read files until that many mutations were done.

    Yields
    ------
    number, case, outcome
        The outcome is what was read, None for a refused file, or what does not hold.
    """
    number = first
    while mutations > 0:
        case = make_case(logs, seed, number)
        yield number, case, _outcome(case, seed, number)
        mutations -= len(case.damages)
        number += 1


def _outcome(case: Case, seed: int, number: int) -> Reading | InvariantError | None:
    try:
        return check(case, random.Random(number))
    except Exception as error:
        return InvariantError(
            f"file {number} of seed {seed} ({case.log.kind}: {', '.join(case.damages)}): "
            f"{type(error).__name__}: {str(error)[:1000]}"
        )


@dataclass
class Tally:
    """What came of some files."""

    files: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def mutations(self) -> int:
        return self.damages.total()

    def add(self, case: Case, outcome: Reading | InvariantError | None) -> None:
        self.damages.update(case.damages)
        self.files["all"] += 1
        self.records["untouched"] += len(case.untouched)
        if isinstance(outcome, InvariantError):
            self.failures.append(str(outcome))
        elif outcome is None:
            self.files["refused"] += 1
        else:
            self.records["accepted"] += outcome.counters.accepted
            self.records["skipped"] += sum(outcome.counters.skipped.values())
            self.records.update(outcome.counters.rejected)

    def merge(self, other: Tally) -> None:
        self.files += other.files
        self.records += other.records
        self.damages += other.damages
        self.failures += other.failures


_logs: list[Log] = []  # of a worker process


def _chunk(seed: int, first: int, mutations: int | None = None) -> Tally:
    """Work on `CHUNK` files, or on as many as it takes for so many mutations."""
    if not _logs:
        _logs.extend(load_logs())
    tally = Tally()
    for number, case, outcome in run(_logs, seed, mutations or sys.maxsize, first):
        tally.add(case, outcome)
        if mutations is None and number + 1 == first + CHUNK:
            break
    return tally


def tallies(seed: int, mutations: int, first: int, jobs: int) -> Iterator[Tally]:
    """Results chunk by chunk, in order, until that many mutations were done.

    Few mutations are done exactly, many are rounded up to whole chunks.
    """
    if mutations <= CHUNK:
        yield _chunk(seed, first, mutations)
        return
    starts = count(first, CHUNK)
    left = mutations
    if jobs == 1:
        while left > 0:
            tally = _chunk(seed, next(starts))
            left -= tally.mutations
            yield tally
        return
    # spawn: Arrow's threads do not survive a fork
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        pending: list[Future[Tally]] = []
        while left > 0:
            while len(pending) < 2 * jobs:
                pending.append(pool.submit(_chunk, seed, next(starts)))
            tally = pending.pop(0).result()
            left -= tally.mutations
            yield tally
        for future in pending:
            future.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description="Damage logs at random and check the readers.")
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes [one per core]"
    )
    given = parser.parse_args()
    if min(given.mutations, given.jobs) < 1:
        parser.error("--mutations and --jobs must be positive")
    total = Tally()
    begun = last = time.monotonic()
    for tally in tallies(given.seed, given.mutations, given.first, given.jobs):
        total.merge(tally)
        for failure in tally.failures:
            print(failure, file=sys.stderr)
        now = time.monotonic()
        if now - last > PROGRESS_EVERY:
            last = now
            speed = total.mutations / (now - begun)
            left = max(0.0, (given.mutations - total.mutations) / speed)
            print(
                f"{total.mutations:,} of {given.mutations:,} mutations, "
                f"{len(total.failures)} files failed, {speed:,.0f}/s, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
        if len(total.failures) >= MOST_FAILURES:
            print("too many failures: stopped", file=sys.stderr)
            break
    print(
        f"{total.mutations:,} mutations in {total.files['all']:,} files, "
        f"{total.files['refused']:,} of them refused, {len(total.failures):,} failed, "
        f"{time.monotonic() - begun:.0f} s"
    )
    print("mutations: " + ", ".join(f"{n:,} {what}" for what, n in total.damages.most_common()))
    print("lines: " + ", ".join(f"{n:,} {what}" for what, n in total.records.most_common()))
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
