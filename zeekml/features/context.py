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
from numba import njit

from zeekml.features.columns import FlowColumns
from zeekml.features.context_state import (
    ANSWERS,
    BEGAN,
    EVICTED,
    FAILED,
    FLAG_LOOKUP,
    FLOWS,
    HEAD,
    HOSTS,
    IN_FAILED,
    IN_FLOWS,
    IN_HOSTS,
    IN_PORTS,
    LAST,
    LATE,
    LENGTHS,
    NOW,
    OUT_FAILED,
    OUT_FIRST,
    OUT_FLOWS,
    OUT_HOSTS,
    OUT_PORTS,
    PORTS,
    SECOND,
    SOURCES,
    TAIL,
    Context,
    Ints64,
    new_context,
    with_room,
)
from zeekml.features.context_windows import advance, enter, expire, expire_oldest
from zeekml.features.schema import CONTACTS, FEATURES, FLOW_WIDTH, LOOKUPS, REGULAR_FROM, WINDOWS
from zeekml.features.series import SERIES_WIDTH, write_series

MAX_RECORDS: Final = 1 << 22
"""Default bound on records held; beyond it the oldest leave before their hour is over."""

_SLICE: Final = 8192  # rows between two checks for room


class ContextEngine:
    """Context features of one stream, fed in order of arrival.

    Parameters
    ----------
    max_records
        Bound on the records held at a time (about 150 bytes each with their keys).
    """

    def __init__(self, max_records: int = MAX_RECORDS) -> None:
        if max_records < 1:
            raise ValueError(f"max_records is {max_records}; it must be at least 1")
        self._max_records = max_records
        self._context = new_context(_SLICE, 2 * _SLICE)

    @property
    def evicted(self) -> int:
        """Records that had to leave before their hour was over, for want of room."""
        return int(self._context.clock[EVICTED])

    @property
    def late(self) -> int:
        """Records that ended before the clock and were counted as arriving then."""
        return int(self._context.clock[LATE])

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


@njit(cache=True)
def _write_windows(c: Context, at: int, row: npt.NDArray[np.float32], column: int) -> int:
    """Write the window columns for the record at `at`, from `column` on; return the next one."""
    slots = c.slots[at]
    for window in range(LAST + 1):
        of_source, of_target = c.host[slots[0], window], c.host[slots[1], window]
        of_pair, of_service = c.pair[slots[2], window], c.service[slots[4], window]
        sent = np.float64(of_source[OUT_FLOWS])
        got = np.float64(of_target[IN_FLOWS])
        shared = np.float64(of_pair[FLOWS])
        row[column] = math.log1p(sent)
        row[column + 1] = of_source[OUT_FAILED] / sent
        row[column + 2] = math.log1p(of_source[OUT_HOSTS])
        row[column + 3] = math.log1p(of_source[OUT_PORTS])
        row[column + 4] = of_source[OUT_HOSTS] / sent
        row[column + 5] = of_source[OUT_PORTS] / sent
        column += 6
        if window != LAST:
            row[column] = of_source[OUT_FIRST] / sent
            column += 1
        row[column] = math.log1p(got)
        row[column + 1] = of_target[IN_FAILED] / got
        row[column + 2] = math.log1p(of_target[IN_HOSTS])
        row[column + 3] = math.log1p(of_target[IN_PORTS])
        row[column + 4] = of_target[IN_HOSTS] / got
        row[column + 5] = math.log1p(np.float64(c.host_bytes[slots[1], window]))
        row[column + 6] = math.log1p(shared)
        row[column + 7] = of_pair[FAILED] / shared
        row[column + 8] = math.log1p(of_pair[PORTS])
        row[column + 9] = of_pair[ANSWERS] / shared
        row[column + 10] = shared / sent
        row[column + SERIES_WIDTH] = math.log1p(of_service[FLOWS])
        row[column + 12] = of_service[FAILED] / np.float64(of_service[FLOWS])
        row[column + 13] = math.log1p(of_service[HOSTS])
        column += 14
    return column


@njit(cache=True, nogil=True)
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
    for i in range(begin, end):
        advance(c, columns.end[i])
        expire(c)
        if clock[HEAD] - clock[TAIL + LAST] >= max_records:
            expire_oldest(c)
            clock[EVICTED] += 1
        at = enter(c, columns, i)
        clocks[i] = clock[NOW]
        row = out[i]
        slots = c.slots[at]
        source, target, pair = slots[0], slots[1], slots[2]
        column = _write_windows(c, at, row, FLOW_WIDTH)
        contacts = c.contact[slots[5], LAST]
        write_series(c, at, c.prev_contact, contacts, CONTACTS, scratch, row, column)
        row[column + SERIES_WIDTH] = 1.0 if contacts >= REGULAR_FROM else 0.0
        column += SERIES_WIDTH + 1
        is_lookup = (c.flags[at] & FLAG_LOOKUP) != 0
        if is_lookup:
            write_series(
                c, at, c.prev_lookup, c.host_lookups[source], LOOKUPS, scratch, row, column
            )
        else:
            for k in range(SERIES_WIDTH):
                row[column + k] = np.nan
        row[column + SERIES_WIDTH] = 1.0 if is_lookup else 0.0
        column += SERIES_WIDTH + 1
        mask = np.uint32(len(c.arrival) - 1)
        age = clock[NOW] - c.arrival[c.host_first_in[target] & mask]
        held = np.float64(clock[HEAD] - clock[TAIL + LAST])
        row[column] = 1.0 if c.pair[pair, LAST, FLOWS] == 1 else 0.0
        row[column + 1] = math.log1p(np.float64(c.host[source, LAST, IN_HOSTS]))
        row[column + 2] = c.host[target, LAST, IN_HOSTS] / np.float64(clock[SOURCES])
        row[column + 3] = math.log1p(age / SECOND)
        row[column + 4] = math.log1p(c.port_flows[c.ports[at]] / held * 1e4)
        column += 5
        for window in range(LAST + 1):
            observed = (clock[NOW] - clock[BEGAN]) / np.float64(LENGTHS[window])
            row[column + window] = min(observed, 1.0)


_CONTEXT_WIDTH: Final = (
    sum(20 + (w != WINDOWS[-1]) for w in WINDOWS) + 2 * (SERIES_WIDTH + 1) + 5 + len(WINDOWS)
)
assert len(FEATURES) == FLOW_WIDTH + _CONTEXT_WIDTH, "the writers and the schema disagree"
