"""What becomes of scores: incidents, and the labelled episodes among them.

An episode is found by its own doing: one of its flows must stand where its group's evidence reaches
the threshold of a threat. That an incident merely goes on while an episode happens is no credit.
Even so, big groups are found by size alone; so the same is counted once more with the evidence of
all malicious flows dealt out anew from benign ones, and that is what chance would find.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import LABEL_NAMES, Environment
from zeekml.detection.policy import Policy
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import evidence
from zeekml.evaluation.scores import HeldOut, SeedRun
from zeekml.training.incident_replay import ScoredFlows, activities, scored_flows
from zeekml.training.ranking import Floats


@dataclass(frozen=True)
class Episode:
    """Malicious flows that belong together.

    Attributes
    ----------
    threat : str
    rows : int array
        Numbers of its flows, in order of arrival.
    """

    threat: str
    rows: npt.NDArray[np.intp]


@dataclass(frozen=True)
class IncidentFigures:
    """What one run's incidents are on one environment.

    Attributes
    ----------
    false : int
        Incidents on the benign flows alone.
    flows_until : sequence of int or None
        For each episode: how many of its flows had come when it was found, None if it never was.
    by_chance : int
        Episodes that are found with malicious flows scored like benign ones.
    """

    false: int
    flows_until: list[int | None]
    by_chance: int


def episodes(environment: Environment) -> list[Episode]:
    """Labelled episodes; where the data name none, one per recording, originator and class."""
    labels = environment.evaluation_labels()
    hosts = environment.flows["id.orig_h"].to_pylist()
    groups: dict[Hashable, list[int]] = {}
    for row in np.flatnonzero(labels > 0).tolist():
        named = environment.episodes[row] if environment.episodes is not None else None
        key = (
            (named, labels[row]) if named else (environment.captures[row], hosts[row], labels[row])
        )
        groups.setdefault(key, []).append(row)
    return [
        Episode(LABEL_NAMES[labels[rows[0]]], np.array(rows, dtype=np.intp))
        for rows in groups.values()
    ]


def outcome(
    site: HeldOut, run: SeedRun, found_in: list[Episode], policy: Policy
) -> IncidentFigures | None:
    """Follow the incidents of one run; None if it has no thresholds."""
    if run.calibration is None or run.thresholds is None:
        return None
    flows = scored_flows(site.fold(run), run.calibration.evidence(run.prediction.log_odds), policy)
    limits = _limits(run.thresholds.values, run.calibration.base_rate)
    benign = flows.labels == 0
    false = sum(bool((item.readings >= limits).any()) for item in activities(flows, benign, policy))
    alarms = _alarms(flows, limits, policy)
    chance = _alarms(_by_chance(flows, run.seed), limits, policy)
    until: list[int | None] = []
    for episode in found_in:
        at = np.flatnonzero(alarms[episode.rows])
        until.append(int(at[0]) + 1 if len(at) else None)
    return IncidentFigures(false, until, sum(bool(chance[e.rows].any()) for e in found_in))


def _limits(thresholds: Mapping[str, float], base_rate: float) -> Floats:
    # a threat without a threshold is never raised
    values = [thresholds.get(threat, 1.0) for threat in THREATS]
    limits = evidence(np.array(values), base_rate)
    return np.where(np.array(values) >= 1.0, np.inf, limits)


def _alarms(flows: ScoredFlows, limits: Floats, policy: Policy) -> npt.NDArray[np.bool_]:
    """Flows at which the evidence of their group reaches a threshold."""
    alarms = np.zeros(len(flows.labels), dtype=bool)
    everything = np.ones(len(flows.labels), dtype=bool)
    for item in activities(flows, everything, policy):
        alarms[item.rows[(item.readings >= limits).any(axis=1)]] = True
    return alarms


def _by_chance(flows: ScoredFlows, seed: int) -> ScoredFlows:
    """The same flows, the malicious ones with evidence and shares of benign ones."""
    rng = np.random.default_rng([seed, 13])
    malicious = np.flatnonzero(flows.labels > 0)
    drawn = rng.choice(np.flatnonzero(flows.labels == 0), len(malicious))
    strength, shares = flows.evidence.copy(), flows.shares.copy()
    strength[malicious], shares[malicious] = flows.evidence[drawn], flows.shares[drawn]
    return replace(flows, evidence=strength, shares=shares)


def benign_days(environment: Environment) -> float:
    """Days that the benign flows span, recordings added up."""
    benign = environment.evaluation_labels() == 0
    ts = environment.flows["ts"].to_numpy()
    seconds = 0.0
    for rows in environment.capture_slices():
        own = ts[rows][benign[rows]]
        seconds += float(np.ptp(own)) if len(own) else 0.0
    return seconds / 86400
