"""Events beside a labelled table: what its flows were about, as Suricata logged it.

The events of ``tables/NAME.parquet`` stand in ``protocol/NAME.parquet``, in a folder beside that of
the table. A row is an event of type ``event`` (dns, http or tls; others are left out) of the flow
with its ``uid`` in its ``capture``, at ``ts``. The other columns are members of Suricata's events
as text, called by their place (``http.hostname``, ``tls.issuerdn``, ``dns.rrname``).
``dns.answers`` is a JSON list of records, each an object as in Suricata's events, or
``[rrtype, rdata, ttl]``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from zeekml.errors import DataError
from zeekml.readers.events._packed_events import pack
from zeekml.readers.events.eve_events import events_of, loosely
from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import EVENTS, KINDS
from zeekml.readers.events.events_column import remembered_columns
from zeekml.readers.events.flow_memory import Answer, FlowMemory

FOLDER: Final = "protocol"
_KEYS: Final = ("capture", "uid", "event")
_ANSWER: Final = ("rrtype", "rdata", "ttl")


def events_beside(table: Path) -> Path | None:
    """The table of events that belongs to a labelled table; None if there is none."""
    found = table.resolve().parent.parent / FOLDER / table.name
    return found if found.is_file() else None


def read_events(
    path: Path, captures: Sequence[str], uids: npt.NDArray[Any]
) -> tuple[pa.ListArray, int]:
    """The events of flows (rows,), null for none, and how many events have no flow.

    Flows are told by the names of their captures and their uids, both (rows,). A table that
    cannot be read, or lacks a column, is a `DataError`.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as Parquet: {reason}") from error
    lacking = [name for name in (*_KEYS, "ts") if name not in table.column_names]
    if lacking:
        raise DataError(f"{path}: no events of flows (column {lacking[0]!r} is missing)")
    found: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for row in table.sort_by("ts").to_pylist():
        if row["event"] in KINDS:
            found[row["capture"], str(row["uid"])] += _events(row)
    of_flows: list[Answer] = []
    for key in zip(captures, map(str, uids), strict=True):
        memory = FlowMemory()
        for event in found.pop(key, ()):
            memory.add(0, pack(event))
        of_flows.append(memory.take(0))
    _, events = remembered_columns(of_flows)
    none = pa.nulls(len(of_flows), EVENTS)
    return none if events is None else events, sum(map(len, found.values()))


def _events(row: dict[str, Any]) -> list[Event]:
    """The events of a row."""
    kind = row["event"]
    body = {
        name.partition(".")[2]: value
        for name, value in row.items()
        if value is not None and name.startswith(f"{kind}.")
    }
    if "answers" in body:
        body["answers"] = _answers(body["answers"])
    return events_of(loosely({"event_type": kind, "timestamp": _time(row["ts"]), kind: body}))


def _answers(text: str) -> list[dict[str, Any]]:
    try:
        records = msgspec.json.decode(text)
    except (msgspec.DecodeError, TypeError):
        return []
    listed = records if isinstance(records, list) else []
    return [
        dict(zip(_ANSWER, record, strict=False)) if isinstance(record, list) else record
        for record in listed
    ]


def _time(value: Any) -> Any:
    # events hold times as texts or numbers
    return float(value) if isinstance(value, (int, float, np.floating)) else value
