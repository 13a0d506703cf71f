"""pandas in, pandas out: the edge of the library for notebooks and scripts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from zeekml.config import Config
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.flows.archive import read_flow_table, read_stream
from zeekml.flows.columns import BoolArray, build_batch, standard_name
from zeekml.flows.discovery import discover
from zeekml.flows.flow_table import read_array
from zeekml.flows.rejects import ReadCounters, SourceAccount
from zeekml.flows.schema import FLOW_SCHEMA, REQUIRED
from zeekml.flows.values import RECORD_COLUMNS, read_column
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
        the order of its rows. `ts`, `id.orig_h`, `id.resp_h` and `proto` are required; rows in
        which one of them is missing or bad are left out. Values may be written as in logs.
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
        for batch in _as_flows(flows, ReadCounters()).to_batches(max_chunksize=_CHUNK):
            tables.append(scores_table(scorer.score(batch)))
    else:
        for stream in discover([Path(flows)]).streams:
            scorer = Scorer(bundle, config)
            for batch in read_stream(stream, counters=ReadCounters()):
                tables.append(scores_table(scorer.score(batch)))
    return pa.concat_tables([SCORES_SCHEMA.empty_table(), *tables]).to_pandas()


def _as_flows(frame: pd.DataFrame, counters: ReadCounters) -> pa.Table:
    """Rows of a frame by the rules of the readers, in their order."""
    given = {standard_name(str(name)): frame[name] for name in frame.columns}
    given |= {name: frame[name] for name in frame.columns if name in given}
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        raise ValueError(f"the frame lacks the columns {', '.join(missing)}")
    read = {name: _read(name, given[name]) for name in RECORD_COLUMNS if name in given}
    batch = build_batch(
        {name: column for name, (column, _) in read.items()},
        np.arange(1, len(frame) + 1, dtype=np.int64),
        sensor="frame",
        account=SourceAccount("frame", counters, None),
        excerpt=lambda row: repr(frame.iloc[row].to_dict()).encode(),
        unread={name: rows for name, (_, rows) in read.items()},
    )
    if batch is None:
        return FLOW_SCHEMA.empty_table()
    rows = batch.column("line").to_numpy() - 1
    for name in ("sensor", "source", "line", "signatures"):
        if name in given:
            said = pa.array(given[name].iloc[rows], from_pandas=True)
            kind = FLOW_SCHEMA.field(name).type
            if pa.types.is_dictionary(kind):
                said = said.cast(pa.string()).dictionary_encode()
            batch = batch.set_column(
                FLOW_SCHEMA.get_field_index(name), FLOW_SCHEMA.field(name), said.cast(kind)
            )
    return pa.Table.from_batches([batch])


def _read(name: str, values: pd.Series) -> tuple[pa.Array, BoolArray]:
    try:
        return read_array(name, pa.array(values, from_pandas=True))
    except pa.ArrowException:
        # values of several types
        there = values.notna()
        return read_column(name, values.astype(object).where(there, None).tolist())
