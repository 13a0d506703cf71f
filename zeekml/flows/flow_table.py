"""Flow tables: Parquet files with conn.log's column names.

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

from zeekml.flows.columns import (
    COUNTS,
    MAX_COUNT,
    MAX_PORT,
    PORTS,
    RAW_TYPES,
    RECORD_COLUMNS,
    TIMES,
    BoolArray,
    build_batch,
    flow_end,
)
from zeekml.flows.rejects import SourceAccount
from zeekml.flows.schema import REQUIRED, SURICATA, ZEEK

CAPTURE: Final = "capture"
MAGIC: Final = b"PAR1"
TABLE_ERRORS: Final = (pa.ArrowException, OSError, ValueError)
"""What pyarrow raises for files that are no sound Parquet."""


def table_refusal(path: Path) -> str | None:
    """Return why a Parquet file is no flow table, as a key for counting, or None.

    Raises
    ------
    pyarrow.ArrowException, OSError
        When the file cannot be read.
    """
    names = set(pq.read_schema(path).names)
    if {"score", "threat", "spread"} <= names:
        return "own_output"
    return None if set(REQUIRED) <= names else "no_conn_fields"


def captures(path: Path) -> list[str | None]:
    """Return the captures in a table in order of appearance; ``[None]`` without that column."""
    file = pq.ParquetFile(path)
    if CAPTURE not in file.schema_arrow.names:
        return [None]
    found: dict[str | None, None] = {}
    for batch in file.iter_batches(columns=[CAPTURE]):
        found.update(dict.fromkeys(pc.unique(_texts(batch.column(0))).to_pylist()))
    return list(found)


def read_table(
    path: Path,
    *,
    capture: str | None,
    account: SourceAccount,
    keep_originals: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yield the flows of one capture, ordered by their end, then by row.

    Parameters
    ----------
    path : Path
        A Parquet file with at least `ts`, `id.orig_h`, `id.resp_h` and `proto`.
    capture : str or None
        Only rows of this capture; None takes those that name none.
    account : SourceAccount
        Gets every row as accepted or rejected.
    keep_originals : bool
        Adds the column ``original``: all columns of the row as JSON.

    Raises
    ------
    pyarrow.ArrowException, OSError
        When the file is damaged.
    """
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    wanted = None if keep_originals else [n for n in names if n in _USED]
    table = file.read(columns=wanted)
    rows = np.arange(1, len(table) + 1, dtype=np.int64)
    if CAPTURE in names:
        named = _texts(table.column(CAPTURE).combine_chunks())
        chosen = named.is_null() if capture is None else pc.equal(named, capture)
        mask = pc.fill_null(chosen, False)
        table = table.filter(mask)
        rows = rows[mask.to_numpy(zero_copy_only=False)]
    if not len(table):
        return
    bad = np.zeros(len(table), np.bool_)
    columns = {
        name: _converted(name, table.column(name).combine_chunks(), bad, account)
        for name in RECORD_COLUMNS
        if name in names
    }

    def as_json(row: int) -> bytes:
        record = table.slice(row, 1).to_pylist()[0]
        kept = {name: value for name, value in record.items() if value is not None}
        return msgspec.json.encode(kept, enc_hook=str)

    batch = build_batch(
        columns,
        rows,
        sensor=_sensors(table) if "sensor" in names else ZEEK,
        account=account,
        excerpt=as_json,
        original=as_json if keep_originals else None,
        signatures=_signatures(table) if "signatures" in names else None,
        bad_rows=bad,
    )
    if batch is not None:
        yield batch.take(pa.array(np.argsort(flow_end(batch), kind="stable")))


_USED: Final = frozenset({*RECORD_COLUMNS, CAPTURE, "sensor", "signatures"})


def _texts(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def _sensors(table: pa.Table) -> pa.Array:
    named = _texts(table.column("sensor").combine_chunks())
    is_suricata = pc.fill_null(pc.equal(named, SURICATA), False)
    return pc.if_else(is_suricata, SURICATA, ZEEK)


def _signatures(table: pa.Table) -> pa.Array | None:
    column = table.column("signatures").combine_chunks()
    kind = pa.list_(pa.string())
    return column.cast(kind) if pa.types.is_list(column.type) else None


def _converted(name: str, column: pa.Array, bad: BoolArray, account: SourceAccount) -> pa.Array:
    """Bring a column to its type; rows whose value cannot be converted are marked in `bad`."""
    kind = RAW_TYPES[name]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if name in TIMES:
        return _as_seconds(column, bad)
    if name in PORTS or name in COUNTS:
        return _as_whole(column, kind, MAX_PORT if name in PORTS else None, bad, account)
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        bad |= column.is_valid().to_numpy(zero_copy_only=False)
        return pa.nulls(len(column), kind)


def _as_seconds(column: pa.Array, bad: BoolArray) -> pa.Array:
    kind = column.type
    if pa.types.is_timestamp(kind):
        microseconds = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
        return pc.divide(microseconds.cast(pa.float64(), safe=False), 1e6)
    if pa.types.is_duration(kind):
        microseconds = column.cast(pa.duration("us"), safe=False).cast(pa.int64())
        return pc.divide(microseconds.cast(pa.float64(), safe=False), 1e6)
    return _nan_to_null(_as_float(column, bad))


def _as_float(column: pa.Array, bad: BoolArray) -> pa.Array:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind):
        return column.cast(pa.float64(), safe=False)
    bad |= column.is_valid().to_numpy(zero_copy_only=False)
    return pa.nulls(len(column), pa.float64())


def _nan_to_null(column: pa.Array) -> pa.Array:
    # pandas has no integers with gaps: what it writes as NaN was never a number
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def _as_whole(
    column: pa.Array, kind: Any, highest: int | None, bad: BoolArray, account: SourceAccount
) -> pa.Array:
    if pa.types.is_integer(column.type) and column.type != pa.uint64():
        whole = column.cast(pa.int64())
    else:
        numbers = _nan_to_null(_as_float(column, bad))
        values = pc.fill_null(numbers, 0.0).to_numpy(zero_copy_only=False)
        bad |= (values != np.floor(values)) | (values < 0)
        large = values >= float(MAX_COUNT)
        if highest is None:
            account.clamp(int((large & ~bad).sum()))
        else:
            bad |= large
        unusable = bad | large
        usable = np.where(unusable, 0, values).astype(np.int64)
        gaps = numbers.is_null().to_numpy(zero_copy_only=False) | unusable
        whole = pa.array(usable, pa.int64(), mask=gaps)
    if highest is None:
        return whole
    ports = pc.fill_null(whole, 0).to_numpy(zero_copy_only=False)
    outside = (ports < 0) | (ports > highest)
    bad |= outside
    gaps = whole.is_null().to_numpy(zero_copy_only=False) | outside
    return pa.array(np.where(outside, 0, ports).astype(np.int32), kind, mask=gaps)
