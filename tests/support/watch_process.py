"""`zeekml watch` in a process of its own, and the log that it follows."""

from __future__ import annotations

import datetime
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import Signals
from typing import Any, Final

from traffic import Traffic, number_in

from zeekml.live.state.reader import StateReader
from zeekml.outputs import ENRICHED, NOTICE_LOG
from zeekml.readers.rejects import ReadCounters

ROOT: Final = Path(__file__).parents[2]
HOUR: Final = datetime.timedelta(hours=1)
PATIENCE: Final = 60.0
"""Seconds in which whatever is waited for must have happened, on however busy a machine."""


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for something."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"still not: {what}"
        time.sleep(0.05)


def zeekml(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run zeekml to its end."""
    return subprocess.run(
        [sys.executable, "-m", "zeekml", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=PATIENCE,
        check=False,
    )


class WatchProcess:
    """A watcher with enriched records.

    Parameters
    ----------
    out, state
        Its directories.
    options
        More for its command line, the log to follow among them.
    before
        What stands before Python in the command.
    environment
        Another than this process's.
    """

    def __init__(
        self,
        out: Path,
        state: Path,
        *options: str | Path,
        before: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.out, self.state = out, state
        self.kept: dict[str, list[bytes]] = {NOTICE_LOG: [], ENRICHED: []}
        self._stderr = state.with_name("watch.stderr")
        self._command = [*before, sys.executable, "-m", "zeekml", "watch", "--enriched"]
        self._command += ["--out", str(out), "--state", str(state), *map(str, options)]
        self._environment = environment or dict(os.environ)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it, and wait until it has begun."""
        before = self.said("stopped")
        with self._stderr.open("ab") as errors:
            self._process = subprocess.Popen(
                [*self._command, *options],
                stderr=errors,
                cwd="/",
                env={**self._environment, "PYTHONPATH": str(ROOT)},
            )
        until(
            lambda: self.text.count(" follows: ") > before or not self.runs,
            "started",
        )

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self._stderr.read_text() if self._stderr.exists() else ""

    def said(self, what: str) -> int:
        """How often it has said something."""
        return self.text.count(what)

    def wait_for(self, what: str, times: int = 1) -> None:
        """Wait until it says something."""
        until(lambda: self.said(what) >= times or not self.runs, f"{what!r} in {self.text}")
        assert self.runs, self.text

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: Signals | None = None) -> int:
        """Send a signal and wait for the end; return the exit code."""
        assert self._process is not None
        if number is not None:
            self._process.send_signal(number)
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        if self.runs:
            self.end(signal.SIGKILL)

    # -- its outputs -----------------------------------------------------------------------------

    @property
    def committed(self) -> int:
        """How many records it has read, as far as its state knows."""
        return sum(counters.accepted for counters in self.counters)

    @property
    def counters(self) -> list[ReadCounters]:
        """What its state knows of each stream's records."""
        reader = StateReader(self.state)
        try:
            return [stream.counters for stream in reader.records().values()]
        finally:
            reader.close()

    def keep_output(self, name: str) -> None:
        """Remember what is in an output that is about to go.

        What is not committed by then would be written again, and rightly so.
        """
        until(lambda: self.committed >= self.scored.total(), "all that is written is committed")
        self.kept[name] += (self.out / name).read_bytes().splitlines(keepends=True)

    def lines(self, name: str) -> list[bytes]:
        """The lines of an output, and of what was kept of it."""
        path = self.out / name
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [*self.kept[name], *lines]

    @property
    def scored(self) -> Counter[int | None]:
        """Numbers of the records that were scored."""
        return Counter(map(number_in, self.lines(ENRICHED)))

    def has_scored(self, last: int) -> None:
        """Wait until all records up to a number are scored; none may be twice."""
        wanted: Counter[int | None] = Counter(range(1, last + 1))
        until(lambda: self.scored.total() >= last or not self.runs, f"{last} in {self.text}")
        scored = self.scored
        assert scored == wanted, f"missing {wanted - scored}, more {scored - wanted}: {self.text}"

    def notices(self) -> list[bytes]:
        """The notices about flows."""
        return of_flows(self.lines(NOTICE_LOG))


class Log:
    """A conn.log as Zeek writes it, of the records of `Traffic`.

    Attributes
    ----------
    written
        Number of the last record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0
        self._opened = datetime.datetime(2026, 9, 21)
        self._traffic = Traffic("tsv")
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, records: int) -> None:
        """Add records, to a new file with a header."""
        with self.path.open("ab") as file:
            if file.tell() == 0:
                file.write(self._traffic.header(0, f"{self._opened:%Y-%m-%d-%H-%M-%S}"))
            for _ in range(records):
                self.written += 1
                file.write(self._traffic.line(self.written))

    def rotate(self) -> None:
        """Move the file away, as Zeek does."""
        self.path.rename(self.path.with_name(f"conn.{self._opened:%Y-%m-%d-%H-%M-%S}.log"))
        self._opened += HOUR

    def archive(self) -> None:
        """Move the file away and pack it, as zeekctl does."""
        day = self.path.parent.parent / f"{self._opened:%Y-%m-%d}"
        day.mkdir(exist_ok=True)
        span = f"{self._opened:%H:%M:%S}-{self._opened + HOUR:%H:%M:%S}"
        (day / f"conn.{span}.log.gz").write_bytes(gzip.compress(self.path.read_bytes()))
        self.path.unlink()
        self._opened += HOUR

    def whole(self, path: Path) -> Path:
        """All records in one file."""
        other = Log(path)
        other.write(self.written)
        return path


def of_flows(lines: list[bytes]) -> list[bytes]:
    """Those lines of a notice.log that are not about the watcher and its sensor."""
    return [line for line in lines if not json.loads(line)["note"].startswith("ZeekML::Sensor_")]
