"""Cut a stream into slices that can be scored on their own, each with an exact warm-up.

What the context holds at a record follows from the stream's clock there and from the records whose
arrival lies less than an hour back (or the newest `max_records` of them). The clock needs nothing
but end times, so one quick pass over them tells, for every slice, where the clock stands at its
first record, from which record on it has to warm up, and where the clock stands there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.batch.decoded_part import read_batches
from zeekml.features.context.layout import HORIZON
from zeekml.readers.archive import enter_behind
from zeekml.readers.rejects import ReadCounters
from zeekml.readers.stream_clock import ClockState, StreamClock

_GONE: Final = -(1 << 62)  # an arrival before all times
# A record costs about a fifth as much to warm up with as to score: a slice half as long as its
# warm-up still spends most of its time on rows of its own.
_LEAST_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """Batches begin … end−1 of a decoded part."""

    directory: Path
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of a stream's records."""

    # of the stream before the first record of warm_up, or of own where there is none
    clock: ClockState
    warm_up: tuple[Run, ...]  # what to take in before
    start: ClockState  # clock of the stream before the first record of own
    own: tuple[Run, ...]  # what to score
    rows: int  # number of its own records

    @property
    def directories(self) -> set[Path]:
        """The decoded parts that it needs."""
        return {run.directory for run in (*self.warm_up, *self.own)}


@dataclass(slots=True)
class _Batch:
    directory: Path
    index: int
    rows: int
    before: ClockState
    clock: int  # of the stream after its last record: the latest arrival in it
    last: int  # records of the stream up to and including its last one


class SlicePlanner:
    """Cuts a stream into slices as its decoded batches become known."""

    def __init__(self, target: int, max_records: int, counters: ReadCounters | None = None) -> None:
        self._target, self._max_records, self._counters = target, max_records, counters
        self._clock = StreamClock()
        self._batches: deque[_Batch] = deque()  # those to warm up with, then those of the slice
        self._warm = 0  # how many are for warming up
        self._warm_rows = self._rows = 0

    @property
    def directories(self) -> set[Path]:
        """The decoded parts that slices to come will need."""
        return {batch.directory for batch in self._batches}

    def add(self, directory: Path, batches: Iterable[npt.NDArray[np.int64]]) -> Iterator[Slice]:
        """Take the stream's next decoded part; yield the slices that are whole now."""
        for index, ends in enumerate(batches):
            before = self._clock.state
            after = self._clock.run(ends)
            if self._clock.behind and self._counters is not None:
                (batch,) = read_batches(directory, index, index + 1)
                enter_behind(batch, self._clock, self._counters)
            if after.began != before.began:
                # the stream began anew: the context let everything go that came before
                for batch in self._batches:
                    batch.clock = _GONE
            self._batches.append(_Batch(directory, index, len(ends), before, after.now, after.seen))
            self._rows += len(ends)
            if self._rows >= max(self._target, _LEAST_SHARE * self._warm_rows):
                yield self._cut()

    def finish(self) -> Iterator[Slice]:
        """Yield what is left at the end of the stream."""
        if self._rows:
            yield self._cut()

    def _cut(self) -> Slice:
        batches = list(self._batches)
        own = batches[self._warm :]
        cut = Slice(
            clock=batches[0].before,
            warm_up=_runs(batches[: self._warm]),
            start=own[0].before,
            own=_runs(own),
            rows=self._rows,
        )
        # what the next slice finds in the windows at its first record
        clock = self._clock.state
        while self._batches and (
            self._batches[0].clock <= clock.now - HORIZON
            or self._batches[0].last <= clock.seen - self._max_records
        ):
            self._batches.popleft()
        self._warm = len(self._batches)
        self._warm_rows = sum(batch.rows for batch in self._batches)
        self._rows = 0
        return cut


def _runs(batches: list[_Batch]) -> tuple[Run, ...]:
    runs: list[Run] = []
    for batch in batches:
        if runs and (runs[-1].directory, runs[-1].end) == (batch.directory, batch.index):
            runs[-1] = Run(batch.directory, runs[-1].begin, batch.index + 1)
        else:
            runs.append(Run(batch.directory, batch.index, batch.index + 1))
    return tuple(runs)


def read_runs(runs: Iterable[Run]) -> Iterator[pa.RecordBatch]:
    """Yield the flows of some runs, batch by batch."""
    for run in runs:
        yield from read_batches(run.directory, run.begin, run.end)
