"""Environments made of a sensor's own logs.

The labels stand in the logs (Stratosphere's ``conn.log.labeled``, or ``label`` in Zeek's JSON) or
in a label file, see `label_file`; where there is a label file, it alone counts. Logs are read as
`zeekml score` reads them. Each stream of log files is a capture: context does not run from one to
the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from zeekml.core.text import printable
from zeekml.datasets.duplicates import without_duplicates
from zeekml.datasets.environment import UNLABELLED, Environment, Labels, digest
from zeekml.datasets.label_file import read_label_file
from zeekml.datasets.label_matching import match_labels, nothing_matches
from zeekml.datasets.label_names import LabelSettings, find_settings
from zeekml.datasets.references import reference_for
from zeekml.datasets.zeek_labelled import LabelTail
from zeekml.errors import DataError, NotLabelledFlowsError
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import Stream, discover, open_log
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


def read_logs(path: Path, *, name: str, label_file: Path | None = None) -> Environment:
    """Read a log, or a directory of logs with their rotations; errors as of `read_environment`.

    A label file is by default ``<log>.labels.csv`` or ``labels.csv`` beside a log, or
    ``labels.csv`` in the directory, if there is one. Settings (`labels.toml`) are looked for beside
    the logs, then beside a label file that is named here.
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
    names, flows_of, labels_of = [], [], []
    for stream in streams:
        parts = list(_labelled_batches(stream, counters, settings, labels_inside=rows is None))
        if any(len(batch) for batch, _ in parts):
            # a name below the environment's folder: reports tell nobody's folders
            own = Path(stream.name)
            below = path.is_dir() and own.is_relative_to(path)
            names.append(printable(str(own.relative_to(path)) if below else own.name, 120))
            flows_of.append(pa.Table.from_batches([batch for batch, _ in parts], FLOW_SCHEMA))
            labels_of.append(np.concatenate([labels for _, labels in parts]))
    if not names:
        raise NotLabelledFlowsError(
            f"{path}: no flow in it could be read; zeekml score says why in its rejects.jsonl"
        )
    flows = pa.concat_tables(flows_of).unify_dictionaries().combine_chunks()
    labels = np.concatenate(labels_of)
    notes = _reading_notes(counters)
    circular, episodes = np.zeros(len(labels), np.bool_), None
    if rows is not None:
        matched = match_labels(flows, rows, default=settings.default)
        if rows.rows and not matched.matched:
            raise DataError(nothing_matches(flows, rows))
        labels, circular, episodes = matched.labels, matched.circular, matched.episodes
        notes += matched.notes()
    paths = [file.path for stream in streams for file in stream.files if file.path is not None]
    environment = without_duplicates(
        Environment(
            name=name,
            flows=flows,
            labels=labels,
            captures=np.repeat(np.arange(len(names), dtype=np.int32), [len(f) for f in flows_of]),
            capture_names=tuple(names),
            circular=circular,
            reference=reference_for(name),
            sha256=digest([*paths, *beside]),
            notes=tuple(notes),
            sensors=tuple(sorted({stream.sensor for stream in streams})),
            episodes=episodes,
        )
    )
    if (environment.labels != UNLABELLED).any():
        return environment
    if rows is not None:
        raise NotLabelledFlowsError(f"{path}: no flow gets a label from {rows.path.name}")
    raise NotLabelledFlowsError(
        f"{path}: no row has a label; give a label file (labels.csv beside the log, or "
        "LOG::LABELS.csv), or logs with labels inside (conn.log.labeled)"
    )


def _label_file_beside(path: Path) -> Path | None:
    inside = path.is_dir()
    own = [] if inside else [path.with_name(f"{path.name}.{name}") for name in _BESIDE]
    candidates = [*own, *((path if inside else path.parent) / name for name in _BESIDE)]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _reading_notes(counters: ReadCounters) -> list[str]:
    """Sentences for the data report, on all that was not read as it stands."""
    told = (
        (counters.rejected, "lines could not be read and were left out"),
        (counters.skipped, "records are no flows"),
        (counters.unwrapped, "records were taken out of what stood around them"),
        (counters.files_skipped, "other files were not read"),
        (counters.values_unknown, "values could not be understood and are taken as unknown"),
    )
    notes = []
    for counts, what in told:
        if total := sum(counts.values()):
            most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            shown = ", ".join(f"{name} {n:,}" for name, n in most[:6])
            notes.append(f"{total:,} {what} ({shown}{', …' if len(most) > 6 else ''})")
    if counters.truncated:
        notes.append(f"{len(counters.truncated):,} files end too early")
    return notes


def _labelled_batches(
    stream: Stream, counters: ReadCounters, settings: LabelSettings, *, labels_inside: bool
) -> Iterator[tuple[pa.RecordBatch, Labels]]:
    """Flows together with the labels that stand beside them in the log."""
    if stream.kind is Kind.ZEEK_TSV:
        yield from _tsv_batches(stream, counters, settings, labels_inside=labels_inside)
    elif stream.kind is Kind.ZEEK_JSON and labels_inside:
        for batch in read_stream(stream, counters=counters, keep_originals=True):
            labels = _labels_in_json(batch, settings)
            yield batch.drop_columns([ORIGINAL_FIELD.name]), labels
    else:
        for batch in read_stream(stream, counters=counters):
            yield batch, np.full(len(batch), UNLABELLED, np.int8)


def _tsv_batches(
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
            known = {-1: UNLABELLED}  # class by number of the label in this file
            for batch in reader.byte_range(file, tail, events=Events()):
                if labels_inside and tail.labelled:
                    lines = batch.column("line").to_numpy()
                    codes, first, places = np.unique(
                        tail.codes(lines), return_index=True, return_inverse=True
                    )
                    for code, row in zip(codes.tolist(), first.tolist(), strict=True):
                        if code not in known:
                            where = f"{file.source}: line {lines[row]}"
                            label, detail = tail.pairs[code]
                            known[code] = settings.code(label, detail, where)
                    classes = [known[code] for code in codes.tolist()]
                    yield batch, np.array(classes, np.int8)[places]
                else:
                    yield batch, np.full(len(batch), UNLABELLED, np.int8)


def _labels_in_json(batch: pa.RecordBatch, settings: LabelSettings) -> Labels:
    labels = np.full(len(batch), UNLABELLED, np.int8)
    known: dict[tuple[str, str], int] = {}
    for row, original in enumerate(batch.column(ORIGINAL_FIELD.name)):
        found = _decode_labels(original.as_py())
        hyphened = found.detailedlabel is None
        detail = found.detailed_label if hyphened else found.detailedlabel
        if found.label is None and detail is None:
            continue
        label, detail = ("" if v is None else str(v) for v in (found.label, detail))
        if (label, detail) not in known:
            source, line = (batch.column(name)[row].as_py() for name in ("source", "line"))
            known[label, detail] = settings.code(label, detail, f"{source}: line {line}")
        labels[row] = known[label, detail]
    return labels
