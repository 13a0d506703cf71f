"""pandas in, pandas out: the edge of the library for notebooks and scripts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.config import Config
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.explanation import Contribution
from zeekml.ensemble.explanation import explain as reasons_of
from zeekml.ensemble.scoring import Ensemble
from zeekml.errors import ReadWarning
from zeekml.outputs import SCORES_SCHEMA, scores_table
from zeekml.pipeline import Pipeline
from zeekml.readers.archive import flows_of, read_stream
from zeekml.readers.batch_builder import BoolArray, build_batch, standard_name
from zeekml.readers.events.event_schema import EVENTS
from zeekml.readers.files.discovery import Discovery, Stream, discover
from zeekml.readers.flow_schema import FLOW_SCHEMA, REQUIRED
from zeekml.readers.formats.parquet import read_array
from zeekml.readers.formats.zeek_header import named_columns
from zeekml.readers.rejects import ReadCounters, SourceAccount
from zeekml.readers.shortfall import shortfall
from zeekml.readers.values import RECORD_COLUMNS, read_column

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
        the order of its rows. `ts`, `id.orig_h`, `id.resp_h` and `proto` are required; rows in
        which one of them is missing or bad are left out. Values may be written as in logs.
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
    for batches in _streams(flows, columns):
        pipeline = Pipeline(bundle, config=config)
        tables += [scores_table(pipeline.score(batch)) for batch in batches]
    return pa.concat_tables([SCORES_SCHEMA.empty_table(), *tables]).to_pandas()


def explain(
    flows: pd.DataFrame | str | os.PathLike[str],
    uids: Collection[str],
    *,
    top: int = 4,
    bundle: Bundle | None = None,
    config: Config | None = None,
    columns: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Why flows scored as they did: a row for each of them and each reason, strongest first.

    Parameters
    ----------
    flows, bundle, config, columns
        As for `score`: all flows, since those before one are its context.
    uids
        Of the flows to explain.
    top
        Most reasons for a flow.

    Returns
    -------
    pandas.DataFrame
        `uid`, `ts`, `score`, `feature`, `value` and `usual` (in `unit`, or text), `unit`,
        `contribution` (by how much the averaged log-odds of malicious fall when the feature is
        made usual) and `text`, the reason as a notice has it.

    Raises
    ------
    InputError, ValueError
        As `score`.
    """
    bundle = bundle or load_bundle()
    ensemble = Ensemble(bundle)
    wanted = pa.array(list(uids), pa.string())
    rows: list[dict[str, object]] = []
    for batches in _streams(flows, columns):
        pipeline = Pipeline(bundle, config=config, ensemble=ensemble)
        for batch in batches:
            features = pipeline.extract(batch)
            at = np.flatnonzero(pc.is_in(batch["uid"], wanted).to_numpy(zero_copy_only=False))
            matrix = features.matrix[at]
            scores = ensemble.score(matrix).score
            told = zip(at, scores, reasons_of(ensemble, matrix, top), strict=True)
            for row, score_of_it, reasons in told:
                flow = {name: batch[name][row].as_py() for name in ("uid", "ts")}
                flow["score"] = float(score_of_it)
                rows += [{**flow, **asdict(reason), "text": reason.text()} for reason in reasons]
    names = ["uid", "ts", "score", *(f.name for f in fields(Contribution)), "text"]
    return pd.DataFrame(rows, columns=names)


@dataclass(frozen=True)
class FlowStream:
    """The logs of one sensor, in their order: what one `zeekml.Pipeline` takes."""

    name: str
    sensor: str  # ``zeek``, ``suricata`` or ``table``
    _stream: Stream

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its flows as batches of `zeekml.FLOW_SCHEMA`, read as they are asked for.

        Warns
        -----
        ReadWarning
            At the end: records could not be read and were left out, or a file ends too early.
        """
        counters = ReadCounters()
        yield from read_stream(self._stream, counters=counters)
        _warn(counters, [self._stream])


def read_streams(
    path: str | os.PathLike[str], *, columns: str | Sequence[str] | None = None
) -> list[FlowStream]:
    """The streams of a log, a directory of logs or a flow table, each to be read in batches.

    Parameters
    ----------
    path, columns
        As for `read_flows`.

    Raises
    ------
    InputError, ValueError
        As `read_flows`.
    """
    found = _discovered(path, columns).streams
    return [FlowStream(stream.name, stream.sensor, stream) for stream in found]


def _streams(
    flows: pd.DataFrame | str | os.PathLike[str], columns: str | Sequence[str] | None
) -> Iterator[Iterable[pa.RecordBatch]]:
    """The batches of each stream of a path, or of a frame; what could not be read is told last."""
    counters = ReadCounters()
    streams: Sequence[Stream] = ()
    if isinstance(flows, pd.DataFrame):
        yield _as_flows(flows, counters).to_batches(max_chunksize=_CHUNK)
    else:
        found = _discovered(flows, columns)
        counters.files_skipped.update(found.files_skipped)
        streams = found.streams
        for stream in streams:
            yield read_stream(stream, counters=counters)
    if counters.records_read or streams:
        _warn(counters, streams, stacklevel=4)


def _discovered(path: str | os.PathLike[str], columns: str | Sequence[str] | None) -> Discovery:
    header = None if columns is None else named_columns(columns)
    return discover([Path(path)], columns=header)


def _warn(counters: ReadCounters, streams: Sequence[Stream], stacklevel: int = 3) -> None:
    """Say what could not be read; nobody looks at a summary here."""
    rejected = ", ".join(f"{reason} {n:,}" for reason, n in counters.rejected.most_common())
    message = shortfall(counters, streams, done="read")
    if message is None and rejected:
        message = f"{sum(counters.rejected.values()):,} records could not be read ({rejected})"
    if message is not None:
        warning = ReadWarning(
            message,
            records_read=counters.records_read,
            records_rejected=dict(counters.rejected),
            records_skipped=dict(counters.skipped),
            truncated=list(counters.truncated),
        )
        warnings.warn(warning, stacklevel=stacklevel)


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
    for name in ("sensor", "source", "line", "signatures", "events"):
        if name in given:
            at, field = FLOW_SCHEMA.get_field_index(name), FLOW_SCHEMA.field(name)
            values = given[name].iloc[rows]
            if field.type == EVENTS:
                told = [list(v) if isinstance(v, list | np.ndarray) else None for v in values]
                said = pa.array(told, EVENTS)
            else:
                said = _array(values)
            if pa.types.is_dictionary(field.type):
                said = said.cast(pa.string()).dictionary_encode()
            batch = batch.set_column(at, field, said.cast(field.type))
    return pa.Table.from_batches([batch])


def _read(name: str, values: pd.Series) -> tuple[pa.Array, BoolArray]:
    try:
        return read_array(name, _array(values))
    except pa.ArrowException:
        # values of several types
        there = values.notna()
        return read_column(name, values.astype(object).where(there, None).tolist())


def _array(values: pd.Series) -> pa.Array:
    # frames that hold Arrow's types give their chunks
    array = pa.array(values, from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
