"""The context engine: counts over sliding windows of what a flow's hosts did, incrementally.

One incremental engine serves live tails and archives. Its memory is finite on purpose: nothing
depends on flows that ended more than an hour (`WINDOWS[-1]`) before the stream's clock, so a slice
of a stream can be scored exactly after a warm-up over the hour before it.

The clock is the flow end time in order of arrival and never goes back. A record up to
`CLOCK_SLACK` ahead moves it; one further ahead moves it only as the third such record in a row, so
that a single damaged time stamp cannot empty the windows. Records behind the clock count as
arriving now.

Every record in the hour holds one entry of a ring. An arrival adds to the counters of its hosts,
pair and ports for all three windows, and as the clock passes, each window's tail takes the records
that leave it off again. Distinct counts are exact: a host's "distinct hosts" goes up when a pair's
count leaves zero and down when it returns there. All sums are of integers, so the order of
additions and cuts between batches cannot change a bit of the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.core.lazy_memory import Ring
from zeekml.features import feature_schema
from zeekml.features.context import _context, compact_hash_table, layout
from zeekml.features.context._context import LAST, SERIES_WIDTH, Context
from zeekml.features.context.context_snapshot import Bytes, head_of, parts_of, restored
from zeekml.features.feature_schema import EVENT_START, FLOW_WIDTH, WINDOWS
from zeekml.features.flow_features import FlowColumns
from zeekml.readers import stream_clock
from zeekml.readers._stream_clock import LATE, SECOND
from zeekml.readers.stream_clock import ClockState

MAX_RECORDS: Final = 1 << 22
"""Default bound on records held; beyond it the oldest leave before their hour is over."""

_SLICE: Final = 8192  # rows between two checks for room


class ContextEngine:
    """Context features of one stream, fed in order of arrival.

    At most `max_records` are held at a time. An engine that is to start inside a stream, with the
    `clock` as it stands there, must take in (`absorb`) what the windows hold before it can `write`.
    """

    def __init__(self, max_records: int = MAX_RECORDS, clock: ClockState | None = None) -> None:
        if not 1 <= max_records <= feature_schema.MOST_RECORDS:
            most = feature_schema.MOST_RECORDS
            raise ValueError(f"max_records is {max_records}; it must be from 1 to {most}")
        self._max_records = max_records
        self._ring = Ring(1 << max(max_records - 1, 1).bit_length(), layout.RECORD)
        self._context = layout.new_context(self._ring.entries, max_records, 2 * _SLICE)
        stream_clock.set_clock(self._context.clock, clock or ClockState())
        self._compiled = Context(self._context)

    @property
    def evicted(self) -> int:
        """Records that had to leave before their hour was over, for want of room."""
        return int(self._context.clock[_context.EVICTED])

    @property
    def held(self) -> int:
        """Records that are held."""
        return int(self._context.clock[_context.HEAD] - self._context.clock[_context.TAIL + LAST])

    @property
    def late(self) -> int:
        """Records that ended before the clock and were counted as arriving then."""
        return int(self._context.clock[LATE])

    @property
    def clock(self) -> ClockState:
        """Where the stream's clock stands, and what it remembers."""
        return stream_clock.read_clock(self._context.clock)

    def absorb(self, columns: FlowColumns) -> None:
        """Take rows in without writing anything about them, and without counting them."""
        counts = self._context.clock[[_context.EVICTED, LATE]]
        for begin in range(0, columns.rows, _SLICE):
            end = min(begin + _SLICE, columns.rows)
            self._make_room(end - begin)
            self._compiled.absorb(columns, begin, end, self._max_records)
        self._context.clock[[_context.EVICTED, LATE]] = counts

    def write(self, columns: FlowColumns, out: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Write the context columns of `out` (rows, features).

        Returns the stream's clock in epoch seconds when each row was taken in, float64 (rows,).
        """
        clocks = np.zeros(columns.rows, np.int64)
        for begin in range(0, columns.rows, _SLICE):
            end = min(begin + _SLICE, columns.rows)
            self._make_room(end - begin)
            self._compiled.update(columns, begin, end, self._max_records, out, clocks)
        return clocks / SECOND

    def save(self) -> tuple[bytes, list[Bytes]]:
        """All that what follows depends on: a head, and parts that lie where the engine works."""
        return head_of(self._context, self._max_records), parts_of(self._context)

    def load(self, head: bytes, pieces: Iterator[bytes]) -> None:
        """Go on where another engine was saved, before any row came.

        What `save` gave, the parts one after the other and cut anyhow, must be known to be
        undamaged: only sizes are checked here. After a `StateError`, for another layout or bound,
        the engine is of no use any more.
        """
        self._context = restored(self._context, self._max_records, head, pieces)
        self._compiled = Context(self._context)

    def _make_room(self, rows: int) -> None:
        clock = self._context.clock
        self._ring.release(int(clock[_context.TAIL + LAST]), int(clock[_context.HEAD]))
        changed: dict[str, Any] = {}
        for kind, name in enumerate(layout.TABLES):
            table: compact_hash_table.CompactHashTable = getattr(self._context, name)
            # a record names two hosts, and may be the second of a pair, which then enters both
            if table.full_with(2 * rows):
                changed[name] = compact_hash_table.larger(table, 2 * rows)
                self._compiled.refill(kind, table, changed[name])
        if changed:
            self._context = self._context._replace(**changed)
            self._compiled = Context(self._context)


_CONTEXT_WIDTH: Final = (
    sum(21 + (w != WINDOWS[-1]) for w in WINDOWS) + 2 * (SERIES_WIDTH + 1) + 5 + len(WINDOWS)
)
assert EVENT_START == FLOW_WIDTH + _CONTEXT_WIDTH, "the writers and the schema disagree"
