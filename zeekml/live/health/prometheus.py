"""Prometheus metrics of the watch: a file for node_exporter's textfile collector.

The file is replaced as a whole, so that a reader never sees half of it. Its name must end in
``.prom`` for the collector to look at it, and the file carries no times, as the collector demands.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zeekml._version import __version__
from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.text import printable
from zeekml.ensemble.bundle import Bundle
from zeekml.live.stream import SHED, LiveStream
from zeekml.readers.rejects import ReadCounters

if TYPE_CHECKING:
    from prometheus_client import Metric

FILE_MODE: Final = 0o644
"""node_exporter runs as a user of its own."""

_LABEL_LENGTH: Final = 4096
_NOT_UNDERSTOOD: Final = "Values that are not understood."
_SUPPRESSED: Final = "Flows of open incidents without a line."

_Figure = Callable[[LiveStream, ReadCounters], Mapping[str, int] | float | None]
_OF_STREAMS: Final[tuple[tuple[str, str, str, _Figure], ...]] = (
    # name, help, the label that tells several of a stream apart, and what it shows: totals from
    # the start of the state on, which never fall, or gauges, which are left out if they are None
    ("records_read_total", "Records read.", "", lambda s, n: n.records_read),
    ("records_scored_total", "Records scored.", "", lambda s, n: n.accepted),
    ("records_rejected_total", "Records that cannot be read.", "reason", lambda s, n: n.rejected),
    ("records_skipped_total", "Records that are no flows.", "type", lambda s, n: n.skipped),
    ("values_unknown_total", _NOT_UNDERSTOOD, "column", lambda s, n: n.values_unknown),
    ("lag_seconds", "How far reading is behind the log.", "", lambda s, n: s.lag),
    ("bytes_behind", "Bytes of the log not read yet.", "", lambda s, n: s.bytes_behind()),
    ("rotations_total", "Files opened, by why.", "how", lambda s, n: s.record.rotations),
    ("gaps_total", "Losses of data before it was read.", "cause", lambda s, n: s.record.gaps),
    ("notices_total", "Incidents opened.", "note", lambda s, n: s.record.notices),
    ("suppressed_total", _SUPPRESSED, "", lambda s, n: s.pipeline.incidents.suppressed),
    ("silenced_total", "Incidents silenced by the allowlist.", "", lambda s, n: s.record.silenced),
    (
        "open_incidents",
        "Incidents that are open.",
        "",
        lambda s, n: s.pipeline.incidents.open_incidents,
    ),
    (
        "context_records",
        "Records that the context remembers.",
        "",
        lambda s, n: s.pipeline.context.held,
    ),
    ("late_total", "Records too late for the context.", "", lambda s, n: s.pipeline.context.late),
    ("shed_total", "Records not scored, to keep up.", "", lambda s, n: n.skipped[SHED]),
    (
        "last_record_timestamp_seconds",
        "Time of the newest record.",
        "",
        lambda s, n: s.stream_clock,
    ),
)


def render(streams: Iterable[LiveStream], bundle: Bundle, *, commits: int, up: bool) -> bytes:
    """The figures in Prometheus's text format."""
    # slow to import, and of no use to whoever wants no figures
    from prometheus_client import generate_latest
    from prometheus_client.registry import Collector

    families = []
    for name, documentation, label, figure in _OF_STREAMS:
        samples: list[tuple[Mapping[str, str], float]] = []
        for stream in streams:
            of, value = stream.logs.name, figure(stream, stream.record.counters)
            if isinstance(value, Mapping):
                samples += [({"stream": of, label: key}, n) for key, n in value.items()]
            elif value is not None:
                samples.append(({"stream": of}, value))
        families.append(_family(f"zeekml_{name}", documentation, samples))
    models = {"sha256": bundle.digest, "name": bundle.manifest.name, "version": __version__}
    families += [
        _family("zeekml_state_commits_total", "Times the state was stored.", [({}, commits)]),
        _family("zeekml_up", "Whether the watch runs.", [({}, up)]),
        _family("zeekml_bundle_info", "The models in use.", [(models, 1)]),
    ]

    class Figures(Collector):
        def collect(self) -> Iterable[Metric]:
            return [family for family in families if family.samples]

    return generate_latest(Figures())


def write_metrics(path: Path, figures: bytes) -> None:
    """Replace the file with rendered figures; an `OutputError` leaves the old one."""
    with as_output_error(path), replacing(path) as file:
        file.write(figures)
        os.fchmod(file.fileno(), FILE_MODE)


def _family(
    name: str, documentation: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> Metric:
    from prometheus_client import Metric

    # the collector refuses a whole file for one sample that comes twice
    merged: dict[tuple[tuple[str, str], ...], float] = {}
    for labels, value in samples:
        shown = tuple((key, printable(text, _LABEL_LENGTH)) for key, text in labels.items())
        merged[shown] = merged.get(shown, 0) + value
    kind = "counter" if name.endswith("_total") else "gauge"
    family = Metric(name.removesuffix("_total"), documentation, kind)
    for shown, value in merged.items():
        family.add_sample(name, dict(shown), value)
    return family
