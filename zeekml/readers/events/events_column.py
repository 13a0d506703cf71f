"""Events of flows as a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import EVENT
from zeekml.readers.events.flow_memory import parted

_FIELDS: Final = [EVENT.field(i) for i in range(EVENT.num_fields)]


def events_column(of_flows: Sequence[Sequence[Event] | None]) -> pa.ListArray:
    """A column (flows,) of `EVENTS`; null for a flow of which nothing is known."""
    lengths = [0 if events is None else len(events) for events in of_flows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    flat = [event for events in of_flows if events is not None for event in events]
    columns: list[Sequence[Any]] = list(zip(*flat, strict=True)) or [() for _ in _FIELDS]
    arrays = [pa.array(column, f.type) for column, f in zip(columns, _FIELDS, strict=True)]
    values = pa.StructArray.from_arrays(arrays, fields=_FIELDS)
    unknown = pa.array([events is None for events in of_flows], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=unknown)


def remembered_columns(
    texts: Sequence[list[str] | None],
) -> tuple[pa.ListArray | None, pa.ListArray | None]:
    """Columns of signatures and of events (flows,) of what a `FlowMemory` gave for each flow.

    None stands for a column without a value.
    """
    both = [parted(of_flow) for of_flow in texts]
    signatures, events = [one[0] for one in both], [one[1] for one in both]
    return (
        pa.array(signatures, pa.list_(pa.string())) if any(signatures) else None,
        events_column(events) if any(events) else None,
    )
