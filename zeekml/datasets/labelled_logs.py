"""Environments made of a sensor's own logs.

The labels stand in the logs (Stratosphere's ``conn.log.labeled``, or ``label`` in Zeek's JSON) or
in a label file, see `zeekml.datasets.label_file`; where there is a label file, it alone counts.
Logs are read as `zeekml score` reads them. Each stream of log files is a capture: context does not
run from one to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.core.text import printable
from zeekml.datasets.duplicates import repeated
from zeekml.datasets.environment import (
    UNLABELLED,
    Environment,
    Labels,
    NotLabelledFlowsError,
)
from zeekml.datasets.label_file import LabelFile, read_label_file
from zeekml.datasets.label_matching import Matched, match_labels
from zeekml.datasets.label_names import CONTRADICTORY, UnknownLabelError
from zeekml.datasets.label_settings import LabelSettings, find_settings
from zeekml.datasets.notes import label_notes, nothing_matches, reading_notes
from zeekml.datasets.references import reference_for
from zeekml.datasets.zeek_labelled import LabelTail
from zeekml.errors import DataError
from zeekml.readers.archive import read_stream
from zeekml.readers.batch_builder import flow_end
from zeekml.readers.files.discovery import LogFile, Stream, discover, open_log
from zeekml.readers.files.file_type import Kind
from zeekml.readers.flow_schema import FLOW_SCHEMA, ORIGINAL_FIELD
from zeekml.readers.rejects import ReadCounters, SourceAccount, count_bounded
from zeekml.readers.stream_reader import Events, LogReader

_BESIDE: Final = ("labels.csv", "labels.csv.gz")


class _Labels(msgspec.Struct):
    """What a labeller adds to a record of Zeek's JSON."""

    label: Any = None
    detailedlabel: Any = None
    detailed_label: Any = msgspec.field(default=None, name="detailed-label")


_decode_labels: Final = msgspec.json.Decoder(_Labels).decode


@dataclass(frozen=True)
class _Capture:
    """The flows of one stream, and the labels that stand beside them in the log."""

    name: str
    flows: pa.Table
    labels: Labels


def read_logs(path: Path, *, name: str, label_file: Path | None = None) -> Environment:
    """Read one environment of logs.

    Parameters
    ----------
    path : Path
        A log, or a directory of logs with their rotations; whatever `zeekml score` takes.
    name : str
        What to call the environment.
    label_file : Path, optional
        The label file; by default ``<log>.labels.csv`` or ``labels.csv`` beside a log, or
        ``labels.csv`` in the directory, if there is one. Settings (`labels.toml`) are looked for
        beside the logs, then beside a label file that is named here.

    Raises
    ------
    InputError
        There is no supported log, or the label file is missing or empty.
    NotLabelledFlowsError
        There are no labels, or none that says more than "unlabelled".
    DataError
        The label file or the mapping is wrong or matches nothing, or a label is unknown.
    """
    settings = find_settings(path if path.is_dir() else path.parent)
    if settings.path is None and label_file is not None:
        # recordings may lie where nobody may write
        settings = find_settings(label_file.parent)
    label_file = label_file or _label_file_beside(path)
    rows = None if label_file is None else read_label_file(label_file, settings)
    beside = [p for p in (label_file, settings.path) if p is not None]
    # flows that are there twice are found later, with their labels
    found = discover([path], exclude=beside, copies=True)
    counters = ReadCounters()
    for reason, n in found.files_skipped.items():
        if reason != "excluded":  # the label file and the mapping: those are read, elsewhere
            count_bounded(counters.files_skipped, reason, n)
    streams = [stream for stream in found.streams if stream.kind is not Kind.TABLE]
    if tables := len(found.streams) - len(streams):
        count_bounded(counters.files_skipped, "flow_table", tables)
    captures = [
        _read(stream, path, counters, settings, labels_inside=rows is None) for stream in streams
    ]
    captures = [capture for capture in captures if len(capture.flows)]
    if not captures:
        raise NotLabelledFlowsError(
            f"{path}: no flow in it could be read; zeekml score says why in its rejects.jsonl"
        )
    flows = pa.concat_tables([c.flows for c in captures]).unify_dictionaries().combine_chunks()
    codes = np.repeat(np.arange(len(captures)), [len(c.flows) for c in captures])
    labels = np.concatenate([c.labels for c in captures])
    matched = None
    if rows is not None:
        matched = _matched(flows, rows, settings)
        labels = matched.labels
    copies = repeated(flows, labels)
    contradictory = int((labels[~copies] == CONTRADICTORY).sum())
    labels[labels == CONTRADICTORY] = UNLABELLED
    end = flow_end(flows.to_batches()[0])
    kept = np.flatnonzero(~copies)
    order = kept[np.lexsort((end[kept], codes[kept]))]
    _require_labels(labels[order], path, rows)
    circular = np.zeros(len(labels), np.bool_) if matched is None else matched.circular
    episodes = None if matched is None else matched.episodes
    paths = [file.path for stream in streams for file in stream.files if file.path is not None]
    beside = [p for p in (label_file, settings.path) if p is not None]
    return Environment(
        name=name,
        flows=flows.take(pa.array(order)),
        labels=labels[order],
        captures=codes[order].astype(np.int32),
        capture_names=tuple(capture.name for capture in captures),
        circular=circular[order],
        reference=reference_for(name),
        sha256=digest([*paths, *beside]),
        notes=(*reading_notes(counters, int(copies.sum())), *label_notes(matched, contradictory)),
        duplicates=int(copies.sum()),
        label_conflicts=contradictory,
        sensors=tuple(sorted({stream.sensor for stream in streams})),
        episodes=None if episodes is None else episodes[order],
    )


def digest(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of a file, or of the digests of several in their order.

    Raises
    ------
    DataError
        A file cannot be read.
    """
    digests = []
    for path in paths:
        try:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(f"{one}\n" for one in digests).encode()).hexdigest()


def _label_file_beside(path: Path) -> Path | None:
    if path.is_dir():
        candidates = [path / name for name in _BESIDE]
    else:
        own = [path.with_name(f"{path.name}.{name}") for name in _BESIDE]
        candidates = [*own, *(path.parent / name for name in _BESIDE)]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _matched(flows: pa.Table, rows: LabelFile, settings: LabelSettings) -> Matched:
    matched = match_labels(flows, rows, default=settings.default)
    if rows.rows and not matched.matched:
        raise DataError(nothing_matches(flows, rows))
    return matched


def _require_labels(labels: Labels, path: Path, rows: LabelFile | None) -> None:
    if (labels != UNLABELLED).any():
        return
    if rows is not None:
        raise NotLabelledFlowsError(f"{path}: no flow gets a label from {rows.path.name}")
    raise NotLabelledFlowsError(
        f"{path}: no row has a label; give a label file (labels.csv beside the log, or "
        "LOG::LABELS.csv), or logs with labels inside (conn.log.labeled)"
    )


def _read(
    stream: Stream,
    root: Path,
    counters: ReadCounters,
    settings: LabelSettings,
    *,
    labels_inside: bool,
) -> _Capture:
    parts: list[tuple[pa.RecordBatch, Labels]] = []
    if stream.kind is Kind.ZEEK_TSV:
        parts += _with_tails(stream, counters, settings, labels_inside=labels_inside)
    elif stream.kind is Kind.ZEEK_JSON and labels_inside:
        for batch in read_stream(stream, counters=counters, keep_originals=True):
            labels = _labels_in_json(batch, settings)
            parts.append((batch.drop_columns([ORIGINAL_FIELD.name]), labels))
    else:
        for batch in read_stream(stream, counters=counters):
            parts.append((batch, np.full(len(batch), UNLABELLED, np.int8)))
    table = pa.Table.from_batches([batch for batch, _ in parts], FLOW_SCHEMA)
    labels = np.concatenate([np.empty(0, np.int8), *(labels for _, labels in parts)])
    return _Capture(_capture_name(stream, root), table, labels)


def _capture_name(stream: Stream, root: Path) -> str:
    """Return a name below the environment's folder: reports tell nobody's folders."""
    name = Path(stream.name)
    inside = name.relative_to(root) if root.is_dir() and name.is_relative_to(root) else name.name
    return printable(str(inside), 120)


def _with_tails(
    stream: Stream, counters: ReadCounters, settings: LabelSettings, *, labels_inside: bool
) -> Iterator[tuple[pa.RecordBatch, Labels]]:
    reader = LogReader(counters, lambda source: SourceAccount(source, counters, None))
    for file in stream.files:
        assert file.path is not None, "standard input is no environment"
        try:
            raw = open_log(file.path)
        except OSError as error:
            reader.cannot_open(file, error)
            continue
        with raw:
            tail = LabelTail(raw)
            classes = _Classes(settings)
            for batch in reader.byte_range(file, tail, events=Events()):
                labels = np.full(len(batch), UNLABELLED, np.int8)
                if labels_inside and tail.labelled:
                    labels = classes.of(batch, tail, file)
                yield batch, labels


class _Classes:
    """Classes of the labels in one file; each distinct label is looked up once."""

    def __init__(self, settings: LabelSettings) -> None:
        self._settings = settings
        self._known: dict[int, int] = {-1: UNLABELLED}

    def of(self, batch: pa.RecordBatch, tail: LabelTail, file: LogFile) -> Labels:
        lines = batch.column("line").to_numpy()
        codes = tail.codes(lines)
        pairs = tail.pairs
        for code in np.unique(codes).tolist():
            if code not in self._known:
                line = int(lines[np.argmax(codes == code)])
                self._known[code] = _resolve(pairs[code], self._settings, file.source, line)
        return _lookup(codes, self._known)


def _lookup(codes: npt.NDArray[np.int32], known: dict[int, int]) -> Labels:
    distinct, places = np.unique(codes, return_inverse=True)
    return np.array([known[code] for code in distinct.tolist()], np.int8)[places]


def _resolve(pair: tuple[str, str], settings: LabelSettings, source: str, line: int) -> int:
    try:
        return settings.names.resolve(*pair)
    except UnknownLabelError as error:
        where = f"{source}: line {line}"
        raise DataError(error.explain(where, settings.suggested)) from error


def _labels_in_json(batch: pa.RecordBatch, settings: LabelSettings) -> Labels:
    labels = np.full(len(batch), UNLABELLED, np.int8)
    known: dict[tuple[str, str], int] = {}
    for row, original in enumerate(batch.column(ORIGINAL_FIELD.name)):
        found = _decode_labels(original.as_py())
        detail = found.detailedlabel if found.detailedlabel is not None else found.detailed_label
        if found.label is None and detail is None:
            continue
        pair = (_text(found.label), _text(detail))
        if pair not in known:
            source, line = batch.column("source")[row].as_py(), batch.column("line")[row].as_py()
            known[pair] = _resolve(pair, settings, source, line)
        labels[row] = known[pair]
    return labels


def _text(value: Any) -> str:
    return "" if value is None else str(value)
