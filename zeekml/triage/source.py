"""Where the dashboard has things from: a watch's state, or the outputs of a run."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from zeekml.core.text import printable
from zeekml.errors import DataError, InputError
from zeekml.live.state.labels import Label, present_labels
from zeekml.live.state.reader import StateReader
from zeekml.live.state.status import Problem
from zeekml.outputs import NOTICE_LOG, SUMMARY
from zeekml.triage.incident_list import Board
from zeekml.triage.lookup import ExplainedLine, find_incident
from zeekml.triage.notice_reader import read_line

_RATE_OVER: Final = 10.0  # seconds
_DAY: Final = 86_400.0
_MAX_LINE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Health:
    """How reading goes.

    Attributes
    ----------
    inputs
        Names of the streams.
    records, rejected, silenced
        Totals: lines read, those that could not be, incidents silenced by the allowlist.
    rate
        Records per second of late; None if not known.
    last_ts
        Time of the newest record, epoch seconds.
    bundle
        Digest of the models, as far as known.
    thresholds
        By threat, as far as known.
    lag
        Seconds by which reading was behind the logs at the last commit; None if not known.
    today, budget
        Incidents that began on the day of the newest record (UTC), and how many a day the bundle
        was calibrated for; None if it was not.
    """

    inputs: tuple[str, ...] = ()
    records: int = 0
    rejected: int = 0
    silenced: int = 0
    rate: float | None = None
    last_ts: float | None = None
    bundle: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    lag: float | None = None
    today: int = 0
    budget: float | None = None


class Source(Protocol):
    """What the dashboard looks at."""

    @property
    def name(self) -> str:
        """What it is, for people."""

    @property
    def live(self) -> bool:
        """Whether more is to come."""

    @property
    def state(self) -> Path | None:
        """Where labels are kept; None if nowhere."""

    board: Board
    health: Health
    labels: dict[str, Label]

    def poll(self) -> bool:
        """Look; tell whether anything changed.

        Raises
        ------
        InputError, OutputError
            It cannot be read (any more).
        """

    def lines(self, incident: str) -> list[ExplainedLine]:
        """What the lines of an incident rest on, as far as it is kept."""

    def evidence(self, incident: str) -> bytes | None:
        """What the first of them rests on, as JSON, to be kept with a label."""

    def close(self) -> None:
        """Let go of the files."""


class StateSource:
    """The state of a watch, running or not.

    Parameters
    ----------
    directory
        The state directory.
    clock
        Seconds that never go backwards, for the rate.

    Raises
    ------
    InputError
        As for `StateReader`.
    """

    live = True

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._reader = StateReader(directory)
        self._clock = clock
        self._version = -1
        self._number = 0
        self._label_stamp: tuple[int, ...] = ()
        self._reads: deque[tuple[float, int]] = deque()
        self.state: Path | None = directory
        self.name = printable(str(directory), 200)
        self.board = Board()
        self.health = Health()
        self.labels: dict[str, Label] = {}

    def poll(self) -> bool:
        """Look for what the watcher committed since; see `Source.poll`."""
        changed = self._look_at_labels()
        version = self._reader.version()
        if version != self._version:
            # asked for before the rest: a commit in between is seen at the next look
            self._version = version
            for number, stream, line in self._reader.incidents(self._number):
                self._number = number
                if (read := read_line(line)) is not None:
                    self.board.add(read, printable(stream, 200))
            changed = True
        return self._look_at_health(changed) or changed

    def lines(self, incident: str) -> list[ExplainedLine]:
        """See `Source.lines`."""
        try:
            return find_incident(incident, state=self._directory)
        except (InputError, DataError):
            return []

    def evidence(self, incident: str) -> bytes | None:
        """See `Source.evidence`."""
        return self._reader.evidence(incident)

    def close(self) -> None:
        """Let go of the state."""
        self._reader.close()

    def _look_at_health(self, changed: bool) -> bool:
        now = self._clock()
        if not changed and (not self._reads or not self.health.rate):
            return False
        before = self.health
        records = self._reader.records()
        total = sum(r.counters.records_read for r in records.values())
        self._reads.append((now, total))
        while len(self._reads) > 2 and self._reads[1][0] <= now - _RATE_OVER:
            self._reads.popleft()
        since, then = self._reads[0]
        times = [r.counters.last_ts for r in records.values() if r.counters.last_ts is not None]
        newest = self.board.newest
        last_ts = max(times, default=None)
        about = self._reader.about()
        self.health = Health(
            inputs=tuple(printable(name, 200) for name in records),
            records=total,
            rejected=sum(sum(r.counters.rejected.values()) for r in records.values()),
            silenced=sum(r.silenced for r in records.values()),
            rate=(total - then) / (now - since) if now > since else None,
            last_ts=last_ts,
            bundle=about.bundle if about else newest.bundle if newest else "",
            thresholds=about.thresholds if about else _told_thresholds(self.board),
            lag=about.lag if about else None,
            today=_on_day_of(self.board, last_ts),
            budget=about.notices_per_day if about else None,
        )
        if about is not None:
            self.board.take_problems(
                Problem(
                    printable(p.id, 40), p.ts, printable(p.severity, 20), printable(p.msg, 1000)
                )
                for p in about.problems
            )
        return self.health != before

    def _look_at_labels(self) -> bool:
        assert self.state is not None
        stamp = []
        for path in sorted(self.state.glob("labels.sqlite*")):
            try:
                status = path.stat()
            except FileNotFoundError:  # a journal that was there for a moment
                continue
            stamp += [status.st_ino, status.st_size, status.st_mtime_ns]
        if tuple(stamp) == self._label_stamp:
            return False
        self._label_stamp = tuple(stamp)
        self.labels = {label.id: label for label in present_labels(self.state)}
        return True


class OutputSource:
    """The outputs of a finished run (or of a watch: what is appended is read too).

    Raises
    ------
    InputError
        There is no notice.log, or it cannot be read.
    """

    state: Path | None = None

    def __init__(self, directory: Path) -> None:
        self._log = directory / NOTICE_LOG
        self._summary = directory / SUMMARY
        self._file: BinaryIO | None = None
        self._identity: tuple[int, int] | None = None
        self.name = printable(str(directory), 200)
        self.board = Board()
        self.health = Health()
        self.labels: dict[str, Label] = {}
        # opened here, so that a wrong directory is an error at once
        self._reopen()

    @property
    def live(self) -> bool:
        """A run that is over has a summary."""
        return not self._summary.exists()

    def poll(self) -> bool:
        """Read what was appended, or all anew if the file was replaced; see `Source.poll`."""
        try:
            status = self._log.stat()
        except FileNotFoundError:
            return False  # between two files
        except OSError as error:
            raise InputError(f"{printable(str(self._log), 4096)}: {error.strerror}") from error
        assert self._file is not None
        replaced = self._identity != (status.st_dev, status.st_ino)
        if replaced or status.st_size < self._file.tell():
            self._reopen()
        changed = False
        while True:
            begin = self._file.tell()
            line = self._file.readline(_MAX_LINE)
            if not line.endswith(b"\n"):
                if len(line) < _MAX_LINE:
                    self._file.seek(begin)  # half a line: the rest comes later
                    break
                continue
            if (read := read_line(line)) is not None:
                self.board.add(read)
                changed = True
        if changed or replaced or not self.health.inputs:
            self.health = self._read_health()
        return changed or replaced

    def lines(self, incident: str) -> list[ExplainedLine]:
        """See `Source.lines`."""
        try:
            return find_incident(incident, out=self._log.parent)
        except (InputError, DataError):
            return []

    def evidence(self, incident: str) -> bytes | None:
        """See `Source.evidence`; labels are not kept here."""
        return None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _reopen(self) -> None:
        self.close()
        try:
            self._file = self._log.open("rb")
            status = os.fstat(self._file.fileno())
        except OSError as error:
            raise InputError(
                f"{printable(str(self._log), 4096)}: {error.strerror}; give --out the directory "
                "that zeekml score wrote to"
            ) from error
        self._identity = (status.st_dev, status.st_ino)
        self.board = Board()

    def _read_health(self) -> Health:
        newest = self.board.newest
        bundle = newest.bundle if newest else ""
        try:
            summary: Any = json.loads(self._summary.read_bytes())
        except (OSError, ValueError, RecursionError):
            summary = None
        if not isinstance(summary, dict):
            return Health(bundle=bundle)
        streams = summary.get("streams")
        names = [s.get("name") for s in streams if isinstance(s, dict)] if streams else []
        rejected = summary.get("records_rejected")
        last = summary.get("last_ts")
        return Health(
            inputs=tuple(printable(name, 200) for name in names if isinstance(name, str)),
            records=_count(summary.get("records_read")),
            rejected=sum(map(_count, rejected.values())) if isinstance(rejected, dict) else 0,
            silenced=_count(summary.get("allowlisted")),
            last_ts=last if isinstance(last, float) else None,
            bundle=printable(str(summary.get("bundle", bundle)), 64)[:12],
            thresholds=_told_thresholds(self.board),
            today=_on_day_of(self.board, last if isinstance(last, float) else None),
        )


def _told_thresholds(board: Board) -> dict[str, float]:
    """Thresholds as far as lines tell of them."""
    lines = [incident.latest for incident in board.incidents.values()]
    return {line.threat: line.threshold for line in lines}


def _on_day_of(board: Board, ts: float | None) -> int:
    """Attacks that began on the same day (UTC), each once however many sensors saw it."""
    if ts is None:
        return 0
    day = ts // _DAY
    return sum(attack[0].latest.first_ts // _DAY == day for attack in board.attacks)


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def open_source(state: Path | None, out: Path | None) -> Source:
    """The source for a state directory or else an output directory.

    Raises
    ------
    InputError
        It cannot be read.
    """
    if state is not None:
        return StateSource(state)
    assert out is not None
    return OutputSource(out)
