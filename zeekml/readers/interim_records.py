"""The interim records of a stream in archives, read as far as its flows have come."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from zeekml.readers.files.streams import Stream
from zeekml.readers.rejects import ReadCounters, RejectSink, SourceAccount
from zeekml.readers.stream_clock import flow_ends
from zeekml.readers.stream_reader import LogReader

_MOST_REJECTS = 10_000
_BEFORE_ALL = -math.inf


class InterimBatch(NamedTuple):
    """Some interim records of one log, in its order."""

    log: str  # of `INTERIM_LOGS`
    flows: pa.RecordBatch  # of `FLOW_SCHEMA`


class InterimReader:
    """Reads the interim records beside a stream.

    Another thread may be reading the flows, so it keeps books of its own, to be added at the end.
    """

    def __init__(self, stream: Stream) -> None:
        self.counters = ReadCounters()
        self._rejects = _Kept()
        reader = LogReader(self.counters, self._account)
        self._logs = {log: reader.interim(log, files) for log, files in stream.interim.items()}
        # the latest time in each log that is not read to its end
        self._clocks = dict.fromkeys(self._logs, _BEFORE_ALL)

    def read_until(self, clock: float) -> Iterator[InterimBatch]:
        """Yield what the logs have up to a time, epoch seconds, and some of what comes then."""
        for log, batches in self._logs.items():
            while log in self._clocks and self._clocks[log] <= clock:
                batch = next(batches, None)
                if batch is None:
                    del self._clocks[log]
                    break
                yield InterimBatch(log, batch)
                self._clocks[log] = max(self._clocks[log], int(flow_ends(batch).max()) / 1e6)

    def tell_rejects(self, sink: RejectSink) -> None:
        """Hand on the records that could not be read."""
        for reject in self._rejects.kept:
            sink.add(*reject)

    def _account(self, source: str) -> SourceAccount:
        return SourceAccount(source, self.counters, self._rejects)


class _Kept:
    """Rejects that wait until nobody else writes any."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, int, str, bytes | str]] = []

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        if len(self.kept) < _MOST_REJECTS:
            self.kept.append((source, line, reason, excerpt))
