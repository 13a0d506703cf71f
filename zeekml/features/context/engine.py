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

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.core.jit import compiled, njit
from zeekml.features import feature_schema
from zeekml.features.context import layout
from zeekml.features.context.compact_hash_table import number_at, state_at
from zeekml.features.context.context_snapshot import Bytes, head_of, parts_of, restored
from zeekml.features.context.keys import CONTACT_KEY, key_hash_of, known_cell, with_room
from zeekml.features.context.layout import LAST, NONE, ContextState, is_set
from zeekml.features.context.lazy_memory import Ring
from zeekml.features.context.windows import enter, expire
from zeekml.features.feature_schema import CONTACTS, FEATURES, FLOW_WIDTH, LOOKUPS, WINDOWS
from zeekml.features.flow_features import FlowColumns
from zeekml.features.interval_features import SERIES_WIDTH, log_count, write_series
from zeekml.readers import stream_clock
from zeekml.readers._stream_clock import LATE, NOW, SECOND
from zeekml.readers.stream_clock import ClockState, Ints64

MAX_RECORDS: Final = 1 << 22
"""Default bound on records held; beyond it the oldest leave before their hour is over."""

_SLICE: Final = 8192  # rows between two checks for room

# gathered counters of one record
OF_SOURCE, OF_TARGET, OF_BYTES = 0, layout.HOST_COUNTS, 2 * layout.HOST_COUNTS
OF_PAIR: Final = OF_BYTES + len(WINDOWS)
OF_SERVICE: Final = OF_PAIR + layout.PAIR_COUNTS
OF_CONTACT: Final = OF_SERVICE + layout.SERVICE_COUNTS
GATHERED: Final = OF_CONTACT + 1


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
        self._counts = np.zeros(GATHERED, np.int64)
        self._scratch = np.zeros((3, max(CONTACTS, LOOKUPS)), np.float64)

    @property
    def evicted(self) -> int:
        """Records that had to leave before their hour was over, for want of room."""
        return int(self._context.clock[layout.EVICTED])

    @property
    def held(self) -> int:
        """Records that are held."""
        return int(self._context.clock[layout.HEAD] - self._context.clock[layout.TAIL + LAST])

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
        counts = self._context.clock[[layout.EVICTED, LATE]]
        for begin in range(0, columns.rows, _SLICE):
            end = min(begin + _SLICE, columns.rows)
            self._make_room(end - begin)
            _absorb(self._context, columns, begin, end, self._max_records)
        self._context.clock[[layout.EVICTED, LATE]] = counts

    def write(self, columns: FlowColumns, out: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Write the context columns of `out` (rows, features).

        Returns the stream's clock in epoch seconds when each row was taken in, float64 (rows,).
        """
        clocks = np.zeros(columns.rows, np.int64)
        into = out, clocks, self._counts, self._scratch
        for begin in range(0, columns.rows, _SLICE):
            end = min(begin + _SLICE, columns.rows)
            self._make_room(end - begin)
            _update(self._context, columns, begin, end, self._max_records, *into)
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

    def _make_room(self, rows: int) -> None:
        clock = self._context.clock
        self._ring.release(int(clock[layout.TAIL + LAST]), int(clock[layout.HEAD]))
        self._context = with_room(self._context, rows)


@compiled
def _gather(c: ContextState, at: int, pair: int, service: int, scratch: Ints64) -> None:
    """Bring all counters that concern the record at `at` together; the cells are its keys'."""
    r = c.ring[at]
    for of_host, slot in ((OF_SOURCE, r.source), (OF_TARGET, r.target)):
        row = c.host.rows[slot]
        if row.large == NONE:
            for i in range(layout.HOST_COUNTS):
                scratch[of_host + i] = row.n[i]
        else:
            for i in range(layout.HOST_COUNTS):
                scratch[of_host + i] = c.large_host.rows[row.large].n[i]
    target = c.host.rows[r.target]
    for window in range(LAST + 1):
        if target.large == NONE:
            scratch[OF_BYTES + window] = target.bytes[window]
        else:
            scratch[OF_BYTES + window] = c.large_host.rows[target.large].bytes[window]
    failed = int(is_set(r, layout.FAILED_FLAG))
    state, number = state_at(c.pairs, pair), number_at(c.pairs, pair)
    for i in range(layout.PAIR_COUNTS):
        if state == layout.SMALL_ROW:
            scratch[OF_PAIR + i] = c.pair.rows[number].n[i]
        elif state == layout.LARGE_ROW:
            scratch[OF_PAIR + i] = c.large_pair.rows[number].n[i]
        else:
            scratch[OF_PAIR + i] = failed if i % layout.PAIR_WINDOW == layout.FAILED else 1
    state, number = state_at(c.services, service), number_at(c.services, service)
    for i in range(layout.SERVICE_COUNTS):
        if state == layout.SMALL_ROW:
            scratch[OF_SERVICE + i] = c.service.rows[number].n[i]
        elif state == layout.LARGE_ROW:
            scratch[OF_SERVICE + i] = c.large_service.rows[number].n[i]
        else:
            scratch[OF_SERVICE + i] = failed if i % layout.SERVICE_WINDOW == layout.FAILED else 1
    scratch[OF_CONTACT] = 1
    if state_at(c.pairs, pair) != layout.RECORD_OF:
        key_hash = key_hash_of(c, CONTACT_KEY, r)
        contact = known_cell(c, c.contacts, CONTACT_KEY, key_hash, r)
        if state_at(c.contacts, contact) != layout.RECORD_OF:
            scratch[OF_CONTACT] = c.contact.rows[number_at(c.contacts, contact)].count


@compiled
def _write_windows(n: Ints64, row: npt.NDArray[np.float32], column: int) -> int:
    """Write the window columns from gathered counters, from `column` on; return the next one."""
    for window in range(LAST + 1):
        source = OF_SOURCE + window * layout.HOST_WINDOW
        target = OF_TARGET + window * layout.HOST_WINDOW
        pair = OF_PAIR + window * layout.PAIR_WINDOW
        service = OF_SERVICE + window * layout.SERVICE_WINDOW
        hosts, ports = n[source + layout.OUT_HOSTS], n[source + layout.OUT_PORTS]
        sources = n[target + layout.IN_HOSTS]
        sent = np.float64(n[source + layout.OUT_FLOWS])
        got = np.float64(n[target + layout.IN_FLOWS])
        shared = np.float64(n[pair + layout.FLOWS])
        row[column] = log_count(n[source + layout.OUT_FLOWS])
        row[column + 1] = n[source + layout.OUT_FAILED] / sent
        row[column + 2] = log_count(hosts)
        row[column + 3] = log_count(ports)
        row[column + 4] = hosts / sent
        row[column + 5] = ports / sent
        column += 6
        if window != LAST:
            row[column] = n[source + layout.OUT_FIRST] / sent
            column += 1
        row[column] = log_count(n[target + layout.IN_FLOWS])
        row[column + 1] = n[target + layout.IN_FAILED] / got
        row[column + 2] = log_count(sources)
        row[column + 3] = log_count(n[target + layout.IN_PORTS])
        row[column + 4] = sources / got
        row[column + 5] = math.log1p(np.float64(n[OF_BYTES + window]))
        row[column + 6] = log_count(n[pair + layout.FLOWS])
        row[column + 7] = n[pair + layout.FAILED] / shared
        row[column + 8] = log_count(n[pair + layout.PORTS])
        row[column + 9] = n[pair + layout.ANSWERS] / shared
        row[column + 10] = shared / sent
        row[column + 11] = log_count(n[service + layout.FLOWS])
        row[column + 12] = n[service + layout.FAILED] / np.float64(n[service + layout.FLOWS])
        row[column + 13] = log_count(n[service + layout.HOSTS])
        column += 14
    return column


@compiled
def _take(c: ContextState, columns: FlowColumns, i: int, max_records: int) -> tuple[int, int, int]:
    """Let row `i` in and what it displaces out; return what `enter` does."""
    clock = c.clock
    evicted = clock[layout.EVICTED]
    if stream_clock.tick(clock, columns.end[i]):
        # the stream begins anew: nothing before counts any more, which is no want of room
        expire(c, clock[layout.HEAD])
        clock[layout.EVICTED] = evicted
    else:
        expire(c, clock[layout.HEAD] - max_records + 1)
    return enter(c, columns, i)


@njit(cache=True, nogil=True, _nrt=False)
def _absorb(c: ContextState, columns: FlowColumns, begin: int, end: int, max_records: int) -> None:
    for i in range(begin, end):
        _take(c, columns, i, max_records)


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def _update(
    c: ContextState,
    columns: FlowColumns,
    begin: int,
    end: int,
    max_records: int,
    out: npt.NDArray[np.float32],
    clocks: Ints64,
    counts: Ints64,
    scratch: npt.NDArray[np.float64],
) -> None:
    """Take rows begin … end−1 in, one after the other, and write their context columns."""
    clock = c.clock
    mask = len(c.ring) - 1
    in_hosts = LAST * layout.HOST_WINDOW + layout.IN_HOSTS
    for i in range(begin, end):
        at, pair, service = _take(c, columns, i, max_records)
        now, start = clock[NOW], columns.start[i]
        clocks[i] = now
        row = out[i]
        r = c.ring[at]
        _gather(c, at, pair, service, counts)
        column = _write_windows(counts, row, FLOW_WIDTH)
        held = counts[OF_CONTACT]
        write_series(c.ring, at, False, held, CONTACTS, start, now, scratch, row, column)
        row[column + SERIES_WIDTH] = 1.0 if held >= feature_schema.REGULAR_FROM else 0.0
        column += SERIES_WIDTH + 1
        is_lookup = is_set(r, layout.LOOKUP_FLAG)
        if is_lookup:
            held = counts[OF_SOURCE + layout.HELD_LOOKUPS]
            write_series(c.ring, at, True, held, LOOKUPS, start, now, scratch, row, column)
        else:
            for k in range(SERIES_WIDTH):
                row[column + k] = np.nan
        row[column + SERIES_WIDTH] = 1.0 if is_lookup else 0.0
        column += SERIES_WIDTH + 1
        age = now - layout.arrival_of(c.ring[c.host.rows[r.target].first_in & mask], now)
        records = np.float64(clock[layout.HEAD] - clock[layout.TAIL + LAST])
        row[column] = 1.0 if counts[OF_PAIR + layout.PAIR_HELD] == 1 else 0.0
        row[column + 1] = log_count(counts[OF_SOURCE + in_hosts])
        row[column + 2] = counts[OF_TARGET + in_hosts] / np.float64(clock[layout.SOURCES])
        row[column + 3] = math.log1p(age / SECOND)
        row[column + 4] = math.log1p(c.port_flows[layout.port_of(r)] / records * 1e4)
        column += 5
        for window in range(LAST + 1):
            observed = (now - clock[stream_clock.BEGAN]) / np.float64(layout.LENGTHS[window])
            row[column + window] = min(observed, 1.0)


_CONTEXT_WIDTH: Final = (
    sum(20 + (w != WINDOWS[-1]) for w in WINDOWS) + 2 * (SERIES_WIDTH + 1) + 5 + len(WINDOWS)
)
assert len(FEATURES) == FLOW_WIDTH + _CONTEXT_WIDTH, "the writers and the schema disagree"
