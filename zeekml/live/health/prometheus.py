"""Figures of the watch for Prometheus: a file for node_exporter's textfile collector.

The file is replaced as a whole, so that a reader never sees half of it. Its name must end in
``.prom`` for the collector to look at it, and the file carries no times, as the collector demands.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.text import printable

FILE_MODE: Final = 0o644
"""node_exporter runs as a user of its own."""

_LABEL_LENGTH: Final = 4096

_Labels = tuple[tuple[str, str], ...]
_Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StreamMetrics:
    """Figures of one stream; totals count from the start of the state, and never fall.

    Attributes
    ----------
    records_read, records_scored
        Totals.
    rejected, skipped
        Totals by reason, and by type of record.
    unknown
        Total of values in flows that could not be understood, by column.
    lag_seconds
        How far what has been read is behind what could be; None if not known.
    bytes_behind
        Bytes that are there and not read yet.
    rotations, gaps
        Totals by how a file followed another, and by cause.
    notices
        Total of incidents opened, by note.
    suppressed
        Total of flows that belonged to an open incident without a line being due.
    silenced
        Total of incidents that the allowlist silenced.
    open_incidents, context_records
        How many there are now.
    late, shed
        Totals of records that came too late for the context, and of those that were not scored
        to keep up.
    last_record_timestamp_seconds
        Stream clock, epoch seconds; None before the first record.
    """

    records_read: int = 0
    records_scored: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    lag_seconds: float | None = None
    bytes_behind: int = 0
    rotations: Mapping[str, int] = field(default_factory=dict)
    gaps: Mapping[str, int] = field(default_factory=dict)
    notices: Mapping[str, int] = field(default_factory=dict)
    suppressed: int = 0
    silenced: int = 0
    open_incidents: int = 0
    context_records: int = 0
    late: int = 0
    shed: int = 0
    last_record_timestamp_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class WatchMetrics:
    """Figures of the watch.

    Attributes
    ----------
    streams
        By name of the stream.
    state_commits
        Total.
    up
        Whether the service runs; False in the last file that it writes.
    bundle_sha256, bundle_name, version
        The models in use, and the release of zeekml.
    """

    streams: Mapping[str, StreamMetrics]
    state_commits: int
    bundle_sha256: str
    bundle_name: str
    version: str
    up: bool = True


class _Metric(NamedTuple):
    name: str
    type: Literal["counter", "gauge"]
    help: str
    label: str = ""


# one per attribute of StreamMetrics, in the same order
_OF_STREAMS: Final = (
    _Metric("zeekml_records_read_total", "counter", "Records read."),
    _Metric("zeekml_records_scored_total", "counter", "Records scored."),
    _Metric("zeekml_records_rejected_total", "counter", "Records that cannot be read.", "reason"),
    _Metric("zeekml_records_skipped_total", "counter", "Records that are no flows.", "type"),
    _Metric("zeekml_values_unknown_total", "counter", "Values that are not understood.", "column"),
    _Metric("zeekml_lag_seconds", "gauge", "How far reading is behind the log."),
    _Metric("zeekml_bytes_behind", "gauge", "Bytes of the log not read yet."),
    _Metric("zeekml_rotations_total", "counter", "Files opened, by why.", "how"),
    _Metric("zeekml_gaps_total", "counter", "Losses of data before it was read.", "cause"),
    _Metric("zeekml_notices_total", "counter", "Incidents opened.", "note"),
    _Metric("zeekml_suppressed_total", "counter", "Flows of open incidents without a line."),
    _Metric("zeekml_silenced_total", "counter", "Incidents silenced by the allowlist."),
    _Metric("zeekml_open_incidents", "gauge", "Incidents that are open."),
    _Metric("zeekml_context_records", "gauge", "Records that the context remembers."),
    _Metric("zeekml_late_total", "counter", "Records too late for the context."),
    _Metric("zeekml_shed_total", "counter", "Records not scored, to keep up."),
    _Metric("zeekml_last_record_timestamp_seconds", "gauge", "Time of the newest record."),
)
_COMMITS: Final = _Metric("zeekml_state_commits_total", "counter", "Times the state was stored.")
_UP: Final = _Metric("zeekml_up", "gauge", "Whether the watch runs.")
_BUNDLE: Final = _Metric("zeekml_bundle_info", "gauge", "The models in use.")


def render(metrics: WatchMetrics) -> bytes:
    """Return the figures in Prometheus's text format."""
    lines: list[str] = []
    for metric, attribute in zip(_OF_STREAMS, StreamMetrics.__dataclass_fields__, strict=True):
        samples: list[tuple[_Labels, float]] = []
        for name, stream in metrics.streams.items():
            value: _Values | float | None = getattr(stream, attribute)
            if isinstance(value, Mapping):
                for key, number in value.items():
                    samples.append(((("stream", name), (metric.label, key)), number))
            elif value is not None:
                samples.append(((("stream", name),), value))
        lines += _family(metric, samples)
    bundle = (
        ("sha256", metrics.bundle_sha256),
        ("name", metrics.bundle_name),
        ("version", metrics.version),
    )
    lines += _family(_COMMITS, [((), metrics.state_commits)])
    lines += _family(_UP, [((), int(metrics.up))])
    lines += _family(_BUNDLE, [(bundle, 1)])
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def write_metrics(path: Path, metrics: WatchMetrics) -> None:
    """Replace the file with the present figures.

    Parameters
    ----------
    path : Path
        File in the collector's directory; the new content is written beside it first.
    metrics : WatchMetrics
        The figures.

    Raises
    ------
    OutputError
        The file cannot be written; the old one stays.
    """
    with as_output_error(path), replacing(path) as file:
        file.write(render(metrics))
        os.fchmod(file.fileno(), FILE_MODE)


def _family(metric: _Metric, samples: list[tuple[_Labels, float]]) -> Iterator[str]:
    if not samples:
        return
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.type}"
    # the collector refuses a whole file for one sample that comes twice
    merged: dict[str, float] = {}
    for labels, value in samples:
        shown = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
        shown = f"{{{shown}}}" if shown else ""
        merged[shown] = merged.get(shown, 0) + value
    for shown, value in merged.items():
        yield f"{metric.name}{shown} {_number(value)}"


def _escaped(text: str) -> str:
    shown = printable(text, _LABEL_LENGTH)
    return shown.replace("\\", "\\\\").replace('"', '\\"')


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
