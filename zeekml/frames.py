"""pandas in, pandas out: the edge of the library for notebooks and scripts."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pyarrow as pa

from zeekml.config import Config
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.flows.archive import read_flow_table, read_stream
from zeekml.flows.discovery import discover
from zeekml.flows.rejects import ReadCounters
from zeekml.flows.schema import FLOW_SCHEMA, REQUIRED
from zeekml.outputs import SCORES_SCHEMA, scores_table
from zeekml.pipeline import Scorer

_CHUNK = 8192


def read_flows(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Flows of a log, a directory of logs or a flow table, with Zeek's column names.

    Records that cannot be read are left out; `zeekml score` reports them.

    Raises
    ------
    InputError
        There is no supported log at `path`.
    """
    return read_flow_table([Path(path)]).to_pandas()


def score(
    flows: pd.DataFrame | str | os.PathLike[str],
    *,
    bundle: Bundle | None = None,
    config: Config | None = None,
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

    Raises
    ------
    InputError
        There is no supported log at the path.
    ValueError
        The frame lacks a required column.
    """
    bundle = bundle or load_bundle()
    tables = []
    if isinstance(flows, pd.DataFrame):
        scorer = Scorer(bundle, config)
        for batch in _as_flows(flows).to_batches(max_chunksize=_CHUNK):
            tables.append(scores_table(scorer.score(batch)))
    else:
        for stream in discover([Path(flows)]).streams:
            scorer = Scorer(bundle, config)
            for batch in read_stream(stream, counters=ReadCounters()):
                tables.append(scores_table(scorer.score(batch)))
    return pa.concat_tables([SCORES_SCHEMA.empty_table(), *tables]).to_pandas()


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
