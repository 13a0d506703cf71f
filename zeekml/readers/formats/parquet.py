"""Flow tables: Parquet files with conn.log's column names (or ``id_orig_h``, or a struct ``id``).

A table has no order of arrival, so its rows are taken by the end of their flows. An optional
column `capture` separates recordings that must not share any context: each is a stream of its
own. `line` is the 1-based row number in the file, whatever the order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zeekml.readers.batch_builder import BoolArray, build_batch, flow_end, valid_rows
from zeekml.readers.flow_schema import REQUIRED, SURICATA, ZEEK
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.values import HIGHEST, RAW_TYPES, RECORD_COLUMNS, TIMES, read_column

CAPTURE: Final = "capture"
MAGIC: Final = b"PAR1"
_NESTED: Final = "id"
TABLE_ERRORS: Final = (pa.ArrowException, OSError, ValueError)
"""What pyarrow raises for files that are no sound Parquet."""


def table_refusal(path: Path) -> str | None:
    """Why a Parquet file is no flow table, as a key for counting, or None."""
    schema = pq.read_schema(path)
    if {"score", "threat", "spread"} <= set(schema.names):
        return "own_output"
    return None if set(REQUIRED) <= _places(schema).keys() else "no_conn_fields"


def _places(schema: pa.Schema) -> dict[str, list[tuple[str, int | None]]]:
    """Where the values of each column of a record stand: columns, and members of one."""
    spelled: dict[str, tuple[str, int | None]] = {name: (name, None) for name in schema.names}
    nested = schema.field(_NESTED).type if schema.names.count(_NESTED) == 1 else None
    if nested is not None and pa.types.is_struct(nested):
        names = [nested.field(i).name for i in range(nested.num_fields)]
        spelled |= {f"{_NESTED}/{name}": (_NESTED, i) for i, name in enumerate(names)}
    places: dict[str, list[tuple[str, int | None]]] = {}
    for name in RECORD_COLUMNS:
        # as in Zeek's JSON, and in its order
        ways = dict.fromkeys((name, name.replace(".", "_"), name.replace(".", "/")))
        if found := [spelled[way] for way in ways if way in spelled]:
            places[name] = found
    return places


def captures(path: Path) -> list[str | None]:
    """The captures in a table in order of appearance; ``[None]`` without that column."""
    file = pq.ParquetFile(path)
    if CAPTURE not in file.schema_arrow.names:
        return [None]
    found: dict[str | None, None] = {}
    for batch in file.iter_batches(columns=[CAPTURE]):
        found.update(dict.fromkeys(pc.unique(batch.column(0).cast(pa.string())).to_pylist()))
    return list(found)


def read_table(
    path: Path, *, capture: str | None, account: SourceAccount, keep_originals: bool = False
) -> Iterator[pa.RecordBatch]:
    """Yield the flows of one capture, ordered by their end, then by row; None is of no capture.

    Of a column in two spellings, the first one with a value counts. `keep_originals` adds the
    column ``original``: all columns of the row as JSON.
    """
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    places = _places(file.schema_arrow)
    used = {CAPTURE, "sensor", "signatures"} | {
        name for spelled in places.values() for name, _ in spelled
    }
    table = file.read(columns=None if keep_originals else [n for n in names if n in used])
    rows = np.arange(1, len(table) + 1, dtype=np.int64)
    if CAPTURE in names:
        named = table.column(CAPTURE).combine_chunks().cast(pa.string())
        chosen = named.is_null() if capture is None else pc.equal(named, capture)
        mask = pc.fill_null(chosen, False)
        table = table.filter(mask)
        rows = rows[mask.to_numpy(zero_copy_only=False)]
    if not len(table):
        return
    columns: dict[str, pa.Array] = {}
    unread: dict[str, BoolArray] = {}
    for name, spelled in places.items():
        read = []
        for own, member in spelled:
            column = table.column(own).combine_chunks()
            # a member of nothing is null, too
            given = column if member is None else pc.struct_field(column, [member])
            read.append(read_array(name, given))
        columns[name] = pc.coalesce(*(values for values, _ in read))
        off = np.logical_or.reduce([rows for _, rows in read])
        unread[name] = off & ~valid_rows(columns[name])

    sensor: str | pa.Array = ZEEK
    if "sensor" in names:
        named = table.column("sensor").combine_chunks().cast(pa.string())
        sensor = pc.if_else(pc.fill_null(pc.equal(named, SURICATA), False), SURICATA, ZEEK)
    signatures = None
    if "signatures" in names and pa.types.is_list(table.schema.field("signatures").type):
        signatures = table.column("signatures").combine_chunks().cast(pa.list_(pa.string()))

    def as_json(row: int) -> bytes:
        record = table.slice(row, 1).to_pylist()[0]
        kept = {name: value for name, value in record.items() if value is not None}
        return msgspec.json.encode(kept, enc_hook=str)

    batch = build_batch(
        columns,
        rows,
        sensor=sensor,
        account=account,
        excerpt=as_json,
        original=as_json if keep_originals else None,
        signatures=signatures,
        unread=unread,
    )
    if batch is not None:
        yield batch.take(pa.array(np.argsort(flow_end(batch), kind="stable")))


def read_array(name: str, column: pa.Array) -> tuple[pa.Array, BoolArray]:
    """Read a column of any type as `zeekml.readers.values.read_column` reads single values."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    is_time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if name in TIMES and (
        number or (pa.types.is_duration(kind) if name == "duration" else is_time)
    ):
        return _seconds(column), np.zeros(len(column), np.bool_)
    if name in HIGHEST and number:
        return _whole(name, column)
    if RAW_TYPES[name] == pa.string() and (_is_text(kind) or pa.types.is_integer(kind)):
        return column.cast(pa.string()), np.zeros(len(column), np.bool_)
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    held = kind.value_type if any(is_it(kind) for is_it in lists) else kind
    single = (pa.types.is_null, pa.types.is_boolean, pa.types.is_decimal)
    if number or _is_text(held) or any(is_it(kind) for is_it in single):
        return read_column(name, _nan_to_null(column).to_pylist())
    # nothing that any format would put there
    return pa.nulls(len(column), RAW_TYPES[name]), valid_rows(column)


def _is_text(kind: Any) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _seconds(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _nan_to_null(column.cast(pa.float64(), safe=False))
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    unit = pa.duration("us") if pa.types.is_duration(kind) else pa.timestamp("us", zone)
    micros = column.cast(unit, safe=False).cast(pa.int64())
    return pc.divide(micros.cast(pa.float64(), safe=False), 1e6)


def _nan_to_null(column: pa.Array) -> pa.Array:
    # pandas has no integers with gaps: what it writes as NaN was never a number
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _whole(name: str, column: pa.Array) -> tuple[pa.Array, BoolArray]:
    valid = valid_rows(_nan_to_null(column))
    values = np.where(valid, column.to_numpy(zero_copy_only=False), 0)
    off = ~((values >= 0) & (values < float(HIGHEST[name] + 1)))
    if pa.types.is_floating(column.type):
        off |= values != np.floor(values)
    whole = np.where(off, 0, values).astype(np.int64)
    return pa.array(whole, mask=off | ~valid).cast(RAW_TYPES[name]), off
