"""The confidence of incidents, fitted to those that open on networks held out.

Each network is judged by an ensemble, a calibration and thresholds that never saw it. What opens on
all of its flows and is mostly malicious is an attack, what opens on its benign flows alone is not.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from zeekml.datasets.environment import LABEL_NAMES, Labels
from zeekml.detection.incidents.replay import ReplayedIncident
from zeekml.detection.policy import Policy
from zeekml.detection.single_flows import Judged, SingleFlows
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.confidence import Confidence, Curve, bars_of, finite_log_odds
from zeekml.ensemble.probability import apply_platt, evidence
from zeekml.training.incident_replay import HeldOutStream
from zeekml.training.leave_one_out import Fold
from zeekml.training.platt_fit import PlattFit
from zeekml.training.ranking import Flags, Floats

BASE_RATE: Final = 0.5
"""Share of incidents that are attacks, for which a confidence holds."""

WINDOW: Final = 300.0
"""Seconds of a host's traffic that count as one window when rarity is told."""

_BINS: Final = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0)
RELIABILITY_HEADS: Final = ("confidence", "incidents", "mean", "attacks")

_FEWEST: Final = 10  # of each side, to fit a curve
_POINTS: Final = 24  # of benign evidence that a bundle keeps
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class JudgedIncident:
    """An incident, or a pair of hosts that was told of, on a network held out."""

    site: str
    recording: int
    real: bool
    excess: float  # of its evidence over the bar, in log-odds
    floor: bool = False  # whether a flow that met a floor opened it
    threat: str = ""  # its name
    label: str = ""  # class of most of its malicious flows; empty if it is no attack


@dataclass(frozen=True, slots=True)
class FoldReplay:
    """What opens on a network held out: on all of its flows, and on its benign ones alone."""

    fold: Fold
    fit: PlattFit
    thresholds: Mapping[str, float]
    policy: Policy
    whole: tuple[HeldOutStream, list[ReplayedIncident]]
    benign: tuple[HeldOutStream, list[ReplayedIncident]]

    @classmethod
    def of(
        cls, fold: Fold, fit: PlattFit, thresholds: Mapping[str, float], policy: Policy
    ) -> FoldReplay:
        """Replay both."""
        whole = HeldOutStream.of(fold, fit, policy)
        benign = whole.only(fold.labels == 0)
        told = [(part, part.replay(policy).incidents(thresholds)) for part in (whole, benign)]
        return cls(fold, fit, thresholds, policy, *told)

    def without_events(self) -> FoldReplay | None:
        """The same had its sensor logged no events; None where it logged none."""
        silent = self.fold.without_events()
        if silent is None:
            return None
        return FoldReplay.of(silent, self.fit, self.thresholds, self.policy)


@dataclass(frozen=True, slots=True)
class SiteIncidents:
    """What opened on a network held out."""

    incidents: tuple[JudgedIncident, ...]
    benign_windows: int

    @classmethod
    def of(cls, replay: FoldReplay, bars: Mapping[str, float] | None = None) -> SiteIncidents:
        """Judge a network, once more as if its sensor had logged no events if it logged some.

        Bars are those of the thresholds by default.
        """
        bars = bars or bars_of_scores(replay.thresholds, replay.fit.base_rate)
        silent = replay.without_events()
        replays = (replay,) if silent is None else (replay, silent)
        found = [incident for each in replays for incident in _incidents(each, bars)]
        environment, benign = replay.fold.prepared.environment, replay.fold.labels == 0
        hosts = environment.flows["id.orig_h"].to_numpy()[benign]
        span = np.floor(environment.ends()[benign] / WINDOW)
        windows = set(zip(environment.captures[benign].tolist(), hosts, span, strict=True))
        return cls(tuple(found), len(windows) * len(replays))

    def attacks_alone(self) -> SiteIncidents:
        """The same without what opened on benign flows."""
        return SiteIncidents(tuple(i for i in self.incidents if i.real), 0)


def _incidents(replay: FoldReplay, bars: Mapping[str, float]) -> list[JudgedIncident]:
    labels, floors = replay.fold.labels, _met_floors(replay.fold, replay.policy)
    attacks = _from_attackers(replay.fold)
    found = []
    for real, (part, incidents) in ((True, replay.whole), (False, replay.benign)):
        for incident in incidents:
            rows = part.rows[incident.rows]
            if real and (labels[rows] > 0).sum() <= (labels[rows] == 0).sum():
                continue  # counted among the benign flows alone
            if not real and attacks[rows].mean() > 0.5:
                continue  # to be told of an attacker's host is right, whichever flow tells
            place = THREATS.index(incident.threat)
            met = bool(floors[part.rows[incident.opener]] >> place & 1)
            found.append(
                JudgedIncident(
                    replay.fold.prepared.name,
                    int(part.captures[incident.opener]),
                    real,
                    finite_log_odds(float(incident.strength[-1])) - bars[incident.threat],
                    incident.alone and met,
                    incident.threat,
                    _most_common(labels[rows]) if real else "",
                )
            )
    return found


def _from_attackers(fold: Fold) -> Flags:
    """Which flows come from a host that also attacks in the same recording."""
    environment = fold.prepared.environment
    hosts = environment.flows["id.orig_h"].to_numpy()
    whose = list(zip(environment.captures.tolist(), hosts, strict=True))
    attackers = {whose[row] for row in np.flatnonzero(fold.labels > 0)}
    return np.array([host in attackers for host in whose], bool)


def _most_common(labels: Labels) -> str:
    return LABEL_NAMES[int(np.bincount(labels[labels > 0]).argmax())]


def _met_floors(fold: Fold, policy: Policy) -> Any:
    """For which threats each row meets a floor, as `SingleFlows.enough` has it."""
    detectors = tuple(replace(detector, alone=()) for detector in policy.detectors)
    matrix = fold.prepared.matrix
    unscored = np.zeros(len(matrix)), np.zeros(len(matrix), np.int8)
    rows = Judged(matrix, *unscored, np.zeros((len(matrix), 1), np.float32))
    return SingleFlows(replace(policy, detectors=detectors)).enough(rows)


def bars_of_scores(thresholds: Mapping[str, float], base_rate: float) -> dict[str, float]:
    """The bars, in log-odds of evidence, of thresholds on the scale of scores."""
    return bars_of({t: float(evidence(value, base_rate)) for t, value in thresholds.items()})


def fit_confidence(
    sites: Sequence[SiteIncidents],
    thresholds: Mapping[str, float],
    base_rate: float,
    pairs: Curve | None = None,
) -> Confidence | None:
    """Fit it to all incidents; None where too few of either side opened.

    Parameters
    ----------
    sites
        Networks held out.
    thresholds, base_rate
        Of the bundle, see `zeekml.ensemble.manifest`.
    pairs
        Of its ensemble for pairs.
    """
    incidents = [incident for site in sites for incident in site.incidents]
    told = _fit(incidents)
    if told is None:
        return None
    sites_of = [(site.incidents, site.benign_windows) for site in sites if site.benign_windows]
    curve = _curve(told, bars_of_scores(thresholds, base_rate), sites_of)
    return Confidence(base_rate=BASE_RATE, flows=curve, floor=round(told[2], _DIGITS), pairs=pairs)


def fit_curve(
    incidents: Sequence[JudgedIncident], bars: Mapping[str, float], looked_at: Mapping[str, int]
) -> Curve | None:
    """A curve alone, of what no floor opened; `looked_at` counts what is benign, by site."""
    told = _fit(incidents)
    if told is None:
        return None
    return _curve(
        told,
        bars,
        [([i for i in incidents if i.site == site], count) for site, count in looked_at.items()],
    )


def _curve(
    told: tuple[float, float, float],
    bars: Mapping[str, float],
    sites: Sequence[tuple[Sequence[JudgedIncident], int]],
) -> Curve:
    """Of what `_fit` says; sites are those of `benign_points`."""
    slope, intercept, _ = told
    return Curve(
        bars=dict(bars),
        slope=round(slope, _DIGITS),
        intercept=round(intercept, _DIGITS),
        benign=benign_points(sites),
        looked_at=sum(count for _, count in sites),
    )


def _fit(incidents: Sequence[JudgedIncident]) -> tuple[float, float, float] | None:
    """Slope and intercept of the curve, and the probability of what met a floor."""
    from sklearn.linear_model import LogisticRegression  # takes a second

    floors = np.array([incident.floor for incident in incidents], bool)
    real = np.array([incident.real for incident in incidents], bool)
    if min((real & ~floors).sum(), (~real & ~floors).sum()) < _FEWEST:
        return None
    weights = _weights(incidents, real)
    x = np.array([incident.excess for incident in incidents])[~floors]
    # standardised, so that the penalty means the same whatever the scale of evidence
    centre, width = float(x.mean()), float(x.std()) or 1.0
    own = weights[~floors] * (~floors).sum()
    model = LogisticRegression(C=1.0)
    model.fit(((x - centre) / width)[:, None], real[~floors], own)
    slope = max(float(model.coef_[0, 0]) / width, 0.0)
    intercept = float(model.intercept_[0]) - slope * centre
    # each side as if it had been seen once more
    least = 1.0 / len(incidents)
    masses = [weights[floors & side].sum() + least for side in (real, ~real)]
    return slope, intercept, float(masses[0] / (masses[0] + masses[1]))


def _weights(incidents: Sequence[JudgedIncident], real: Flags) -> Floats:
    """Recordings and sites count with the root of their incidents; both sides together the same."""
    sites = Counter((i.site, i.real) for i in incidents)
    recordings = Counter((i.site, i.recording, i.real) for i in incidents)
    weights = np.array(
        [
            1.0 / math.sqrt(sites[i.site, i.real] * recordings[i.site, i.recording, i.real])
            for i in incidents
        ]
    )
    for side, share in ((real, BASE_RATE), (~real, 1.0 - BASE_RATE)):
        weights[side] *= share / max(weights[side].sum(), 1e-12)
    return weights


def benign_points(
    sites: Sequence[tuple[Sequence[JudgedIncident], int]],
) -> tuple[tuple[float, float], ...]:
    """How far benign evidence goes: of excess, and in how many windows one comes so far.

    Sites, each with its incidents and how many windows were looked at, weigh with the root of
    those.
    """
    roots = [math.sqrt(count) for _, count in sites]
    excess, rates = [], []
    for (incidents, count), root in zip(sites, roots, strict=True):
        own = [i.excess for i in incidents if not i.real and i.excess >= 0.0]
        excess += own
        rates += [root / count / sum(roots)] * len(own)
    order = np.argsort(excess)
    at = np.array(excess)[order]
    # the rate of what is at least so strong
    rate = np.cumsum(np.array(rates)[order][::-1])[::-1]
    chosen = np.unique(np.linspace(0, len(at) - 1, min(len(at), _POINTS)).astype(int))
    return tuple(
        (round(float(at[i]), _DIGITS), round(1.0 / float(rate[i]), 1)) for i in chosen.tolist()
    )


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Incidents of about the same confidence, on networks that it was not fitted to."""

    low: float
    high: float
    said: float  # mean confidence
    observed: float  # share that are attacks, at the base rate
    count: int


def confidence_without_site(incidents: Sequence[JudgedIncident]) -> Floats:
    """For each incident the confidence that those of other sites give it; NaN: too few."""
    said = np.full(len(incidents), np.nan)
    names = np.array([incident.site for incident in incidents])
    excess = np.array([incident.excess for incident in incidents])
    floors = np.array([incident.floor for incident in incidents], bool)
    for site in dict.fromkeys(names.tolist()):
        told = _fit([incident for incident in incidents if incident.site != site])
        if told is None:
            continue
        slope, intercept, floor = told
        own = names == site
        curve = apply_platt(excess[own], slope, intercept)
        said[own] = np.where(floors[own], np.maximum(curve, floor), curve)
    return said


def reliability(incidents: Sequence[JudgedIncident], said: Floats) -> list[ReliabilityBin]:
    """How many of the incidents of about the same confidence are attacks; NaN is left out."""
    if not len(incidents):
        return []
    real = np.array([incident.real for incident in incidents], bool)
    weights = _weights(incidents, real)
    bins = []
    for low, high in itertools.pairwise(_BINS):
        own = (said >= low) & ((said < high) | (high == 1.0))
        if own.any():
            mass = weights[own]
            bins.append(
                ReliabilityBin(
                    low,
                    high,
                    float(np.average(said[own], weights=mass)),
                    float(np.average(real[own], weights=mass)),
                    int(own.sum()),
                )
            )
    return bins


def reliability_cells(bins: Sequence[ReliabilityBin]) -> list[list[str]]:
    """The bins as rows of a table with the columns `RELIABILITY_HEADS`."""
    return [
        [f"{b.low:.0%} to {b.high:.0%}", f"{b.count:,}", f"{b.said:.0%}", f"{b.observed:.0%}"]
        for b in bins
    ]
