"""Events of flows as a column."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.readers.events._packed_events import measure, unpack
from zeekml.readers.events.event_schema import EVENT, KINDS
from zeekml.readers.events.flow_memory import Answer, signatures

_FIELDS: Final = [EVENT.field(i) for i in range(EVENT.num_fields)]
_PLACES: Final = {kind[0].encode()[0]: place for place, kind in enumerate(KINDS)}
_KIND_OF: Final = np.array([_PLACES.get(letter, 0) for letter in range(256)], np.int32)


def events_column(of_flows: list[Answer], count: int, size: int) -> pa.ListArray:
    """A column (flows,) of `EVENTS`; null for a flow without any.

    An answer of DNS stands for the query that it answers. `count` and `size` are what `measure`
    says.
    """
    starts, known, kinds, numbers, texts, addresses = unpack(of_flows, count, size)
    rows = len(kinds)
    arrays: list[pa.Array] = []
    for field in _FIELDS:
        if field.name == "kind":
            arrays.append(pa.array(KINDS, pa.string()).take(pa.array(_KIND_OF[kinds])))
        elif field.name in texts:
            arrays.append(_texts(rows, *texts[field.name]))
        elif field.name == "answers":
            buffers, found, begin, answered = addresses
            none = pa.array(answered == 0)
            arrays.append(
                pa.ListArray.from_arrays(pa.array(begin), _texts(found, *buffers), mask=none)
            )
        else:
            column = pa.array(numbers[field.name], from_pandas=True)
            arrays.append(column.cast(field.type))
    values = pa.StructArray.from_arrays(arrays, fields=_FIELDS)
    return pa.ListArray.from_arrays(pa.array(starts), values, mask=pa.array(known == 0))


def count_events(flows: pa.RecordBatch) -> int:
    """How many flows of a batch have events."""
    return len(flows) - int(flows.column("events").null_count)


def _texts(
    rows: int, valid: npt.NDArray[Any], offsets: npt.NDArray[Any], data: npt.NDArray[Any]
) -> pa.StringArray:
    buffers = [pa.py_buffer(valid), pa.py_buffer(offsets[: rows + 1]), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), rows, buffers)


def remembered_columns(
    of_flows: list[Answer],
) -> tuple[pa.ListArray | None, pa.ListArray | None]:
    """Columns of signatures and of events (flows,) of what a `FlowMemory` gave for each flow.

    None stands for a column without a value.
    """
    count, size, has_signatures = measure(of_flows)
    texts = [signatures(of_flow) for of_flow in of_flows] if has_signatures else None
    return (
        None if texts is None else pa.array(texts, pa.list_(pa.string())),
        events_column(of_flows, count, size) if count else None,
    )
