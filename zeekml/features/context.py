"""What a flow's hosts did in the last minute, ten minutes and hour.

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
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.features.columns import FlowColumns
from zeekml.features.context_state import (
    ANSWERS,
    EVICTED,
    FAILED,
    FIRST_IN,
    FLOWS,
    HEAD,
    HELD_LOOKUPS,
    HOST_WINDOW,
    HOSTS,
    IN_FAILED,
    IN_FLOWS,
    IN_HOSTS,
    IN_PORTS,
    LAST,
    LENGTHS,
    OUT_FAILED,
    OUT_FIRST,
    OUT_FLOWS,
    OUT_HOSTS,
    OUT_PORTS,
    PAIR_WINDOW,
    PORTS,
    SERVICE_WINDOW,
    SOURCES,
    TAIL,
    Context,
    new_context,
    with_room,
)
from zeekml.features.context_windows import enter, expire
from zeekml.features.schema import CONTACTS, FEATURES, FLOW_WIDTH, LOOKUPS, REGULAR_FROM, WINDOWS
from zeekml.features.series import SERIES_WIDTH, log_count, write_series
from zeekml.flows.stream_clock import (
    BEGAN,
    LATE,
    NOW,
    SECOND,
    ClockState,
    Ints64,
    read_clock,
    set_clock,
    tick,
)
from zeekml.jit import njit

MAX_RECORDS: Final = 1 << 22
"""Default bound on records held; beyond it the oldest leave before their hour is over."""

_SLICE: Final = 8192  # rows between two checks for room


class ContextEngine:
    """Context features of one stream, fed in order of arrival.

    Parameters
    ----------
    max_records
        Bound on the records held at a time (about 150 bytes each with their keys).
    clock
        Where the stream's clock stands when the engine is to start inside a stream; it must take
        in (`absorb`) what the windows hold there before it can `write`.
    """

    def __init__(self, max_records: int = MAX_RECORDS, clock: ClockState | None = None) -> None:
        if max_records < 1:
            raise ValueError(f"max_records is {max_records}; it must be at least 1")
        self._max_records = max_records
        self._context = new_context(_SLICE, 2 * _SLICE)
        set_clock(self._context.clock, clock or ClockState())

    @property
    def evicted(self) -> int:
        """Records that had to leave before their hour was over, for want of room."""
        return int(self._context.clock[EVICTED])

    @property
    def held(self) -> int:
        """Records that are held."""
        return int(self._context.clock[HEAD] - self._context.clock[TAIL + LAST])

    @property
    def late(self) -> int:
        """Records that ended before the clock and were counted as arriving then."""
        return int(self._context.clock[LATE])

    @property
    def clock(self) -> ClockState:
        """Where the stream's clock stands, and what it remembers."""
        return read_clock(self._context.clock)

    def absorb(self, columns: FlowColumns) -> None:
        """Take rows in without writing anything about them, and without counting them."""
        counts = self._context.clock[[EVICTED, LATE]]
        for begin in range(0, columns.rows, _SLICE):
            end = min(begin + _SLICE, columns.rows)
            self._context = with_room(self._context, end - begin, self._max_records)
            _absorb(self._context, columns, begin, end, self._max_records)
        self._context.clock[[EVICTED, LATE]] = counts

    def write(self, columns: FlowColumns, out: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Write the context columns of `out` (rows, features); return the clock at each row.

        Returns
        -------
        (rows,) float64
            Stream clock in epoch seconds when the row was taken in.
        """
        clocks = np.zeros(columns.rows, np.int64)
        for begin in range(0, columns.rows, _SLICE):
            end = min(begin + _SLICE, columns.rows)
            self._context = with_room(self._context, end - begin, self._max_records)
            _update(self._context, columns, begin, end, self._max_records, out, clocks)
        return clocks / SECOND


@njit(cache=True, error_model="numpy", inline="always")
def _write_windows(c: Context, at: int, row: npt.NDArray[np.float32], column: int) -> int:
    """Write the window columns for the record at `at`, from `column` on; return the next one."""
    r = c.ring[at]
    source, target, pair, service = r.source, r.target, r.pair, r.service
    for window in range(LAST + 1):
        out = window * HOST_WINDOW
        of_pair = window * PAIR_WINDOW
        of_service = window * SERVICE_WINDOW
        sent_flows = c.host[source, out + OUT_FLOWS]
        got_flows = c.host[target, out + IN_FLOWS]
        shared_flows = c.pair[pair, of_pair + FLOWS]
        hosts, ports = c.host[source, out + OUT_HOSTS], c.host[source, out + OUT_PORTS]
        sources = c.host[target, out + IN_HOSTS]
        sent, got = np.float64(sent_flows), np.float64(got_flows)
        shared = np.float64(shared_flows)
        row[column] = log_count(sent_flows)
        row[column + 1] = c.host[source, out + OUT_FAILED] / sent
        row[column + 2] = log_count(hosts)
        row[column + 3] = log_count(ports)
        row[column + 4] = hosts / sent
        row[column + 5] = ports / sent
        column += 6
        if window != LAST:
            row[column] = c.host[source, out + OUT_FIRST] / sent
            column += 1
        row[column] = log_count(got_flows)
        row[column + 1] = c.host[target, out + IN_FAILED] / got
        row[column + 2] = log_count(sources)
        row[column + 3] = log_count(c.host[target, out + IN_PORTS])
        row[column + 4] = sources / got
        row[column + 5] = math.log1p(np.float64(c.host_bytes[target, window]))
        row[column + 6] = log_count(shared_flows)
        row[column + 7] = c.pair[pair, of_pair + FAILED] / shared
        row[column + 8] = log_count(c.pair[pair, of_pair + PORTS])
        row[column + 9] = c.pair[pair, of_pair + ANSWERS] / shared
        row[column + 10] = shared / sent
        flows = c.service[service, of_service + FLOWS]
        row[column + 11] = log_count(flows)
        row[column + 12] = c.service[service, of_service + FAILED] / np.float64(flows)
        row[column + 13] = log_count(c.service[service, of_service + HOSTS])
        column += 14
    return column


@njit(cache=True, inline="always")
def _take(c: Context, columns: FlowColumns, i: int, max_records: int) -> int:
    """Let row `i` in and what it displaces out; return its place in the ring."""
    clock = c.clock
    evicted = clock[EVICTED]
    if tick(clock, columns.end[i]):
        # the stream begins anew: nothing before counts any more, which is no want of room
        expire(c, clock[HEAD])
        clock[EVICTED] = evicted
    else:
        expire(c, clock[HEAD] - max_records + 1)
    return enter(c, columns, i)


@njit(cache=True, nogil=True)
def _absorb(c: Context, columns: FlowColumns, begin: int, end: int, max_records: int) -> None:
    for i in range(begin, end):
        _take(c, columns, i, max_records)


@njit(cache=True, nogil=True, error_model="numpy")
def _update(
    c: Context,
    columns: FlowColumns,
    begin: int,
    end: int,
    max_records: int,
    out: npt.NDArray[np.float32],
    clocks: Ints64,
) -> None:
    """Take rows begin … end−1 in, one after the other, and write their context columns."""
    clock = c.clock
    scratch = np.empty((3, max(CONTACTS, LOOKUPS)), np.float64)
    mask = np.uint32(len(c.ring) - 1)
    for i in range(begin, end):
        at = _take(c, columns, i, max_records)
        clocks[i] = clock[NOW]
        row = out[i]
        r = c.ring[at]
        source, target = r.source, r.target
        column = _write_windows(c, at, row, FLOW_WIDTH)
        contacts = c.contact[r.contact, LAST]
        write_series(c.ring, at, False, contacts, CONTACTS, scratch, row, column)
        row[column + SERIES_WIDTH] = 1.0 if contacts >= REGULAR_FROM else 0.0
        column += SERIES_WIDTH + 1
        is_lookup = r.lookup != 0
        if is_lookup:
            lookups = c.host[source, HELD_LOOKUPS]
            write_series(c.ring, at, True, lookups, LOOKUPS, scratch, row, column)
        else:
            for k in range(SERIES_WIDTH):
                row[column + k] = np.nan
        row[column + SERIES_WIDTH] = 1.0 if is_lookup else 0.0
        column += SERIES_WIDTH + 1
        age = clock[NOW] - c.ring[c.host[target, FIRST_IN] & mask].arrival
        held = np.float64(clock[HEAD] - clock[TAIL + LAST])
        hour = LAST * HOST_WINDOW
        row[column] = 1.0 if c.pair[r.pair, LAST * PAIR_WINDOW + FLOWS] == 1 else 0.0
        row[column + 1] = log_count(c.host[source, hour + IN_HOSTS])
        row[column + 2] = c.host[target, hour + IN_HOSTS] / np.float64(clock[SOURCES])
        row[column + 3] = math.log1p(age / SECOND)
        row[column + 4] = math.log1p(c.port_flows[r.port] / held * 1e4)
        column += 5
        for window in range(LAST + 1):
            observed = (clock[NOW] - clock[BEGAN]) / np.float64(LENGTHS[window])
            row[column + window] = min(observed, 1.0)


_CONTEXT_WIDTH: Final = (
    sum(20 + (w != WINDOWS[-1]) for w in WINDOWS) + 2 * (SERIES_WIDTH + 1) + 5 + len(WINDOWS)
)
assert len(FEATURES) == FLOW_WIDTH + _CONTEXT_WIDTH, "the writers and the schema disagree"
