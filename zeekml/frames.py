"""pandas in, pandas out: the edge of the library for notebooks and scripts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from zeekml.config import Config
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.errors import ReadWarning
from zeekml.flows.archive import flows_of, read_stream
from zeekml.flows.discovery import Discovery, Stream, discover
from zeekml.flows.given_columns import named_columns
from zeekml.flows.rejects import ReadCounters
from zeekml.flows.schema import FLOW_SCHEMA, REQUIRED
from zeekml.flows.verdict import shortfall
from zeekml.outputs import SCORES_SCHEMA, scores_table
from zeekml.pipeline import Scorer

_CHUNK = 8192


def read_flows(
    path: str | os.PathLike[str], *, columns: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Flows of a log, a directory of logs or a flow table, with Zeek's column names.

    Parameters
    ----------
    path
        The log, directory or table.
    columns
        Names of all columns of tab-separated files without a header, in their order.

    Raises
    ------
    InputError
        There is no supported log at `path`.
    ValueError
        `columns` lacks one without which there is no connection.

    Warns
    -----
    ReadWarning
        Records could not be read and were left out, or a file ends too early.
    """
    discovery = _discovered(path, columns)
    counters = ReadCounters()
    table = flows_of(discovery, counters=counters)
    _warn(counters, discovery.streams)
    return table.to_pandas()


def score(
    flows: pd.DataFrame | str | os.PathLike[str],
    *,
    bundle: Bundle | None = None,
    config: Config | None = None,
    columns: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Score flows and return one row per flow: the columns of `scores.parquet`.

    Parameters
    ----------
    flows
        A path as for `read_flows`, or a frame with Zeek's column names, taken as one stream in
        the order of its rows. `ts`, `id.orig_h`, `id.resp_h` and `proto` are required.
    bundle
        From `zeekml.load_bundle`; by default the bundle that comes with zeekml.
    config
        Local networks and bounds.
    columns
        As for `read_flows`.

    Raises
    ------
    InputError
        There is no supported log at the path.
    ValueError
        The frame or `columns` lacks a required column.

    Warns
    -----
    ReadWarning
        As `read_flows`.
    """
    bundle = bundle or load_bundle()
    tables = []
    if isinstance(flows, pd.DataFrame):
        scorer = Scorer(bundle, config)
        for batch in _as_flows(flows).to_batches(max_chunksize=_CHUNK):
            tables.append(scores_table(scorer.score(batch)))
    else:
        counters = ReadCounters()
        streams = _discovered(flows, columns).streams
        for stream in streams:
            scorer = Scorer(bundle, config)
            for batch in read_stream(stream, counters=counters):
                tables.append(scores_table(scorer.score(batch)))
        _warn(counters, streams)
    return pa.concat_tables([SCORES_SCHEMA.empty_table(), *tables]).to_pandas()


def _discovered(path: str | os.PathLike[str], columns: str | Sequence[str] | None) -> Discovery:
    header = None if columns is None else named_columns(columns)
    return discover([Path(path)], columns=header)


def _warn(counters: ReadCounters, streams: Sequence[Stream]) -> None:
    """Say what could not be read; nobody looks at a summary here."""
    rejected = ", ".join(f"{reason} {n:,}" for reason, n in counters.rejected.most_common())
    message = shortfall(counters, streams, done="read")
    if message is None and rejected:
        message = f"{sum(counters.rejected.values()):,} records could not be read ({rejected})"
    if message is not None:
        warnings.warn(
            ReadWarning(
                message,
                records_read=counters.records_read,
                records_rejected=dict(counters.rejected),
                records_skipped=dict(counters.skipped),
                truncated=list(counters.truncated),
            ),
            stacklevel=3,
        )


def _as_flows(frame: pd.DataFrame) -> pa.Table:
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise ValueError(f"the frame lacks the columns {', '.join(missing)}")
    rows = len(frame)
    columns = []
    for field in FLOW_SCHEMA:
        if field.name in frame.columns:
            column = pa.array(frame[field.name], from_pandas=True)
            if pa.types.is_dictionary(column.type) or pa.types.is_dictionary(field.type):
                column = column.cast(pa.string()).dictionary_encode()
            if not pa.types.is_dictionary(field.type):
                column = column.cast(field.type)
        elif field.name in ("sensor", "source"):
            column = pa.array(["frame"] * rows).dictionary_encode()
        elif field.name == "line":
            column = pa.array(range(1, rows + 1), pa.int64())
        else:
            column = pa.nulls(rows, field.type)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=FLOW_SCHEMA)
