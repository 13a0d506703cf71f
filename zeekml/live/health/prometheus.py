"""Figures of the watch as Prometheus metrics: a file for node_exporter's textfile collector.

The file is replaced as a whole, so that a reader never sees half of it. Its name must end in
``.prom`` for the collector to look at it, and the file carries no times, as the collector demands.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.text import printable

FILE_MODE: Final = 0o644
"""node_exporter runs as a user of its own."""

_LABEL_LENGTH: Final = 4096


def _metric(name: str, documentation: str, label: str = "", default: float | None = 0) -> Any:
    """A figure and the metric that shows it; one by each value of `label`, if that is given."""
    metadata = {"name": f"zeekml_{name}", "documentation": documentation, "label": label}
    if label:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class StreamMetrics:
    """Figures of one stream. Totals count from the start of the state, and never fall.

    What is None is not known, and left out.
    """

    records_read: int = _metric("records_read_total", "Records read.")
    records_scored: int = _metric("records_scored_total", "Records scored.")
    rejected: Mapping[str, int] = _metric(
        "records_rejected_total", "Records that cannot be read.", "reason"
    )
    skipped: Mapping[str, int] = _metric(
        "records_skipped_total", "Records that are no flows.", "type"
    )
    unknown: Mapping[str, int] = _metric(
        "values_unknown_total", "Values that are not understood.", "column"
    )
    lag_seconds: float | None = _metric(
        "lag_seconds", "How far reading is behind the log.", default=None
    )
    bytes_behind: int = _metric("bytes_behind", "Bytes of the log not read yet.")
    rotations: Mapping[str, int] = _metric("rotations_total", "Files opened, by why.", "how")
    gaps: Mapping[str, int] = _metric("gaps_total", "Losses of data before it was read.", "cause")
    notices: Mapping[str, int] = _metric("notices_total", "Incidents opened.", "note")
    suppressed: int = _metric("suppressed_total", "Flows of open incidents without a line.")
    silenced: int = _metric("silenced_total", "Incidents silenced by the allowlist.")
    open_incidents: int = _metric("open_incidents", "Incidents that are open.")
    context_records: int = _metric("context_records", "Records that the context remembers.")
    late: int = _metric("late_total", "Records too late for the context.")
    shed: int = _metric("shed_total", "Records not scored, to keep up.")
    last_record_timestamp_seconds: float | None = _metric(
        "last_record_timestamp_seconds", "Time of the newest record.", default=None
    )


@dataclass(frozen=True, slots=True)
class WatchMetrics:
    """Figures of the watch."""

    streams: Mapping[str, StreamMetrics]
    state_commits: int
    bundle_sha256: str
    bundle_name: str
    version: str
    up: bool = True  # False in the last file that the service writes


def render(metrics: WatchMetrics) -> bytes:
    """The figures in Prometheus's text format."""
    # slow to import, and of no use to whoever wants no figures
    from prometheus_client import Metric, generate_latest
    from prometheus_client.registry import Collector

    def metric(
        name: str, documentation: str, samples: Iterable[tuple[dict[str, str], float]]
    ) -> Metric:
        # the node_exporter refuses a whole file for one sample that comes twice
        merged: dict[tuple[tuple[str, str], ...], float] = {}
        for labels, value in samples:
            shown = tuple((key, printable(text, _LABEL_LENGTH)) for key, text in labels.items())
            merged[shown] = merged.get(shown, 0) + value
        kind = "counter" if name.endswith("_total") else "gauge"
        made = Metric(name.removesuffix("_total"), documentation, kind)
        for shown, value in merged.items():
            made.add_sample(name, dict(shown), value)
        return made

    def of_streams(figure: str, label: str) -> Iterable[tuple[dict[str, str], float]]:
        for name, stream in metrics.streams.items():
            value = getattr(stream, figure)
            if isinstance(value, Mapping):
                yield from (({"stream": name, label: key}, n) for key, n in value.items())
            elif value is not None:
                yield {"stream": name}, value

    bundle = {
        "sha256": metrics.bundle_sha256,
        "name": metrics.bundle_name,
        "version": metrics.version,
    }
    families = [
        metric(
            figure.metadata["name"],
            figure.metadata["documentation"],
            of_streams(figure.name, figure.metadata["label"]),
        )
        for figure in fields(StreamMetrics)
    ] + [
        metric(
            "zeekml_state_commits_total",
            "Times the state was stored.",
            [({}, metrics.state_commits)],
        ),
        metric("zeekml_up", "Whether the watch runs.", [({}, metrics.up)]),
        metric("zeekml_bundle_info", "The models in use.", [(bundle, 1)]),
    ]

    class Figures(Collector):
        def collect(self) -> Iterable[Metric]:
            return [family for family in families if family.samples]

    return generate_latest(Figures())


def write_metrics(path: Path, metrics: WatchMetrics) -> None:
    """Replace the file, which lies in the collector's directory, with the present figures.

    Raises
    ------
    OutputError
        The file cannot be written; the old one stays.
    """
    with as_output_error(path), replacing(path) as file:
        file.write(render(metrics))
        os.fchmod(file.fileno(), FILE_MODE)
