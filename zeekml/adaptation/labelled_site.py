"""A site as adaptation sees it: its incidents, what was said of them, and its other traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.adaptation.examples import (
    MOST_PRESUMED,
    Example,
    example_of,
    features_of,
    peak_of,
    presumed,
    sampled,
    some_of,
)
from zeekml.adaptation.what_opens import Detection
from zeekml.calibration.notice_volume import HIGHEST
from zeekml.calibration.site_traffic import ScoredStream, Traffic, read_traffic
from zeekml.config import Config
from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.candidates import Candidates, concatenated
from zeekml.detection.incidents.replay import ReplayedIncident
from zeekml.features.feature_schema import FEATURES
from zeekml.readers.files.discovery import Stream
from zeekml.triage.labels import FLOW, Label
from zeekml.triage.notice_reader import NoticeLine, read_line

_MOST_READ: Final = 2_000  # rows of one incident, evenly over its time

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LabelledSite:
    """What is known of a site."""

    # what there is to learn from: labels, and incidents that are taken for attacks
    examples: list[Example]
    # flows that raised nothing (n, all features of the schema); empty without logs
    ordinary: Matrix
    traffic: Traffic | None = None  # where logs were read
    # without logs, what is kept of all incidents
    kept: Sequence[NoticeLine] = ()
    of_streams: Sequence[tuple[ScoredStream, Mapping[int, str]]] = field(default_factory=list)
    denied: Sequence[Example] = ()  # labelled as false alarms against evidence of an attack

    def raised(self, detection: Detection) -> tuple[Counter[str], set[str]]:
        """Incidents that a bundle opens here, by threat, without those known to be true.

        And of which of the examples any flow is in one of them.
        """
        true = {example.id for example in self.examples if example.truth}
        found: Counter[str] = Counter()
        met: set[str] = set()
        for stream, owners in self.of_streams:
            for incident in detection.incidents(stream.candidates()):
                named = {owners[row] for row in incident.rows.tolist() if row in owners}
                met |= named
                found[incident.threat] += not named & true
        return found, met


@contextmanager
def site_of_logs(
    streams: Sequence[Stream],
    labels: Sequence[Label],
    detection: Detection,
    config: Config,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[LabelledSite]:
    """Read logs, and find the labelled incidents in them; files lie about until it is left."""
    flows = {label.id.removeprefix(FLOW) for label in labels if label.id.startswith(FLOW)}
    with TemporaryDirectory(prefix="zeekml-") as work:
        traffic = read_traffic(
            streams,
            detection.bundle,
            detection.policy,
            config,
            Path(work),
            with_features=True,
            uids=flows,
            progress=progress,
        )
        wanted = {label.id: label for label in labels}
        found: dict[str, Example] = {}
        unlabelled: list[Example] = []
        of_streams = []
        rng = np.random.default_rng(0)
        for stream in traffic.streams:
            ids = opened(stream, detection)
            incidents = detection.incidents(stream.candidates())
            meant = [i for i in incidents if ids.get(i.opener) in wanted]
            meant += _strongest([i for i in incidents if ids.get(i.opener, "") not in wanted])
            owners = _named_rows(stream, flows)
            for incident in meant:
                name = ids.get(incident.opener, "")
                owners |= dict.fromkeys(incident.rows.tolist(), name)
            of_streams.append((stream, owners))
            parts = _rows_of(stream, [i.rows[some_of(len(i.rows), _MOST_READ, rng)] for i in meant])
            for incident, part in zip(meant, parts, strict=True):
                name = ids.get(incident.opener, "")
                peak = incident.peak if np.isfinite(incident.peak) else None
                if name in wanted:
                    plain = example_of(wanted[name], part.matrix)
                    found[name] = replace(plain, candidates=part, peak=peak)
                elif name:
                    at = float(part.end[0])
                    told = name, True, incident.threat, at, part.matrix, part, peak
                    unlabelled.append(sampled(Example(*told), rng))
        for label in labels:
            if label.id not in found:
                row = traffic.named.get(label.id.removeprefix(FLOW))
                found[label.id] = example_of(label, None if row is None else row[None, :])
        labelled = [sampled(found[label.id], rng) for label in labels]
        examples, denied = presumed(labelled, unlabelled)
        yield LabelledSite(examples, traffic.ordinary, traffic, (), of_streams, denied)


def opened(stream: ScoredStream, detection: Detection) -> dict[int, str]:
    """Ids of the incidents of a stream, by the number of the candidate that opened each."""
    incidents = AllowlistFilter(
        detection.rules(stream.sensor, stream.name), detection.allowlist, detection.local_nets
    )
    found: dict[int, str] = {}
    before = 0
    for part in stream.candidates():
        for line in incidents.add(part, None):
            if line.notice.state == "open":
                found[before + line.row] = line.notice.id
        incidents.take_silenced()
        before += len(part)
    return found


def _named_rows(stream: ScoredStream, uids: Collection[str]) -> dict[int, str]:
    """Ids of the labelled flows of a stream that are candidates, by their numbers."""
    found: dict[int, str] = {}
    before = 0
    for part in stream.candidates() if uids else ():
        for row, uid in enumerate(part.flows.column("uid").to_pylist(), start=before):
            if uid in uids:
                found[row] = FLOW + uid
        before += len(part)
    return found


def _rows_of(stream: ScoredStream, wanted: Sequence[npt.NDArray[np.intp]]) -> list[Candidates]:
    """Candidates of a stream by their numbers, for each of several lists, read once."""
    if not wanted:
        return []
    numbers = np.unique(np.concatenate(wanted))
    parts, before = [], 0
    for part in stream.candidates():
        own = numbers[(numbers >= before) & (numbers < before + len(part))] - before
        if len(own):
            parts.append(part.take(own))
        before += len(part)
    together = concatenated(parts)
    return [together.take(np.searchsorted(numbers, rows)) for rows in wanted]


def _strongest(incidents: Sequence[ReplayedIncident]) -> list[ReplayedIncident]:
    """Of each threat some of those whose evidence nobody can mistake."""
    found: list[ReplayedIncident] = []
    for threat in dict.fromkeys(i.threat for i in incidents):
        own = [i for i in incidents if i.threat == threat and i.peak >= HIGHEST]
        found += sorted(own, key=lambda i: (-i.peak, i.opener))[:MOST_PRESUMED]
    return found


def site_as_kept(
    labels: Sequence[Label], kept: Sequence[NoticeLine], base_rate: float
) -> LabelledSite:
    """Without logs: examples by what is kept with their labels, and all incidents' first flows.

    `base_rate` is that of the bundle's scores.
    """
    peaks = {incident.id: peak_of(incident, base_rate) for incident in kept}
    labelled = [replace(e, peak=peaks.get(e.id)) for e in map(example_of, labels)]
    known = {label.id for label in labels}
    unlabelled = [
        Example(i.id, True, i.threat, i.first_ts, features_of(i), None, peaks[i.id])
        for i in kept
        if i.id not in known
    ]
    examples, denied = presumed(labelled, [e for e in unlabelled if e.known])
    empty = np.empty((0, len(FEATURES)), np.float32)
    return LabelledSite(examples, empty, None, kept, (), denied)


def other_bundles(labels: Sequence[Label], digest: str) -> list[str]:
    """How the digests of the bundles begin that labelled incidents were raised by, but this one."""
    lines = [read_line(label.line) for label in labels if not label.id.startswith(FLOW)]
    told = {line.bundle for line in lines if line is not None and line.bundle}
    return sorted(other for other in told if not digest.startswith(other))
