"""Events of a sensor's other logs, joined with flows as both come along.

Zeek writes an event before the connection that it belongs to, into a log of its own. Each log has a
clock, the latest time in it so far: of an event's log, when events began, of conn.log, when
connections ended. A flow takes the events of its uid that stand in their log before its own time
and the hold; so what it gets is up to the order in each log, and not to how they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from zeekml.readers.events.event_schema import CONTEXT_HOLD
from zeekml.readers.events.events_column import remembered_columns
from zeekml.readers.events.flow_memory import Answer, FlowMemory, Ints, Told
from zeekml.readers.stream_clock import flow_ends

_NO_LINES: Final = np.empty(0, np.int64)
_NOTHING: Final = Told(_NO_LINES, [], [])


class _EventLog:
    """One log of events, read as far as flows have come, and what waits of it."""

    def __init__(self, told: Iterator[Told]) -> None:
        self._told = told
        self._next: Told | None = next(told, None)
        self._memory = FlowMemory()

    def finish(self) -> int:
        """Read the rest; of how many flows there were events that none was given."""
        while self._next is not None:
            self._memory.exchange(self._next, _NO_LINES, [])
            self._next = next(self._told, None)
        return self._memory.unasked

    def answers(self, uids: list[int | str | None], times: Ints) -> list[Answer]:
        """The events of flows (n,), for each those that stand before its time, in their order."""
        found: list[Answer] = []
        while self._next is not None and self._next.lines[-1] < times[-1]:
            # no later piece has anything for flows up to the end of this one
            ready = int(np.searchsorted(times, self._next.lines[-1], "right"))
            done = slice(len(found), ready)
            found += self._memory.exchange(self._next, times[done], uids[done])
            self._next = next(self._told, None)
        before = _NOTHING
        if self._next is not None:
            before, rest = self._next.until(int(times[-1]))
            self._next = rest if rest.events else next(self._told, None)
        return found + self._memory.exchange(before, times[len(found) :], uids[len(found) :])


class EventJoin:
    """Gives the flows of one conn.log their events.

    Parameters
    ----------
    logs
        By kind of event, what the log tells, in order.
    hold
        Seconds of log time by which an event's log may be ahead of the connection.
    """

    def __init__(self, logs: Mapping[str, Iterator[Told]], hold: float = CONTEXT_HOLD) -> None:
        self._logs = [_EventLog(told) for told in logs.values()]
        self._hold = round(hold * 1e6)
        self._clock = -(1 << 62)

    def attach(self, flows: pa.RecordBatch) -> pa.RecordBatch:
        """The next flows with their column of events."""
        uids = flows.column("uid").to_pylist()
        return with_answers(flows, self.answers(uids, flow_ends(flows)))

    def finish(self) -> int:
        """Read what is left after the last flow; how many flows, of each log, were never asked of.

        Their events came too late, or their connection did not end while conn.log was written.
        """
        return sum(log.finish() for log in self._logs)

    def answers(self, uids: list[int | str | None], ends: Ints) -> list[Answer]:
        """What is told of the next flows (n,), which ended then, in microseconds."""
        clocks = np.maximum.accumulate(np.maximum(ends, self._clock))
        self._clock = int(clocks[-1])
        found: list[Answer] = [None] * len(uids)
        for log in self._logs:
            for row, answer in enumerate(log.answers(uids, clocks + self._hold)):
                if answer is not None:
                    found[row] = [*(found[row] or ()), *answer]
        return found


def with_answers(flows: pa.RecordBatch, answers: list[Answer]) -> pa.RecordBatch:
    """Flows (n,) with the events that were remembered of each."""
    _, events = remembered_columns(answers)
    if events is None:
        return flows
    at = flows.schema.get_field_index("events")
    return flows.set_column(at, flows.schema.field(at), events)
