"""What the readers say about records they could not use, and how they count the others.

Every record (mostly a non-empty line that is no header) ends in exactly one of three places, so
that a summary can prove that nothing was lost::

    records_read == accepted + sum(rejected.values()) + sum(skipped.values())

Counters and reject files are keyed by log content in places (record types, file names). Logs are
written by strangers, so all of these keys are bounded in number and length.
"""

from __future__ import annotations

import json
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Protocol

from zeekml.core.atomic_write import as_output_error
from zeekml.core.text import printable
from zeekml.readers.record_dates import RecordDates

COLUMN_COUNT: Final = "column_count"
BAD_VALUE: Final = "bad_value"
BAD_JSON: Final = "bad_json"
BAD_UTF8: Final = "bad_utf8"
LINE_TOO_LONG: Final = "line_too_long"
MISSING_FIELD: Final = "missing_field"
TRUNCATED: Final = "truncated"
REASONS: Final = {
    COLUMN_COUNT: "lines have another number of columns than their header, or none above them",
    BAD_VALUE: "values cannot be read",
    BAD_JSON: "lines are no JSON objects",
    BAD_UTF8: "lines are not in UTF-8",
    LINE_TOO_LONG: "lines are too long",
    MISSING_FIELD: "records lack a field that no connection can do without",
    TRUNCATED: "lines break off",
}
"""Why records are rejected, in words."""

EXCERPT_LENGTH: Final = 200
DEFAULT_CAP: Final = 1000
OTHER: Final = "other"

_TOTALS: Final = (
    "records_read",
    "accepted",
    "behind",
    "sides_known",
    "one_sided",
    "with_events",
    "without_flow",
    "bytes_read",
)
_MAX_KEYS: Final = 64
_MAX_KEY_LENGTH: Final = 40
_MAX_NAMES: Final = 1000
_MAX_SOURCES: Final = 4096
_MAX_REJECT: Final = 1 << 14


def count_bounded(counter: Counter[str], key: str, n: int = 1, most: int = _MAX_KEYS) -> None:
    """Add `n` under `key`, or under ``other`` once the counter holds as many keys as it may.

    The key may come from a log: it is made printable and cut to 40 characters.
    """
    key = printable(key, _MAX_KEY_LENGTH)
    if key not in counter and len(counter) >= most:
        key = OTHER
    counter[key] += n


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not be read, and where it stands."""

    source: str
    line: int
    text: bytes


@dataclass
class ReadCounters:
    """What was read and what became of it."""

    # non-empty lines (or rows) that are no ``#`` header; of one with several records, these
    records_read: int = 0
    accepted: int = 0  # records handed on as flows
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    skipped: Counter[str] = field(default_factory=Counter)  # sound, but no flows; by type
    files_skipped: Counter[str] = field(default_factory=Counter)  # by reason
    # values of accepted records that could not be understood and became null, by column
    values_unknown: Counter[str] = field(default_factory=Counter)
    # records that ended more than a day before others that come before them: their log is in no
    # order of time; and where the first of them stands
    behind: int = 0
    first_behind: str = ""
    # accepted records of TCP and UDP whose packets are known on both sides, and which of them are
    # one-sided (`zeekml.readers.one_sided`)
    sides_known: int = 0
    one_sided: int = 0
    # accepted records of which the sensor logged events, too, and flows of which it logged events
    # or alerts that came too late for their record, or whose record never came
    with_events: int = 0
    without_flow: int = 0
    bytes_read: int = 0  # taken from disk, before decompression
    truncated: list[str] = field(default_factory=list)  # files that end too early, at most 1,000
    remarks: list[str] = field(default_factory=list)  # on files that were read whole; as many
    first_rejects: dict[str, Reject] = field(default_factory=dict, compare=False)  # by reason
    first_ts: float | None = None  # smallest `ts` of the accepted records, epoch seconds
    last_ts: float | None = None
    # records that stood in an envelope (`zeekml.readers.formats.envelopes`), by what that was
    unwrapped: Counter[str] = field(default_factory=Counter)

    def saw(self, first: float, last: float) -> None:
        """Widen the time span to include `first` and `last`, epoch seconds."""
        self.first_ts = first if self.first_ts is None else min(self.first_ts, first)
        self.last_ts = last if self.last_ts is None else max(self.last_ts, last)

    def cut_short(self, source: str) -> None:
        """Remember that `source` ends too early."""
        if source not in self.truncated and len(self.truncated) < _MAX_NAMES:
            self.truncated.append(source)

    def remark(self, text: str) -> None:
        """Remember something about a file."""
        if text not in self.remarks and len(self.remarks) < _MAX_NAMES:
            self.remarks.append(text)

    def merge(self, other: ReadCounters) -> None:
        """Add the counts of another worker."""
        for name in _TOTALS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.first_behind = self.first_behind or other.first_behind
        for name in ("rejected", "skipped", "files_skipped", "values_unknown", "unwrapped"):
            for key, n in getattr(other, name).items():
                count_bounded(getattr(self, name), key, n)
        for source in other.truncated:
            self.cut_short(source)
        for text in other.remarks:
            self.remark(text)
        self.first_rejects = {**other.first_rejects, **self.first_rejects}
        if other.first_ts is not None and other.last_ts is not None:
            self.saw(other.first_ts, other.last_ts)


class RejectSink(Protocol):
    """Takes the records that could not be read."""

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        """Note that `line` (1-based) of `source` was rejected for `reason`."""


class RejectWriter:
    """Writes rejects as JSON lines with the keys ``source, line, reason, excerpt``.

    A file that is given by its path is emptied at once; an open one stays the caller's. More than
    `cap` rejects per source and hour of wall clock are only counted. OutputError says that the
    file cannot be written.
    """

    def __init__(
        self,
        target: Path | IO[str],
        *,
        cap: int = DEFAULT_CAP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owned = isinstance(target, Path)
        self._path = target if isinstance(target, Path) else Path("rejects")
        with as_output_error(self._path):
            self._file = target.open("w", encoding="utf-8") if isinstance(target, Path) else target
        self._cap = cap
        self._clock = clock
        # least recently rejected source first: a directory of many files stays within bounds
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.written = 0
        self.suppressed = 0

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        """Write one reject, or only count it when its source has used up the hour's share."""
        now = self._clock()
        start, used = self._windows.pop(source, (now, 0))
        if now - start >= 3600.0:
            start, used = now, 0
        self._windows[source] = (start, used + 1)
        if len(self._windows) > _MAX_SOURCES:
            self._windows.popitem(last=False)
        if used >= self._cap:
            self.suppressed += 1
            return
        record = {"source": printable(source, 4096), "line": line, "reason": reason}
        record["excerpt"] = printable(excerpt, EXCERPT_LENGTH)
        with as_output_error(self._path):
            self._file.write(json.dumps(record) + "\n")
        self.written += 1

    def close(self) -> None:
        """Close the file if this writer opened it."""
        if self._owned:
            with as_output_error(self._path):
                self._file.close()


@dataclass
class SourceAccount:
    """The books of one source: every record that a decoder sees is entered here once."""

    source: str  # name of the file as the user knows it
    counters: ReadCounters  # totals shared by all sources of a run
    rejects: RejectSink | None  # where rejected records go besides being counted
    most_types: int = _MAX_KEYS  # names of types of skipped records that are kept
    dates: RecordDates | None = None  # of the records that are wanted; None for all

    def accept(self, n: int, first_ts: float, last_ts: float) -> None:
        """Enter `n` flows whose times span `first_ts` to `last_ts`."""
        self.counters.records_read += n
        self.counters.accepted += n
        self.counters.saw(first_ts, last_ts)

    def judge_sides(self, one_sided: int, of: int) -> None:
        """Enter how many accepted flows are one-sided, of those of which that can be told."""
        self.counters.one_sided += one_sided
        self.counters.sides_known += of

    def reject(self, line: int, reason: str, excerpt: bytes) -> None:
        """Enter one record that cannot be used."""
        self.counters.records_read += 1
        self.counters.rejected[reason] += 1
        reject = Reject(self.source, line, excerpt[:_MAX_REJECT])
        self.counters.first_rejects.setdefault(reason, reject)
        if reason == TRUNCATED:
            self.counters.cut_short(self.source)
        if self.rejects is not None:
            self.rejects.add(self.source, line, reason, excerpt)

    def skip(self, kind: str, n: int = 1) -> None:
        """Enter `n` sound records of a type that is no flow."""
        self.counters.records_read += n
        count_bounded(self.counters.skipped, kind, n, self.most_types)

    def unknown(self, column: str, n: int) -> None:
        """Enter `n` values of accepted records that could not be understood and became null."""
        if n:
            count_bounded(self.counters.values_unknown, column, n)

    def unwrap(self, envelope: str, n: int) -> None:
        """Enter that `n` records stood in an envelope; what becomes of them is entered, too."""
        if n:
            count_bounded(self.counters.unwrapped, envelope, n)

    def cut_short(self, line: int, rest: bytes, why: str) -> None:
        """Enter that the source breaks off in `line`, with `rest` of that line still there.

        Only a line of which something is left counts as a record; a break between two lines is
        written to the rejects without being counted as one.
        """
        if rest:
            self.reject(line, TRUNCATED, rest)
            return
        if self.rejects is not None:
            self.rejects.add(self.source, line, TRUNCATED, why)
        self.counters.cut_short(self.source)
