"""Write a Zeek conn.log at a steady rate, with an attack now and then, and note when.

    python benchmarks/volume_writer.py conn.log stamps.npz --rate 5000 --seconds 600

Ordinary records of `sample_logs/` are replayed with other hosts, which take turns (see replay.py);
log time runs `--speedup` times as fast as the clock. Attacks are labelled episodes of the sample,
at the pace of log time, each with hosts that nobody has seen before.

stamps.npz tells how many records had been written (`lines`) just before the log was written to,
and when that was (`seconds`, on the clock of time.monotonic); `attacks` are the uids of the records
of attacks. Prints one JSON object: records, attacks, and by how many seconds writing was late.
"""

from __future__ import annotations

import argparse
import heapq
import json
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
from replay import SAMPLES, Record, Sample, Shape, read_episodes, read_zeek_json, read_zeek_tsv

EPISODES: Final = ("office-20", "office-22", "office-24", "office-29")
"""A scan of a network, guessing at FTP, a scan with odd flags, and guessing at a web page."""

_TICK: Final = 0.02
_NEVER: Final = 1 << 40
_LOCAL: Final = 10 << 24 | 200 << 16
_REMOTE: Final = 150 << 24


class Attacks:
    """Makes attacks out of the sample's episodes, one after the other in turn."""

    def __init__(self, records: Sequence[Record]) -> None:
        episodes = {episode.name: episode for episode in read_episodes(SAMPLES / "labels.csv")}
        self._episodes = [
            [record for record in records if episodes[name].has(record)] for name in EPISODES
        ]
        self._next = {True: _LOCAL, False: _REMOTE}
        self.uids: list[str] = []
        self.made = 0

    def make(self) -> Iterator[tuple[int, int, str]]:
        """Yield the records of the next attack.

        Yields
        ------
        offset, duration, record
            Microseconds from the attack's begin to the flow's end, and what the flow took; a
            record with the place of its time in braces.
        """
        records = self._episodes[self.made % len(self._episodes)]
        first = min(record.end for record in records)
        hosts: dict[str, str] = {}
        for record in records:
            orig, resp = (self._host(hosts, name) for name in (record.orig, record.resp))
            uid = f"{record.uid[:-6]}{self.made:06}"
            self.uids.append(uid)
            before, *between = record.text
            after = between[0] + uid + between[1] + orig + between[2] + resp + between[3]
            yield record.end - first, record.end - record.start, f"{before}{{}}{after}"
        self.made += 1

    def _host(self, hosts: dict[str, str], name: str) -> str:
        if name not in hosts:
            local = name.startswith("10.")
            number = self._next[local] = self._next[local] + 1
            hosts[name] = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
        return hosts[name]


class Schedule:
    """The records of attacks, in the order of the times at which they are due."""

    def __init__(self, attacks: Attacks, every: float, speedup: float, log_begin: int) -> None:
        self._attacks, self._every, self._speedup = attacks, every, speedup
        self._log_begin = log_begin
        self._next = every
        self._due: list[tuple[float, int, str]] = []
        self._order = count()

    def until(self, seconds: float) -> str:
        """The records that are due so long after the begin."""
        while self._every > 0 and self._next <= seconds:
            for offset, duration, text in self._attacks.make():
                due = self._next + offset / 1e6 / self._speedup
                end = self._log_begin + round(due * self._speedup * 1e6)
                start = end - duration
                stamp = f"{start // 1_000_000}.{start % 1_000_000:06}"
                heapq.heappush(self._due, (due, next(self._order), text.replace("{}", stamp, 1)))
            self._next += self._every
        found = []
        while self._due and self._due[0][0] <= seconds:
            found.append(heapq.heappop(self._due)[2])
        return "".join(found)


def write(log: Path, stamps: Path, sample: Sample, given: argparse.Namespace) -> dict[str, object]:
    """Write the log; returns what main() prints."""
    shape = Shape(given.hosts, given.rate / given.speedup, _NEVER)
    attacks = Attacks(sample.records)
    schedule = Schedule(attacks, given.attack_every, given.speedup, sample.begin(1, shape))
    replays: queue.Queue[list[str]] = queue.Queue(2)

    def prepare() -> None:
        for number in count(1):
            replays.put(list(sample.replay(number, shape)))

    threading.Thread(target=prepare, daemon=True).start()
    waiting: list[str] = []
    done = ordinary = 0
    lines, seconds, late = [], [], 0.0
    total = round(given.rate * given.seconds)
    sys.setswitchinterval(0.001)  # whoever prepares must not hold up who writes
    with log.open("ab", buffering=0) as file:
        file.write(sample.header.encode())
        begin = time.monotonic()
        while ordinary < total:
            now = time.monotonic() - begin
            wanted = min(round(now * given.rate), total) - ordinary
            while len(waiting) < wanted:
                waiting += replays.get()
            text = "".join(waiting[:wanted]) + schedule.until(now)
            del waiting[:wanted]
            data = text.encode()
            lines.append(done)
            seconds.append(time.monotonic())
            late = max(late, seconds[-1] - begin - now)
            while data:
                data = data[file.write(data) :]
            ordinary += wanted
            done += text.count("\n")
            time.sleep(max(now + _TICK - (time.monotonic() - begin), 0))
    np.savez(
        stamps, lines=np.array(lines), seconds=np.array(seconds), attacks=np.array(attacks.uids)
    )
    return {"records": done, "attacks": attacks.made, "late": late}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("stamps", type=Path)
    parser.add_argument("--rate", type=float, default=5000.0, help="ordinary records per second")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--speedup", type=float, default=6.0, help="of log time")
    parser.add_argument("--hosts", type=int, default=1_000_000)
    parser.add_argument("--attack-every", type=float, default=2.0, help="seconds; 0 for never")
    parser.add_argument("--format", choices=("tsv", "json"), default="tsv", dest="format_")
    given = parser.parse_args()
    if given.format_ == "tsv":
        sample = read_zeek_tsv(SAMPLES / "zeek_tsv" / "conn.log")
    else:
        sample = read_zeek_json(SAMPLES / "zeek_json" / "conn.log.gz")
    print(json.dumps(write(given.log, given.stamps, sample, given)))


if __name__ == "__main__":
    main()
