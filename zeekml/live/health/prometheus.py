"""Prometheus metrics of the watch, and a file of them for node_exporter's textfile collector.

The file is replaced as a whole, so that a reader never sees half of it. Its name must end in
``.prom`` for the collector to look at it, and the file carries no times, as the collector demands.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zeekml._version import __version__
from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.text import printable
from zeekml.detection.notice import NOTES
from zeekml.ensemble.bundle import Bundle
from zeekml.errors import OutputError
from zeekml.feeds.suricata_feed import SuricataStatus
from zeekml.live.stream import SHED, LiveStream
from zeekml.live.tail.events import Cause
from zeekml.sinks.push import SinkFigures

if TYPE_CHECKING:
    from prometheus_client import Metric

FILE_MODE: Final = 0o644
"""node_exporter runs as a user of its own."""

_BEGINNING: Final = b"# HELP zeekml_"
_LABEL_LENGTH: Final = 4096
# a counter that begins at 1 has not grown, to Prometheus: the first of each would never be seen
_NO_GAPS: Final = dict.fromkeys(map(str, Cause), 0)
_NO_NOTICES: Final = dict.fromkeys(NOTES.values(), 0)


def render(
    streams: Iterable[LiveStream],
    bundle: Bundle,
    sinks: Sequence[SinkFigures] = (),
    *,
    commits: int,
    up: bool,
    now: float,
    suricata: SuricataStatus | None = None,
) -> bytes:
    """The figures in Prometheus's text format; `now` is the time of day."""
    # slow to import, and of no use to whoever wants no figures
    from prometheus_client import generate_latest
    from prometheus_client.registry import Collector

    samples: dict[tuple[str, str], list[tuple[Mapping[str, str], float]]] = {}
    for stream in streams:
        of = stream.logs.name
        for name, documentation, label, value in _figures(stream):
            found = samples.setdefault((f"zeekml_{name}", documentation), [])
            if isinstance(value, Mapping):
                found += [({"stream": of, label: key}, n) for key, n in value.items()]
            elif value is not None:
                found.append(({"stream": of}, value))
    for sink in sinks:
        for name, documentation, value in _sink_figures(sink):
            found = samples.setdefault((f"zeekml_sink_{name}", documentation), [])
            found.append(({"sink": sink.name}, value))
    families = [_family(*about, found) for about, found in samples.items()]
    models = {"sha256": bundle.digest, "name": bundle.manifest.name, "version": __version__}
    families += [
        _family("zeekml_state_commits_total", "Times the state was stored.", [({}, commits)]),
        _family("zeekml_up", "Whether the watch runs.", [({}, up)]),
        _family("zeekml_updated_timestamp_seconds", "Time of these figures.", [({}, now)]),
        _family("zeekml_bundle_info", "The models in use.", [(models, 1)]),
        *([] if suricata is None else _suricata_families(suricata)),
    ]

    class Figures(Collector):
        def collect(self) -> Iterable[Metric]:
            return [family for family in families if family.samples]

    return generate_latest(Figures())


def _figures(stream: LiveStream) -> list[tuple[str, str, str, Mapping[str, int] | float | None]]:
    """Name, help, the label that tells several of a stream apart, and what it shows.

    These are totals from the start of the state on, which never fall, or gauges, which are left
    out if they are None.
    """
    record, counters, context = stream.record, stream.record.counters, stream.pipeline.context
    incidents, unknown = stream.pipeline.incidents, counters.values_unknown
    return [
        ("records_read_total", "Records read.", "", counters.records_read),
        ("records_scored_total", "Records scored.", "", counters.accepted),
        ("records_rejected_total", "Records that cannot be read.", "reason", counters.rejected),
        ("records_skipped_total", "Records that are no flows.", "type", counters.skipped),
        ("values_unknown_total", "Values that are not understood.", "column", unknown),
        ("sides_known_total", "TCP and UDP flows with packet counts.", "", counters.sides_known),
        ("one_sided_total", "Of these, those seen from one side alone.", "", counters.one_sided),
        ("with_events_total", "Flows with dns, http or tls events.", "", counters.with_events),
        ("lag_seconds", "How far reading is behind the log.", "", stream.lag),
        ("bytes_behind", "Bytes of the log not read yet.", "", stream.bytes_behind()),
        ("rotations_total", "Files opened, by why.", "how", record.rotations),
        ("gaps_total", "Losses of data before it was read.", "cause", _NO_GAPS | record.gaps),
        ("notices_total", "Incidents opened.", "note", _NO_NOTICES | record.notices),
        ("suppressed_total", "Flows of open incidents without a line.", "", incidents.suppressed),
        ("silenced_total", "Incidents silenced by the allowlist.", "", record.silenced),
        ("open_incidents", "Incidents that are open.", "", incidents.open_incidents),
        ("context_records", "Records that the context remembers.", "", context.held),
        ("late_total", "Records too late for the context.", "", context.late),
        ("shed_total", "Records not scored, to keep up.", "", counters.skipped[SHED]),
        ("last_record_timestamp_seconds", "Time of the newest record.", "", stream.stream_clock),
    ]


def _suricata_families(status: SuricataStatus) -> list[Metric]:
    """How things are with the Suricata whose datasets are fed."""
    by_dataset = {
        "entries": ("Listed hosts in Suricata's dataset.", status.entries),
        "added_total": ("Addresses put into Suricata's dataset.", status.added),
        "removed_total": ("Addresses taken out of it.", status.removed),
        "refused_total": ("Addresses that it did not take.", status.refused),
    }
    connected = "Whether the Suricata that is fed answers."
    connects = "Times it was connected to."
    return [
        _family("zeekml_suricata_connected", connected, [({}, status.connected)]),
        _family("zeekml_suricata_connects_total", connects, [({}, status.connects)]),
        *(
            _family(
                f"zeekml_suricata_{name}",
                documentation,
                [({"dataset": dataset}, n) for dataset, n in sorted(of.items())],
            )
            for name, (documentation, of) in by_dataset.items()
        ),
    ]


def _sink_figures(sink: SinkFigures) -> list[tuple[str, str, float]]:
    """Name, help and value, as for streams."""
    tally = sink.tally
    return [
        ("queued", "Notices that wait for the sink.", sink.waiting),
        ("oldest_seconds", "For how long the oldest of them waits.", sink.oldest),
        ("delivered_total", "Notices that got there.", tally.delivered),
        ("retried_total", "Deliveries that failed and are tried again.", tally.retried),
        ("dead_total", "Notices given up.", tally.dead),
        ("failing_seconds", "For how long nothing got through, 0 if it works.", sink.failing),
    ]


def check_metrics_file(path: Path, taken: Iterable[Path]) -> None:
    """Raise an `OutputError` if a file for the figures is an output, or holds something else.

    A slip in the configuration must not cost a log.
    """
    shown, remedy = printable(str(path), 4096), "choose another metrics_file"
    if path.resolve() in {other.resolve() for other in taken}:
        raise OutputError(f"{shown}: zeekml writes its notices there; {remedy}")
    with as_output_error(path):
        if not path.exists():
            return
        if not path.is_file():
            raise OutputError(f"{shown}: is no regular file; {remedy}")
        with path.open("rb") as file:
            beginning = file.read(len(_BEGINNING))
    if not _BEGINNING.startswith(beginning):
        raise OutputError(f"{shown}: is there and holds no figures of a watch; {remedy}")


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
