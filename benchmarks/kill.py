"""Kill `zeekml watch` again and again while its log is written and rotated; count what is amiss.

    python benchmarks/kill.py --kills 1000 --seed 1

Every run has a log, a writer and a state of its own (see live_writer.py): TSV, JSON or EVE with
stretches of alerts alone, archived as zeekctl does or copied and truncated as logrotate does, in
turn; in every other run the sensor's clock is set back now and then. The watcher is killed with
SIGKILL at a random moment: one time in three while it starts, else some time after it has started;
the first ones of each run within the first seconds of a watch that has read nothing yet. When all
kills are done the writer ends, and a last watcher goes on until nothing comes any more. Then

- each record that was written must be in conn_scored.log once, told by its uid, and with the line
  that `zeekml score` gives it when it reads all of the log at once;
- notice.log must have the lines about flows that `zeekml score` writes, and no other;
- no incident may be named twice with the same number, no line of any output may be damaged.

Only the very first watcher of a run is left alone until it has noted where the log begins: what was
rotated before is not its business. Exit code 1 if anything is amiss; the files of such a run are
kept.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from kill_checks import Findings, check
from live_writer import FORMATS, HOLD, ROTATIONS, WRITTEN, log_of, make_directories
from measure import HERE, BenchmarkError, machine, zeekml_score
from watcher_process import START, WatcherProcess

KINDS: Final = [(f, r) for r in ROTATIONS for f in FORMATS]

_STARTS: Final = 1 / 3  # share of kills that come before the watcher is ready
_FIRST: Final = 3  # kills before anything has been read
_AT_FIRST: Final = 2.5  # most seconds from a start to one of these
_AT_WORK: Final = 2.0  # most seconds from being ready to a kill
_IDLE: Final = 2
_TOTALS: Final = ("lines", "rotations", "halves", "clock_steps", "alert_stretches", "notices")
_LAST: Final = 600.0
_PROGRESS_EVERY: Final = 15.0


@dataclass
class Run:
    """One log, and how often its watcher is killed."""

    number: int
    format: str
    rotation: str
    clock_steps: bool
    kills: int
    seed: str
    findings: Findings = field(default_factory=Findings)
    figures: dict[str, int] = field(default_factory=dict)


class Campaign:
    """All runs, with their files in `work`; for the rest see `--help`."""

    def __init__(
        self, work: Path, kills: int, per_run: int, seed: int, rate: float, *, clock_steps: bool
    ) -> None:
        self.runs: list[Run] = []
        for number in count():
            if kills <= 0:
                break
            kind = KINDS[number % len(KINDS)]
            # each kind with steps and without
            steps = clock_steps and (number + number // len(KINDS)) % 2 == 0
            self.runs.append(Run(number, *kind, steps, min(kills, per_run), f"{seed}/{number}"))
            kills -= per_run
        self._work, self._rate = work, rate
        self._kills = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def carry_out(self, parallel: int) -> None:
        """Do all runs, some at a time."""
        with ThreadPoolExecutor(parallel) as pool, self._progress():
            try:
                for future in [pool.submit(self._carry_out, run) for run in self.runs]:
                    future.result()
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _carry_out(self, run: Run) -> None:
        directory = self._work / f"run-{run.number}"
        make_directories(directory)
        rng = random.Random(run.seed)
        config, noted = directory / "zeekml.toml", directory / "noted"
        config.write_text(f"suricata_hold = {HOLD}\n")
        options = ("--enriched", "--config", str(config))
        watcher = WatcherProcess(directory, directory / log_of(run.format), *options)
        writer: subprocess.Popen[bytes] | None = None
        try:
            writer = self._start_writer(directory, run, rng, noted)
            watcher.start()
            watcher.wait_until_noted(START)
            noted.touch()
            for _ in range(min(_FIRST, run.kills)):
                time.sleep(rng.uniform(0, _AT_FIRST))
                self._kill(watcher, run)
            watcher.wait_until_ready(START)
            if not watcher.is_ready:
                raise BenchmarkError(f"the first watcher has ended: {watcher.last()}")
            watcher.slowest_start = 0.0
            self._kill_again_and_again(watcher, run, rng)
            if not self._stop.is_set():
                run.figures |= _end(writer)
                self._finish(watcher, run)
                self._compare(directory, run)
                amiss = {name: n for name, n in asdict(run.findings).items() if n}
                print(
                    f"run {_named(run)}, {run.kills} kills: "
                    f"{amiss or 'nothing amiss'}; {run.figures}",
                    file=sys.stderr,
                )
        finally:
            watcher.close()
            if writer is not None and writer.poll() is None:
                writer.kill()
                writer.wait()
        if not run.findings.any:
            shutil.rmtree(directory)

    def _start_writer(
        self, directory: Path, run: Run, rng: random.Random, noted: Path
    ) -> subprocess.Popen[bytes]:
        command: list[str | Path] = [sys.executable, HERE / "live_writer.py", directory]
        command += ["--format", run.format]
        command += ["--rotation", run.rotation, "--rate", str(self._rate)]
        command += ["--seed", str(rng.randrange(1 << 30)), "--hold", noted]
        command += ["--clock-steps"] if run.clock_steps else []
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        while not (directory / log_of(run.format)).exists() and writer.poll() is None:
            time.sleep(0.01)
        return writer

    def _kill_again_and_again(self, watcher: WatcherProcess, run: Run, rng: random.Random) -> None:
        for _ in range(run.kills - _FIRST):
            if self._stop.is_set():
                return
            if rng.random() < _STARTS:
                time.sleep(rng.uniform(0, watcher.slowest_start))
            else:
                watcher.wait_until_ready(START)
                time.sleep(rng.uniform(0, _AT_WORK))
            self._kill(watcher, run)
        watcher.kill()
        run.figures["slowest_start_ms"] = round(watcher.slowest_start * 1000)

    def _kill(self, watcher: WatcherProcess, run: Run) -> None:
        run.findings.died += not watcher.kill()
        if run.findings.died > 3:
            raise BenchmarkError(f"watchers die by themselves: {watcher.last()}")
        with self._lock:
            self._kills += 1
        watcher.start()

    def _finish(self, watcher: WatcherProcess, run: Run) -> None:
        """Let a last watcher come to the end."""
        watcher.start("--until-idle", str(_IDLE))
        assert watcher.process is not None
        try:
            status = watcher.process.wait(_LAST)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"the last watcher does not end: {watcher.last()}") from None
        if status != 0:
            raise BenchmarkError(f"the last watcher: exit code {status}: {watcher.last()}")

    def _compare(self, directory: Path, run: Run) -> None:
        died = run.findings.died
        config = str(directory / "zeekml.toml")
        zeekml_score(directory / WRITTEN, directory / "scored", "--enriched", "--config", config)
        out = directory / "out"
        run.findings, figures = check(directory / WRITTEN, out, directory / "scored")
        run.findings.died = died
        run.figures |= figures

    @contextmanager
    def _progress(self) -> Iterator[None]:
        done = threading.Event()
        total = sum(run.kills for run in self.runs)
        begun = time.monotonic()

        def tell() -> None:
            while not done.wait(_PROGRESS_EVERY):
                seconds = time.monotonic() - begun
                print(f"{seconds:6.0f} s: {self._kills} of {total} kills", file=sys.stderr)

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _end(writer: subprocess.Popen[bytes]) -> dict[str, int]:
    writer.send_signal(signal.SIGTERM)
    output, _ = writer.communicate()
    if writer.returncode != 0:
        raise BenchmarkError(f"the writer: exit code {writer.returncode}")
    figures: dict[str, int] = json.loads(output)
    return figures


def _named(run: Run) -> str:
    steps = ", clock steps" if run.clock_steps else ""
    return f"{run.number} ({run.format}, {run.rotation}{steps})"


def summary(runs: list[Run]) -> dict[str, Any]:
    """All figures."""
    findings, totals = Findings(), dict.fromkeys(_TOTALS, 0)
    for run in runs:
        findings.add(run.findings)
        for name in totals:
            totals[name] += run.figures.get(name, 0)
    return {
        **machine(),
        "kills": sum(run.kills for run in runs),
        **totals,
        "slowest_start": max(run.figures["slowest_start_ms"] for run in runs) / 1000,
        "amiss": asdict(findings),
    }


def report(figures: dict[str, Any], runs: list[Run]) -> str:
    """The figures in words."""
    lines = [
        f"{figures['kills']:,} kills while {figures['lines']:,} records were written, "
        f"{figures['halves']:,} times with a pause within a line, and {figures['rotations']:,} "
        f"times rotated; the clock was set back {figures['clock_steps']:,} times, and "
        f"{figures['alert_stretches']:,} times there were alerts alone",
        f"{figures['notices']:,} notices compared",
        f"{figures['slowest_start']:.1f} s for the slowest start",
    ]
    lines += [f"{name.replace('_', ' ')}: {n:,}" for name, n in figures["amiss"].items()]
    lines += [f"run {_named(run)}: {run.findings}" for run in runs if run.findings.any]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--per-run", type=int, default=125, help="kills of one log's watchers")
    parser.add_argument("--parallel", type=int, default=2, help="runs at the same time")
    parser.add_argument("--rate", type=float, default=150.0, help="records per second and log")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="where logs and outputs go [the system's place]")
    parser.add_argument(
        "--no-clock-steps", action="store_true", help="never set the sensor's clock back"
    )
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args()
    if min(given.kills, given.per_run, given.parallel) < 1 or given.rate <= 0:
        parser.error("--kills, --per-run, --parallel and --rate must be positive")
    work = Path(tempfile.mkdtemp(prefix="zeekml-kill-", dir=given.work))
    campaign = Campaign(
        work,
        given.kills,
        given.per_run,
        given.seed,
        given.rate,
        clock_steps=not given.no_clock_steps,
    )
    try:
        campaign.carry_out(given.parallel)
    except BenchmarkError as error:
        sys.exit(f"kill.py: {error}")
    figures = summary(campaign.runs)
    print(json.dumps(figures, indent=2) if given.as_json else report(figures, campaign.runs))
    if any(figures["amiss"].values()):
        print(f"files of the runs in which something is amiss: {work}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
