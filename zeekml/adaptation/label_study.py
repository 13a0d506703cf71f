"""What a few labels bring on a network that a bundle was not trained on, and whether they do harm.

The flows of a labelled network are parted where half of the false incidents have happened. In each
draw some incidents of the first part get a label from the truth, the bundle is adapted as `zeekml
adapt` does, and the second part is scored with what came of it. Thresholds are lowered first, as
far as it takes to have false alarms at all. Incidents are true where most of the flows that opened
them are malicious.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zeekml.adaptation.adapt import Adapted, adapt
from zeekml.adaptation.bundle_change import KINDS
from zeekml.adaptation.gate import Verdict
from zeekml.adaptation.labelled_site import site_of_logs
from zeekml.adaptation.what_opens import Detection
from zeekml.batch.run import ScoreJob, score
from zeekml.config import Config
from zeekml.core.units import counted
from zeekml.datasets.environment import Environment
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.probability import evidence_odds, score_at
from zeekml.errors import DataError
from zeekml.features.feature_schema import FEATURES
from zeekml.readers.files.discovery import discover
from zeekml.triage.kept_incidents import kept_incidents
from zeekml.triage.labels import Label
from zeekml.triage.lookup import find_named
from zeekml.triage.notice_reader import NoticeLine

GATE: Final = "zeekml adapt"
FOREST: Final = "forest of the labels alone"

LOWERED: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""By how much thresholds are lowered, on the log-odds of evidence, until there are false alarms."""

_ENOUGH_FALSE: Final = 16
_FEWEST_FALSE: Final = 4
_TREES: Final = 100
_APART: Final = 7200.0  # seconds between two recordings
_BEGIN: Final = 1.7e9
_LEFT_OUT: Final = ("events", "source", "line", "community_id", "signatures", "sensor")


@dataclass(frozen=True)
class IncidentsByTruth:
    """Incidents of some time, and which of them are true."""

    incidents: Sequence[NoticeLine]
    true: frozenset[str]

    @property
    def counts(self) -> tuple[int, int]:
        """False and true ones."""
        return len(self.incidents) - len(self.true), len(self.true)

    def only(self, keep: Callable[[NoticeLine], bool]) -> IncidentsByTruth:
        """Some of them."""
        kept = [incident for incident in self.incidents if keep(incident)]
        return IncidentsByTruth(kept, self.true & {incident.id for incident in kept})


@dataclass(frozen=True)
class Draws:
    """Which labels are drawn."""

    count: int  # labels in a draw
    draws: int
    mixed: bool = False  # of all incidents; of false alarms alone if not
    shuffled: bool = False  # exchanged at random, so that they say nothing


@dataclass
class LabelOutcome:
    """What came of labels in all draws, by one way to take them in."""

    network: str
    labels: int
    way: str  # GATE, FOREST, or a candidate whether or not the gate let it through
    before: tuple[int, int]  # false and true incidents of the later part without labels
    after: list[tuple[int, int]] = field(default_factory=list)  # by draw
    promoted: Counter[str] = field(default_factory=Counter)  # how often which change, or none
    reference_lost: float = 0.0  # the most that a threat of the reference set lost, as a share

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        false, true = (self.column(which).tolist() for which in (0, 1))
        return {
            "network": self.network,
            "labels": self.labels,
            "way": self.way,
            "before": {"false": self.before[0], "true": self.before[1]},
            "after": {"false": false, "true": true},
            "promoted": dict(self.promoted),
            "reference_lost": self.reference_lost,
        }

    def column(self, which: int) -> np.ndarray:
        """Numbers of false (0) or true (1) incidents, by draw."""
        return np.array([counts[which] for counts in self.after])

    def row(self) -> dict[str, str]:
        """For a table: medians, and the worst of all draws."""
        false, true = self.column(0), self.column(1)
        refused = self.promoted["refused"]
        gate = f"{len(self.after) - refused} of {len(self.after)}" if self.way == GATE else ""
        return {
            "network": self.network,
            "labels": str(self.labels),
            "way": self.way,
            "promoted": gate,
            "false later": f"{self.before[0]} → {np.median(false):g} (worst {false.max()})",
            "true later": f"{self.before[1]} → {np.median(true):g} (worst {true.min()})",
        }


class LabelledNetwork:
    """A labelled network as one log in two parts, and a bundle with lower thresholds.

    Files go to `work`. Raises `DataError` where there are hardly any false alarms to label.
    """

    def __init__(
        self, environment: Environment, bundle: Bundle, work: Path, lowered: float | None = None
    ) -> None:
        self.name, self._work = environment.name, work
        flows, ends = self._as_one_log(environment)
        for by in LOWERED if lowered is None else (lowered,):
            self.bundle, self.lowered = _lowered(bundle, by, work / "bundle"), by
            whole = self._raised("whole", flows, self.bundle.path)
            false = sorted(i.ts for i in whole.incidents if i.id not in whole.true)
            if len(false) >= _ENOUGH_FALSE:
                break
        if len(false) < _FEWEST_FALSE:
            raise DataError(f"{self.name}: {counted(len(false), 'false alarm')}, too few to label")
        cut = false[len(false) // 2]
        self.first = self._raised("first", flows.filter(pa.array(ends < cut)), self.bundle.path)
        self._later = flows.filter(pa.array(ends >= cut))
        self.before = self.later(self.bundle.path)

    def _as_one_log(self, environment: Environment) -> tuple[pa.Table, np.ndarray]:
        """Its recordings one after the other, and when each flow ended."""
        flows = environment.flows
        ts = flows.column("ts").to_numpy().copy()
        duration = np.nan_to_num(flows.column("duration").to_numpy(zero_copy_only=False))
        begin = _BEGIN
        for rows in environment.capture_slices():
            if rows.stop > rows.start:
                ts[rows] += begin - ts[rows].min()
                begin = float((ts[rows] + duration[rows]).max()) + _APART
        names = [f"U{number}" for number in range(len(ts))]
        self._labels = dict(zip(names, environment.labels.tolist(), strict=True))
        flows = flows.drop_columns([c for c in _LEFT_OUT if c in flows.column_names])
        for column, values in (("uid", pa.array(names)), ("ts", pa.array(ts))):
            flows = flows.set_column(flows.schema.get_field_index(column), column, values)
        return flows, ts + duration

    def later(self, bundle: Path) -> IncidentsByTruth:
        """What a bundle raises in the later part."""
        return self._raised("later", self._later, bundle)

    def draw(self, wanted: Draws, seed: int) -> list[Label]:
        """Labels of some incidents of the first part; fewer where there are not so many."""
        rng = np.random.default_rng(seed)
        true = self.first.true
        ids = sorted(i.id for i in self.first.incidents if wanted.mixed or i.id not in true)
        chosen = rng.permutation(ids)[: wanted.count].tolist()
        truths = np.array([name in true for name in chosen])
        if wanted.shuffled:
            both = bool(truths.any() and not truths.all())
            truths = rng.permutation(truths) if both else rng.random(len(truths)) < 0.5
        named = find_named(chosen, out=self._work / "first")
        return [
            Label(name, bool(truth), "", "", "", 0.0, named[name].line, named[name].evidence)
            for name, truth in zip(chosen, truths, strict=True)
        ]

    def adapted(self, labels: Sequence[Label]) -> Adapted:
        """What `zeekml adapt` makes of labels."""
        nets = tuple(Config().local_nets)
        detection = Detection(self.bundle, load_policy(), local_nets=nets)
        streams = discover([self._work / "first.parquet"]).streams
        with site_of_logs(streams, labels, detection, Config()) as site:
            return adapt(site, detection)

    def with_change(self, verdict: Verdict) -> IncidentsByTruth:
        """What the later part raises with a candidate."""
        place = self._work / "changed"
        write_bundle(place, verdict.change.new_bundle(self.bundle), overwrite=True)
        return self.later(place)

    def with_forest(self, labels: Sequence[Label], seed: int) -> IncidentsByTruth:
        """What a forest of the labelled incidents' first flows alone would leave of the later."""
        from sklearn.ensemble import RandomForestClassifier

        truth = {label.id: label.truth for label in labels}
        known = [incident for incident in self.first.incidents if incident.id in truth]
        answers = np.array([truth[incident.id] for incident in known])
        if answers.all() or not answers.any():
            return self.before.only(lambda _: bool(answers.all()))
        forest = RandomForestClassifier(_TREES, random_state=seed)
        forest.fit(np.stack([_first_row(incident) for incident in known]), answers)
        return self.before.only(lambda i: bool(forest.predict(_first_row(i)[None])[0]))

    def _raised(self, part: str, flows: pa.Table, bundle: Path) -> IncidentsByTruth:
        path, out = self._work / f"{part}.parquet", self._work / part
        pq.write_table(flows, path)
        score(discover([path]), ScoreJob(out, bundle=bundle))
        incidents = kept_incidents(out=out)
        true = set()
        for incident in incidents:
            related = incident.evidence.related if incident.evidence else []
            uids = [incident.uid, *(flow.uid for flow in related)]
            labels = [self._labels[uid] for uid in uids if uid]
            known = [label > 0 for label in labels if label >= 0]
            if known and np.mean(known) > 0.5:
                true.add(incident.id)
        return IncidentsByTruth(incidents, frozenset(true))


def _first_row(incident: NoticeLine) -> np.ndarray:
    """The features of the flow that opened an incident; what is missing as -1."""
    if incident.evidence is None:
        return np.full(len(FEATURES), -1.0, np.float32)
    return np.nan_to_num(np.frombuffer(incident.evidence.features, "<f4"), nan=-1.0)


def _lowered(bundle: Bundle, by: float, place: Path) -> Bundle:
    base_rate = bundle.manifest.calibration.base_rate
    thresholds = {
        threat: score_at(evidence_odds(threshold, base_rate) - by, base_rate)
        for threat, threshold in bundle.manifest.thresholds.items()
    }
    least = min(*thresholds.values(), bundle.manifest.candidate_score)
    new = replace(NewBundle.from_parent(bundle), thresholds=thresholds, candidate_score=least)
    return write_bundle(place, new, overwrite=True)


def study_labels(
    network: LabelledNetwork,
    wanted: Draws,
    *,
    beside: bool = True,
    done: Callable[[], None] = lambda: None,
) -> list[LabelOutcome]:
    """Draw labels, adapt, and see what is raised later.

    With `beside`, also what every candidate would have done whether or not it passed the gate, and
    a forest of the labels alone. `done` is called after each draw.
    """
    found: dict[str, LabelOutcome] = {}

    def outcome(way: str) -> LabelOutcome:
        new = LabelOutcome(network.name, wanted.count, way, network.before.counts)
        return found.setdefault(way, new)

    for seed in range(wanted.draws):
        labels = network.draw(wanted, seed)
        adapted = network.adapted(labels)
        winner, gate = adapted.winner, outcome(GATE)
        gate.promoted[winner.change.kind if winner else "refused"] += 1
        after = network.before if winner is None else network.with_change(winner)
        gate.after.append(after.counts)
        if winner is not None:
            old, new = adapted.gate.old.recall, winner.figures.recall
            lost = [old[threat] - new[threat] for threat in old]
            gate.reference_lost = max([gate.reference_lost, *lost])
        if beside:
            outcome(FOREST).after.append(network.with_forest(labels, seed).counts)
            # of several of one kind, the strongest; what changes nothing stands for itself
            candidates = defaultdict(lambda: network.before)
            for verdict in adapted.verdicts:
                if not verdict.change.empty:
                    candidates[verdict.change.kind] = network.with_change(verdict)
            for kind in KINDS:
                outcome(f"{kind} alone").after.append(candidates[kind].counts)
        done()
    return list(found.values())
