"""Events that wait for their flow, which sensors log when it is over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import DNS, EVENT_SCHEMA, MOST_OF_A_FLOW

MAX_FLOWS: Final = 200_000
"""Flows whose events are waiting."""

_FIELDS: Final = [EVENT_SCHEMA.field(i) for i in range(EVENT_SCHEMA.num_fields)]


class PendingEvents:
    """Events by flow, until the flow itself is logged.

    The flow whose last event is longest ago is forgotten first.

    Attributes
    ----------
    forgotten
        How many events were, since there were too many flows.
    """

    def __init__(self, max_flows: int = MAX_FLOWS) -> None:
        self._events: OrderedDict[str, list[Event]] = OrderedDict()
        self._max_flows = max_flows
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, flow: str, event: Event) -> None:
        """Keep an event of a flow; of each kind, as many as `MOST_OF_A_FLOW` and a count.

        An answer takes the place of the query that it answers.
        """
        events = self._events.get(flow)
        if events is None:
            self._events[flow] = [event]
            if len(self._events) > self._max_flows:
                self.forgotten += sum(1 + e.more for e in self._events.popitem(last=False)[1])
            return
        self._events.move_to_end(flow)
        if event.kind == DNS and event.rcode is not None:
            asked = (DNS, event.name, event.query_type, None)
            for place, other in enumerate(events):
                if (other.kind, other.name, other.query_type, other.rcode) == asked:
                    events[place] = event._replace(ts=other.ts, more=other.more)
                    return
        alike = [place for place, other in enumerate(events) if other.kind == event.kind]
        if len(alike) < MOST_OF_A_FLOW:
            events.append(event)
        else:
            last = events[alike[-1]]
            events[alike[-1]] = last._replace(more=last.more + 1)

    def take(self, flow: str | None) -> list[Event] | None:
        """The events of a flow in order of arrival, and forget them."""
        return None if flow is None else self._events.pop(flow, None)


def events_column(of_flows: Sequence[Sequence[Event] | None]) -> pa.ListArray:
    """A column (flows,) of lists of `EVENT_SCHEMA`; null for a flow of which nothing is known."""
    lengths = [0 if events is None else len(events) for events in of_flows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    flat = [event for events in of_flows if events is not None for event in events]
    columns: list[Sequence[Any]] = list(zip(*flat, strict=True)) or [() for _ in _FIELDS]
    arrays = [pa.array(column, f.type) for column, f in zip(columns, _FIELDS, strict=True)]
    values = pa.StructArray.from_arrays(arrays, fields=_FIELDS)
    unknown = pa.array([events is None for events in of_flows], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=unknown)
