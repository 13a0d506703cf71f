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
from zeekml.readers.events.eve_events import events_of, loosely
from zeekml.readers.events.event import Event, answers_in_place
from zeekml.readers.events.event_schema import KINDS, MOST_OF_A_FLOW
from zeekml.readers.events.events_column import events_column

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
    of_flows: list[list[Event] | None] = []
    for key in zip(captures, map(str, uids), strict=True):
        events = found.pop(key, None)
        of_flows.append(_first(answers_in_place(events)) if events else None)
    return events_column(of_flows), sum(map(len, found.values()))


def _first(events: list[Event]) -> list[Event]:
    """The events that a reader keeps: of each kind, the first few."""
    counts = dict.fromkeys(KINDS, 0)
    kept = []
    for event in events:
        counts[event.kind] += 1
        if counts[event.kind] <= MOST_OF_A_FLOW:
            kept.append(event)
    return kept


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
