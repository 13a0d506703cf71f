"""From out-of-fold scores to what a sensor needs: a calibration and incident thresholds.

Everything here is fitted on scores of environments that the scoring ensemble had not seen; on
training data a network is too sure of itself.

A single flow's score is no usable alarm. The evidence of an incident is the mean of the highest
scores of one host within a window, as the policy defines it; thresholds are set on that evidence
over benign traffic only, so that a site without attacks gets few false incidents.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.ensemble.calibration import (
    apply_platt,
    brier,
    expected_calibration_error,
    fit_platt,
)
from zeekml.ensemble.classes import THREATS
from zeekml.learning.datasets import LABEL_NAMES, Environment
from zeekml.learning.evaluation import Fold
from zeekml.learning.network import Labels
from zeekml.notices.policy import Detector, Policy

FloatArray = npt.NDArray[np.float64]

FALSE_INCIDENTS_PER_FLOW: Final = 1.5e-4
LOWEST_THRESHOLD: Final = 0.5
HIGHEST_THRESHOLD: Final = 0.999
# a flow plays a part in incidents from this share of the lowest threshold on
CANDIDATE_SHARE: Final = 0.5


@dataclass(frozen=True)
class Calibration:
    """Platt's curve from averaged log-odds to scores, and how well it fits out of fold."""

    slope: float
    intercept: float
    brier: float
    error: float

    def scores(self, log_odds: FloatArray) -> FloatArray:
        """Return calibrated scores in (0, 1)."""
        return apply_platt(log_odds, self.slope, self.intercept)


def calibrate(folds: Sequence[Fold]) -> Calibration:
    """Fit one curve to all folds, each environment and each side of it weighing the same.

    A score of 0.5 therefore means that the evidence is even, not that half of such flows at a
    site are malicious: that depends on how many attacks the site has.
    """
    log_odds, malicious, weights = [], [], []
    for fold in folds:
        used = fold.labels >= 0
        bad = fold.labels[used] > 0
        log_odds.append(fold.prediction.log_odds[used])
        malicious.append(bad)
        weights.append(np.where(bad, 0.5 / max(bad.sum(), 1), 0.5 / max((~bad).sum(), 1)))
    z, y, w = np.concatenate(log_odds), np.concatenate(malicious), np.concatenate(weights)
    slope, intercept = fit_platt(z, y, w)
    scores = apply_platt(z, slope, intercept)
    return Calibration(
        slope=slope,
        intercept=intercept,
        brier=brier(scores, y, w),
        error=expected_calibration_error(scores, y, w),
    )


@dataclass(frozen=True)
class ScoredFlows:
    """One held-out environment as the incident logic sees it, in order of arrival.

    Attributes
    ----------
    clock : float64 array
        Flow end, never going back within a capture (epoch seconds).
    keys : dict of tuple of str to list
        Group key of each row for each way of grouping.
    scores : float64 array
        Calibrated.
    shares : float64 array (rows, threats)
        P(threat | malicious).
    labels : int8 array
    captures : int32 array
    """

    name: str
    clock: FloatArray
    keys: Mapping[tuple[str, ...], list[tuple[Any, ...]]]
    scores: FloatArray
    shares: FloatArray
    labels: Labels
    captures: npt.NDArray[np.int32]


def scored_flows(fold: Fold, calibration: Calibration, policy: Policy) -> ScoredFlows:
    """Bring a fold into the form that incidents are counted on."""
    shares = fold.prediction.threat_shares()
    if shares is None:
        raise ValueError("incident thresholds need members that tell threats apart")
    environment = fold.prepared.environment
    return ScoredFlows(
        name=environment.name,
        clock=_clock(environment),
        keys={group: _keys(environment, group) for group in groupings(policy)},
        scores=calibration.scores(fold.prediction.log_odds),
        shares=shares,
        labels=fold.labels,
        captures=environment.captures,
    )


def groupings(policy: Policy) -> list[tuple[str, ...]]:
    """Return the different ways in which the enabled detectors group flows."""
    return list(dict.fromkeys(d.group_by for d in policy.detectors if d.enabled))


def _clock(environment: Environment) -> FloatArray:
    flows = environment.flows
    end = flows["ts"].to_numpy() + np.nan_to_num(
        np.asarray(flows["duration"].to_numpy(), dtype=np.float64)
    )
    clock = np.empty(len(end))
    for rows in environment.capture_slices():
        clock[rows] = np.maximum.accumulate(end[rows])
    return clock


def _keys(environment: Environment, group: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return list(zip(*(environment.flows[name].to_pylist() for name in group), strict=True))


@dataclass(frozen=True)
class Activity:
    """One stretch of activity of a group: it can give at most one incident.

    Attributes
    ----------
    group : tuple of str
        Columns that make the group.
    rows : int array
        Row numbers of its flows, in order.
    peaks : float64 array (threats,)
        Highest evidence while the threat (of this grouping) was the likeliest; zero if it never
        was, or never with enough flows.
    """

    group: tuple[str, ...]
    rows: npt.NDArray[np.intp]
    peaks: FloatArray

    def raises(self, thresholds: Mapping[str, float]) -> bool:
        """Return whether an incident opens."""
        limits = np.array([thresholds[threat] for threat in THREATS])
        return bool((self.peaks >= limits).any())


def activities(flows: ScoredFlows, chosen: npt.NDArray[np.bool_], policy: Policy) -> list[Activity]:
    """Follow the evidence of every group over the chosen rows.

    This is the policy's rule for one incident without its bookkeeping: at each flow the evidence
    is the mean of the `top` highest scores in the window (missing ones count zero) and the threat
    is the one that most of those scores speak for; a group rests after `suppress_for` without a
    flow.

    Parameters
    ----------
    flows : ScoredFlows
    chosen : bool array
        Rows that exist: the benign ones alone to count false incidents, all to see what is found.
    policy : Policy
    """
    found = []
    # lower scores can neither reach a threshold nor be candidates
    visible = chosen & (flows.scores >= LOWEST_THRESHOLD * CANDIDATE_SHARE)
    rows = np.flatnonzero(visible)
    for group, keys in flows.keys.items():
        detectors = {d.threat: d for d in policy.detectors if d.enabled and d.group_by == group}
        members: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
        for row in rows.tolist():
            members[(flows.captures[row], *keys[row])].append(row)
        rest = max(d.suppress_for for d in detectors.values())
        for own in members.values():
            for active in _split(np.array(own), flows.clock, rest):
                found.append(Activity(group, active, _peaks(flows, active, detectors)))
    return found


def _split(
    rows: npt.NDArray[np.intp], clock: FloatArray, rest: float
) -> Iterator[npt.NDArray[np.intp]]:
    yield from np.split(rows, np.flatnonzero(np.diff(clock[rows]) > rest) + 1)


def _peaks(
    flows: ScoredFlows, rows: npt.NDArray[np.intp], detectors: Mapping[str, Detector]
) -> FloatArray:
    peaks = np.zeros(len(THREATS))
    # detectors of one grouping mostly share window and top: evidence is computed once for each
    for window, top in {(d.window, d.top) for d in detectors.values()}:
        for threat, evidence, count in _evidence(flows, rows, window, top):
            detector = detectors.get(THREATS[threat])
            if (
                detector is not None
                and (detector.window, detector.top) == (window, top)
                and count >= detector.minimum_flows
            ):
                peaks[threat] = max(peaks[threat], evidence)
    return peaks


def _evidence(
    flows: ScoredFlows, rows: npt.NDArray[np.intp], window: float, top: int
) -> Iterator[tuple[int, float, int]]:
    """Yield, at each row, the likeliest threat, the evidence, and the flows in the window."""
    recent: deque[tuple[float, tuple[float, int]]] = deque()
    ranked: list[tuple[float, int]] = []
    for row in rows.tolist():
        now = float(flows.clock[row])
        while recent and recent[0][0] <= now - window:
            ranked.pop(bisect_left(ranked, recent.popleft()[1]))
        entry = (float(flows.scores[row]), row)
        recent.append((now, entry))
        insort(ranked, entry)
        best = ranked[-top:]
        scores = np.array([score for score, _ in best])
        votes = scores @ flows.shares[[number for _, number in best]]
        yield int(np.argmax(votes)), float(scores.sum()) / top, len(recent)


@dataclass(frozen=True)
class Thresholds:
    """Incident thresholds and what they give out of fold.

    Attributes
    ----------
    values : dict of str to float
        Threshold of each threat.
    candidate_score : float
        Score below which a flow plays no part in incidents.
    false_per_10k : float
        False incidents per 10,000 benign flows, environments balanced.
    false_by_environment : dict of str to int
        False incidents on the benign rows of each environment.
    found : dict of str to dict
        Per environment and class: share of the malicious rows that belong to an incident.
    """

    values: Mapping[str, float]
    candidate_score: float
    false_per_10k: float
    false_by_environment: Mapping[str, int]
    found: Mapping[str, Mapping[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "thresholds": dict(self.values),
            "candidate_score": self.candidate_score,
            "false_incidents_per_10000_benign_flows": self.false_per_10k,
            "false_incidents": dict(self.false_by_environment),
            "malicious_rows_in_incidents": {k: dict(v) for k, v in self.found.items()},
        }


def choose_thresholds(
    folds: Sequence[Fold],
    calibration: Calibration,
    policy: Policy,
    *,
    budget: float = FALSE_INCIDENTS_PER_FLOW,
) -> Thresholds:
    """Set each threat's threshold by the false incidents on held-out benign traffic.

    First one bar for all threats is set where benign activities use the budget up. Then each
    threat's own threshold is lowered half the way to the loudest benign activity of that threat
    below the bar, which costs no further false incident. Environments are pooled with the square
    root of their benign rows as weight, so that neither the biggest nor the smallest sets the
    thresholds.

    Parameters
    ----------
    folds : sequence of Fold
    calibration : Calibration
    policy : Policy
        Its windows, groupings and minimums are used; thresholds written there are ignored.
    budget : float
        False incidents per benign flow, over all threats.
    """
    sites = [scored_flows(fold, calibration, policy) for fold in folds]
    benign = {site.name: activities(site, site.labels == 0, policy) for site in sites}
    sizes = {site.name: int((site.labels == 0).sum()) for site in sites}
    total = sum(np.sqrt(size) for size in sizes.values())
    cost = {name: 1 / (np.sqrt(size) * total) for name, size in sizes.items()}
    peaks = [
        np.array([item.peaks for item in benign[name]]).reshape(-1, len(THREATS)) for name in sizes
    ]
    costs = np.concatenate(
        [np.full(len(own), cost[name]) for name, own in zip(sizes, peaks, strict=True)]
    )
    limits = _limits(np.concatenate(peaks), costs, budget).round(4).tolist()
    values = dict(zip(THREATS, limits, strict=True))

    false = {name: sum(item.raises(values) for item in items) for name, items in benign.items()}
    return Thresholds(
        values=values,
        candidate_score=round(CANDIDATE_SHARE * min(limits), 4),
        false_per_10k=float(1e4 * sum(cost[name] * count for name, count in false.items())),
        false_by_environment=false,
        found={site.name: _found(site, policy, values) for site in sites},
    )


def _limits(peaks: FloatArray, costs: FloatArray, budget: float) -> FloatArray:
    """Return one threshold per threat; see ``choose_thresholds``.

    Parameters
    ----------
    peaks : float64 array (activities, threats)
        Of benign activities.
    costs : float64 array (activities,)
        What an incident of each costs.
    budget : float
    """
    order = np.argsort(-peaks.max(axis=1, initial=0.0), kind="stable")
    highest = peaks.max(axis=1, initial=0.0)[order]
    affordable = int(np.searchsorted(np.cumsum(costs[order]), budget, side="right"))
    bar = _between(highest, affordable)
    silent = peaks[peaks.max(axis=1, initial=0.0) < bar]
    loudest = silent.max(axis=0, initial=0.0)
    lowered: FloatArray = np.minimum(bar, np.maximum((bar + loudest) / 2, LOWEST_THRESHOLD))
    return lowered


def _between(ranked: FloatArray, count: int) -> float:
    """Return a value that `count` of the descending values exceed, with room on both sides."""
    if count >= len(ranked):
        return LOWEST_THRESHOLD
    above = ranked[count - 1] if count else 1.0
    return float(np.clip((above + ranked[count]) / 2, LOWEST_THRESHOLD, HIGHEST_THRESHOLD))


def _found(site: ScoredFlows, policy: Policy, values: Mapping[str, float]) -> dict[str, float]:
    """Return, by class, the share of malicious rows that belong to a raised group."""
    caught = np.zeros(len(site.labels), dtype=bool)
    everything = np.ones(len(site.labels), dtype=bool)
    for item in activities(site, everything, policy):
        if item.raises(values):
            caught[item.rows] = True
    return {
        LABEL_NAMES[label]: float(caught[site.labels == label].mean())
        for label in np.unique(site.labels[site.labels > 0])
    }


def false_positive_rates(
    folds: Iterable[Fold], calibration: Calibration, threshold: float
) -> dict[str, float]:
    """Return, by environment, the share of benign rows whose score reaches `threshold`."""
    rates = {}
    for fold in folds:
        scores = calibration.scores(fold.prediction.log_odds)
        rates[fold.prepared.name] = float((scores[fold.labels == 0] >= threshold).mean())
    return rates
