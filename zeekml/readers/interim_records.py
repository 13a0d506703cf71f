"""The interim records of a stream in archives, read as far as its flows have come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa

from zeekml.readers.files.streams import Stream
from zeekml.readers.record_dates import RecordDates
from zeekml.readers.rejects import ReadCounters, RejectSink, SourceAccount
from zeekml.readers.stream_clock import flow_ends
from zeekml.readers.stream_reader import LogReader

_MOST_REJECTS: Final = 10_000
_FAR: Final = 7 * 86_400 * 1_000_000


class LogClock(msgspec.Struct, array_like=True):
    """The time of a log of interim records: the latest end in it, microseconds.

    Days may lie between two of its records. One that is more than a week ahead moves the clock only
    when the next one says so, too: a single damaged time keeps no other record waiting.
    """

    now: int = 0
    ahead: int = 0  # end of the record before, if that was too far ahead

    def tick(self, end: int) -> int:
        """The time of the next record."""
        if end > self.now + _FAR:
            if abs(end - self.ahead) > _FAR:
                self.ahead = end
                return end
            self.now = self.ahead
        self.ahead = 0
        self.now = max(self.now, end)
        return self.now


class InterimBatch(NamedTuple):
    """Some interim records of one log, in its order."""

    log: str  # of `INTERIM_LOGS`
    flows: pa.RecordBatch  # of `FLOW_SCHEMA`


class InterimReader:
    """Reads the interim records beside a stream.

    Another thread may be reading the flows, so it keeps books of its own, to be added at the end.
    """

    def __init__(self, stream: Stream, dates: RecordDates | None = None) -> None:
        self.counters = ReadCounters()
        self._dates = dates
        self._rejects = _Kept()
        reader = LogReader(self.counters, self._account)
        self._logs = {log: reader.interim(log, files) for log, files in stream.interim.items()}
        self._clocks = {log: LogClock() for log in self._logs}  # of those not read to the end

    def read_until(self, clock: float) -> Iterator[InterimBatch]:
        """Yield what the logs have up to a time, epoch seconds, and some of what comes then."""
        for log, own in list(self._clocks.items()):
            while own.now <= clock * 1e6:
                batch = next(self._logs[log], None)
                if batch is None:
                    del self._clocks[log]
                    break
                yield InterimBatch(log, batch)
                for end in flow_ends(batch).tolist():
                    own.tick(end)

    def tell_rejects(self, sink: RejectSink) -> None:
        """Hand on the records that could not be read."""
        for reject in self._rejects.kept:
            sink.add(*reject)

    def _account(self, source: str) -> SourceAccount:
        return SourceAccount(source, self.counters, self._rejects, dates=self._dates)


class _Kept:
    """Rejects that wait until nobody else writes any."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, int, str, bytes | str]] = []

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        if len(self.kept) < _MOST_REJECTS:
            self.kept.append((source, line, reason, excerpt))
