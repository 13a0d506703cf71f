"""Environments in Parquet files: flow columns with Zeek's names, and a ``label`` per row.

A label is one of the classes, ``other-attack`` (malicious, class not known), a name that
`label_names` knows, or null (background: seen by the context windows, never trained or scored on).
Optional columns: ``capture`` (recordings whose context must not mix), ``episode`` (which attack a
row belongs to), ``family`` (the malware or tool that attacked, see `families`), ``label_raw`` (what
the label was called at its source), ``label_quality`` (text; "circular" marks labels made by rules
on the flow itself) and ``indirect`` (1 = leave the row unlabelled). What flows were about may stand
beside the table, see `event_table`. Extractors other than Zeek and
Suricata are repaired on reading, see `field_repairs`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zeekml.datasets.duplicates import without_duplicates
from zeekml.datasets.environment import UNLABELLED, Environment, digest
from zeekml.datasets.event_table import events_beside, read_events
from zeekml.datasets.field_repairs import Columns, repair
from zeekml.datasets.label_names import find_settings
from zeekml.datasets.references import reference_for
from zeekml.errors import DataError, NotLabelledFlowsError
from zeekml.readers.flow_schema import FLOW_SCHEMA, REQUIRED, ZEEK

NUMBERS: Final = tuple(
    f.name
    for f in FLOW_SCHEMA
    if (pa.types.is_integer(f.type) or pa.types.is_floating(f.type)) and f.name != "line"
)
TEXTS: Final = tuple(f.name for f in FLOW_SCHEMA if pa.types.is_string(f.type))
_LARGEST_COUNT: Final = 2**62


def read_table(path: Path, name: str) -> Environment:
    """Read a Parquet file; errors as those of `read.read_environment`."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as Parquet: {reason}") from error
    lacking = [column for column in (*REQUIRED, "label") if column not in table.column_names]
    if lacking:
        raise NotLabelledFlowsError(f"{path}: no labelled flows (column {lacking[0]!r} is missing)")

    settings = find_settings(path.parent)
    columns = _columns(table)
    texts = text_column(table, "label")
    meant: dict[str | None, int] = {None: UNLABELLED}
    for row, text in enumerate(texts, 1):
        if text not in meant:
            meant[text] = settings.code(text, "", f"{path}: row {row}")
    labels = np.array([meant[text] for text in texts], dtype=np.int8)
    if "indirect" in table.column_names:
        labels[number_column(table, "indirect") == 1] = UNLABELLED
    notes = []
    good = np.isfinite(columns["ts"]) & columns["proto"].astype(bool)
    for side in ("id.orig_h", "id.resp_h"):
        given = [value is not None and _is_address(value) for value in columns[side]]
        good &= np.array(given, dtype=np.bool_)
    if not good.all():
        notes.append(f"{int((~good).sum()):,} rows without time, addresses or protocol left out")
    for key, normal in (("proto", str.lower), ("service", _service_set), ("conn_state", str)):
        columns[key] = _normalised(columns[key], normal)
    notes += repair(columns)

    codes: dict[str, int] = {}
    names = [text or name for text in text_column(table, "capture")]
    captures = np.array([codes.setdefault(text, len(codes)) for text in names], dtype=np.int32)
    quality = text_column(table, "label_quality")
    circular = np.array([bool(q) and "circular" in q for q in quality], dtype=bool)
    end = columns["ts"] + np.nan_to_num(columns["duration"])
    rows = np.flatnonzero(good)
    order = rows[np.lexsort((end[rows], captures[rows]))]

    def told(column: str) -> npt.NDArray[Any] | None:
        there = column in table.column_names
        return text_column(table, column)[order] if there else None

    flows = flow_table({key: value[order] for key, value in columns.items()}, source=name)
    files = [path] if settings.path is None else [path, settings.path]
    if (beside := events_beside(path)) is not None:
        of = [names[row] for row in order]
        events, homeless = read_events(beside, of, columns["uid"][order])
        flows = flows.set_column(flows.schema.get_field_index("events"), "events", events)
        files.append(beside)
        if homeless:
            notes.append(f"{homeless:,} events of flows that are not there left out")
    environment = without_duplicates(
        Environment(
            name=name,
            flows=flows,
            labels=labels[order],
            captures=captures[order],
            capture_names=tuple(codes),
            circular=circular[order],
            reference=reference_for(name),
            sha256=digest(files),
            notes=tuple(notes),
            sensors=tuple(sorted({s for s in text_column(table, "sensor") if s is not None})),
            episodes=told("episode"),
            details=told("label_raw"),
            families=told("family"),
        )
    )
    if not (environment.labels != UNLABELLED).any():
        raise NotLabelledFlowsError(f"{path}: no row has a label")
    return environment


def flow_table(columns: Columns, *, source: str) -> pa.Table:
    """A table of ``FLOW_SCHEMA`` from plain columns; those that are not there are null.

    Numbers are floats (NaN = missing), texts objects (None = missing). `source` goes into the
    column of that name, and ``line`` counts rows from 1.
    """
    length = len(columns["ts"])
    arrays = []
    for column in FLOW_SCHEMA:
        if column.name in ("sensor", "source"):
            text = ZEEK if column.name == "sensor" else source
            indices = pa.array(np.zeros(length, dtype=np.int32))
            arrays.append(pa.DictionaryArray.from_arrays(indices, pa.array([text])))
        elif column.name == "line":
            arrays.append(pa.array(np.arange(1, length + 1), pa.int64()))
        elif column.name not in columns:
            arrays.append(pa.nulls(length, column.type))
        elif column.name in NUMBERS:
            values = np.asarray(columns[column.name], dtype=np.float64)
            if pa.types.is_integer(column.type):
                values = np.rint(values)
                missing = ~(np.abs(values) < _LARGEST_COUNT)
                whole = np.where(missing, 0, values).astype(np.int64)
                arrays.append(pa.array(whole, pa.int64(), mask=missing).cast(column.type))
            else:
                arrays.append(pa.array(values, column.type, mask=np.isnan(values)))
        else:
            arrays.append(pa.array(columns[column.name], column.type, from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=FLOW_SCHEMA)


def _columns(table: pa.Table) -> Columns:
    columns: Columns = {}
    for name in table.column_names:
        if name in NUMBERS or name.startswith("x_"):
            column = table[name]
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                columns[name] = text_column(table, name)
            else:
                columns[name] = number_column(table, name)
    for name in NUMBERS:
        columns.setdefault(name, np.full(table.num_rows, np.nan))
    for name in TEXTS:
        columns[name] = text_column(table, name)
    for name in ("ts", "duration"):
        columns[name] = np.round(columns[name], 6)
    return columns


def number_column(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """A column as floats, NaN where it is null."""
    values = pc.cast(table[name], pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.array(values, dtype=np.float64)


def text_column(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column as texts, None where it is null, empty or not there."""
    if name not in table.column_names:
        return np.full(table.num_rows, None, dtype=object)
    values = np.empty(table.num_rows, dtype=object)
    values[:] = [value or None for value in pc.cast(table[name], pa.string()).to_pylist()]
    return values


@lru_cache(maxsize=65536)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _normalised(texts: npt.NDArray[Any], normal: Callable[[str], str | None]) -> npt.NDArray[Any]:
    known = {text: None if text in (None, "-") else normal(text) for text in set(texts)}
    out = np.empty(len(texts), dtype=object)
    out[:] = [known[text] for text in texts]
    return out


def _service_set(text: str) -> str | None:
    """A set of services in the readers' form: lower case, sorted, without denials."""
    parts = {part.strip().lower() for part in text.split(",")}
    return ",".join(sorted(part for part in parts if part and not part.startswith("-"))) or None
