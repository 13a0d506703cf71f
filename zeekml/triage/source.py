"""Sources of the incident list: a watch's state, or the outputs of a run."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from zeekml.core.text import printable
from zeekml.errors import DataError, InputError
from zeekml.live.state.reader import Problem, StateReader
from zeekml.outputs import NOTICE_LOG, SUMMARY
from zeekml.triage.adaptation_decision import DECISION_FILE, Decision, kept_decision
from zeekml.triage.incident_list import IncidentList
from zeekml.triage.labels import LABELS_FILE, Label, present_labels
from zeekml.triage.lookup import find_incident, find_named
from zeekml.triage.notice_reader import NoticeLine, read_line

_RATE_OVER: Final = 10.0  # seconds
_DAY: Final = 86_400.0
_MAX_LINE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Health:
    """How reading goes, as far as the source tells."""

    inputs: tuple[str, ...] = ()  # names of the streams
    records: int = 0  # in all, as the next two
    rejected: int = 0
    suppressed: int = 0  # incidents, by the allowlist
    rate: float | None = None  # records per second of late
    last_ts: float | None = None  # of the newest record, epoch seconds
    bundle: str = ""  # digest
    thresholds: Mapping[str, float] = field(default_factory=dict)  # by threat
    lag: float | None = None  # seconds by which reading was behind the logs at the last commit
    today: int = 0  # incidents that began on the day of the newest record (UTC)
    budget: float | None = None  # how many a day the bundle was calibrated for


class Source:
    """What dashboard and report page look at."""

    state: Path | None = None  # the state of a watch; None for the outputs of a run

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = printable(str(directory), 200)
        self.incidents = IncidentList()
        self.health = Health()
        self.labels: dict[str, Label] = {}
        self.decision: Decision | None = None  # of the latest adaptation
        self._label_stamp: tuple[int, ...] = ()

    @property
    def live(self) -> bool:
        """Whether more is to come."""
        return True

    def poll(self) -> bool:
        """Look; tell whether anything changed. `InputError`, `OutputError`: it cannot be read."""
        raise NotImplementedError

    def lines(self, incident: str) -> list[NoticeLine]:
        """The lines of an incident with their evidence, as far as they are kept."""
        where = {"out": self.directory} if self.state is None else {"state": self.state}
        try:
            return find_incident(incident, **where)
        except (InputError, DataError):
            return []

    def evidence(self, incident: str) -> bytes | None:
        """What its first line rests on, as JSON, to be kept with a label; None if it is gone."""
        where = {"out": self.directory} if self.state is None else {"state": self.state}
        try:
            return find_named([incident], **where)[incident].evidence
        except (InputError, DataError):
            return None

    def close(self) -> None:
        """Close the files."""

    def _look_at_labels(self) -> bool:
        """Read labels, and what was learned from them, if that is new; tell whether it is."""
        stamp: list[int] = []
        decision = self.directory / DECISION_FILE
        for path in (*sorted(self.directory.glob(f"{LABELS_FILE}*")), decision):
            with suppress(FileNotFoundError):  # a journal that was there for a moment
                status = path.stat()
                stamp += [status.st_ino, status.st_size, status.st_mtime_ns]
        if tuple(stamp) == self._label_stamp:
            return False
        self._label_stamp = tuple(stamp)
        self.labels = {label.id: label for label in present_labels(self.directory)}
        self.decision = kept_decision(self.directory)
        return True

    def _today(self, last_ts: float | None) -> int:
        """Attacks that began on the same day (UTC), each once however many sensors saw it."""
        if last_ts is None:
            return 0
        attacks, day = self.incidents.attacks, last_ts // _DAY
        return sum(attack[0].latest.first_ts // _DAY == day for attack in attacks)

    def _thresholds(self) -> dict[str, float]:
        """Thresholds as far as lines tell of them."""
        return {i.latest.threat: i.latest.threshold for i in self.incidents.by_id.values()}


class StateSource(Source):
    """The state of a watch, running or not; `clock` never goes backwards."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(directory)
        self.state = directory
        self._reader, self._clock = StateReader(directory), clock
        self._version, self._number = -1, 0
        self._reads: deque[tuple[float, int]] = deque()

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
                    self.incidents.add(read, printable(stream, 200))
            changed = True
        return self._look_at_health(changed) or changed

    def close(self) -> None:
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
        newest = self.incidents.newest
        last_ts = max(times, default=None)
        about = self._reader.about()
        self.health = Health(
            inputs=tuple(printable(name, 200) for name in records),
            records=total,
            rejected=sum(sum(r.counters.rejected.values()) for r in records.values()),
            suppressed=sum(r.silenced for r in records.values()),
            rate=(total - then) / (now - since) if now > since else None,
            last_ts=last_ts,
            bundle=about.bundle if about else newest.bundle if newest else "",
            thresholds=about.thresholds if about else self._thresholds(),
            lag=about.lag if about else None,
            today=self._today(last_ts),
            budget=about.notices_per_day if about else None,
        )
        if about is not None:
            self.incidents.problems = {}
            for p in about.problems:
                told = (printable(p.severity, 20), printable(p.msg, 1000))
                problem = Problem(printable(p.id, 40), p.ts, *told)
                self.incidents.problems[problem.id] = problem
        return self.health != before


class OutputSource(Source):
    """The outputs of a finished run (or of a watch: what is appended is read too)."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._log, self._summary = directory / NOTICE_LOG, directory / SUMMARY
        self._file: BinaryIO | None = None
        self._identity: tuple[int, int] | None = None
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
        labelled = self._look_at_labels()
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
                self.incidents.add(read)
                changed = True
        if changed or replaced or not self.health.inputs:
            self.health = self._read_health()
        return changed or replaced or labelled

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _reopen(self) -> None:
        self.close()
        try:
            self._file = self._log.open("rb")
            status = os.fstat(self._file.fileno())
        except OSError as error:
            remedy = "give --out the directory that zeekml score wrote to"
            log = printable(str(self._log), 4096)
            raise InputError(f"{log}: {error.strerror}; {remedy}") from error
        self._identity = (status.st_dev, status.st_ino)
        self.incidents = IncidentList()

    def _read_health(self) -> Health:
        newest = self.incidents.newest
        bundle = newest.bundle if newest else ""
        try:
            summary = read_summary(self.directory)
        except (InputError, DataError):
            return Health(bundle=bundle)
        streams = summary.get("streams")
        names = [s.get("name") for s in streams if isinstance(s, dict)] if streams else []
        rejected = summary.get("records_rejected")
        last = summary.get("last_ts")
        return Health(
            inputs=tuple(printable(name, 200) for name in names if isinstance(name, str)),
            records=_count(summary.get("records_read")),
            rejected=sum(map(_count, rejected.values())) if isinstance(rejected, dict) else 0,
            suppressed=_count(summary.get("allowlisted")),
            last_ts=last if isinstance(last, float) else None,
            bundle=printable(str(summary.get("bundle", bundle)), 64)[:12],
            thresholds=self._thresholds(),
            today=self._today(last if isinstance(last, float) else None),
        )


def read_summary(out: Path) -> dict[str, Any]:
    """The summary that a run of `zeekml score` left."""
    path = out / SUMMARY
    try:
        value: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(f"{path}: damaged; score the logs again")
    return value


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
