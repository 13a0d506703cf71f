"""From out-of-fold scores to what a sensor needs: a calibration and incident thresholds.

Everything here is fitted on scores of environments that the scoring ensemble had not seen; on
training data a network is too sure of itself. A single flow's score is no usable alarm (see
``evidence``), so thresholds are set on the evidence of incidents, over benign traffic only: a site
without attacks gets few false incidents. What that is worth on a further network is checked by
choosing thresholds on all environments but one and counting on that one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import LABEL_NAMES
from zeekml.detection.policy import Policy
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import (
    EVEN,
    apply_platt,
    brier,
    evidence,
    expected_calibration_error,
    fit_platt,
    score_of,
)
from zeekml.training.incident_replay import (
    Activity,
    ScoredFlows,
    activities,
    scored_flows,
)
from zeekml.training.leave_one_out import Fold

FloatArray = npt.NDArray[np.float64]

FALSE_INCIDENTS_PER_FLOW: Final = 1e-4
BASE_RATE: Final = 0.01
"""Share of malicious flows for which scores are probabilities.

Real networks have fewer attacks than recordings made to hold some; with as many as there are benign
flows, ordinary traffic would score around 0.3, and every small difference would show.
"""

# all three as evidence, see ``ensemble.calibration``
LOWEST_THRESHOLD: Final = EVEN
HIGHEST_THRESHOLD: Final = 0.999
# a threat's own threshold keeps this share of the room between the common bar and the loudest
# benign activity of that threat
MARGIN: Final = 0.25


@dataclass(frozen=True)
class FittedThresholds:
    """Platt's curve from averaged log-odds to scores, and how well it fits out of fold.

    Attributes
    ----------
    slope, intercept : float
    base_rate : float
        Share of malicious flows for which scores are probabilities.
    brier : float
        Mean squared difference between score and label.
    error : float
        Expected calibration error.
    """

    slope: float
    intercept: float
    base_rate: float
    brier: float
    error: float

    def scores(self, log_odds: FloatArray) -> FloatArray:
        """Return calibrated scores in (0, 1)."""
        return apply_platt(log_odds, self.slope, self.intercept)

    def evidence(self, log_odds: FloatArray) -> FloatArray:
        """Return what the scores say with the base rate taken out, in (0, 1)."""
        return evidence(self.scores(log_odds), self.base_rate)


def calibrate(folds: Sequence[Fold], *, base_rate: float = BASE_RATE) -> FittedThresholds:
    """Fit one curve to all folds, environments weighing the same, then move it to the base rate.

    It is fitted to as many malicious as benign flows and moved by Bayes' rule. A fit to the rare
    case itself rests on the few loudest benign flows, and those differ from site to site: on an
    environment left out of the fit, its scores are further from the truth.

    Raises
    ------
    ValueError
        Higher log-odds do not go with more malicious rows: the ensemble learned nothing.
    """
    log_odds, malicious = [], []
    for fold in folds:
        used = fold.labels >= 0
        log_odds.append(fold.prediction.log_odds[used])
        malicious.append(fold.labels[used] > 0)
    z, y = np.concatenate(log_odds), np.concatenate(malicious)
    slope, intercept = fit_platt(z, y, _weights(malicious, EVEN))
    intercept += math.log(base_rate / (1 - base_rate))
    scores = apply_platt(z, slope, intercept)
    weights = _weights(malicious, base_rate)
    return FittedThresholds(
        slope=slope,
        intercept=intercept,
        base_rate=base_rate,
        brier=brier(scores, y, weights),
        error=expected_calibration_error(scores, y, weights),
    )


def _weights(malicious: Sequence[npt.NDArray[np.bool_]], base_rate: float) -> FloatArray:
    """Weights of all rows, one array of flags per environment, with `base_rate` of each bad."""
    return np.concatenate(
        [
            np.where(bad, base_rate / max(bad.sum(), 1), (1 - base_rate) / max((~bad).sum(), 1))
            for bad in malicious
        ]
    )


@dataclass(frozen=True)
class Thresholds:
    """Incident thresholds.

    Attributes
    ----------
    values : dict of str to float
        Threshold of each threat.
    candidate_score : float
        Score below which a flow plays no part in incidents: where its evidence is even.
    false_per_10k : float
        False incidents per 10,000 benign flows, environments balanced, on the scores that the
        thresholds were chosen on.
    """

    values: Mapping[str, float]
    candidate_score: float
    false_per_10k: float


@dataclass(frozen=True)
class SiteCheck:
    """What thresholds chosen on all other environments do on one.

    Attributes
    ----------
    name : str
    benign : int
        Benign flows of the environment.
    false : int
        Incidents on its benign flows alone.
    found : dict of str to float
        Share of the malicious flows that belong to an incident, by class.
    """

    name: str
    benign: int
    false: int
    found: Mapping[str, float]


def choose_thresholds(
    folds: Sequence[Fold],
    calibration: FittedThresholds,
    policy: Policy,
    *,
    budget: float = FALSE_INCIDENTS_PER_FLOW,
) -> Thresholds:
    """Set each threat's threshold by the false incidents on held-out benign traffic.

    First one bar for all threats is set where benign activities use the budget up. Then each
    threat's own threshold is lowered towards the loudest benign activity of that threat below the
    bar, which costs no further false incident. Environments are pooled with the square root of
    their benign rows as weight, so that neither the biggest nor the smallest sets the thresholds.

    Parameters
    ----------
    folds : sequence of Fold
        At least one.
    calibration : Calibration
    policy : Policy
        Its windows, groupings and minimums are used; thresholds written there are ignored.
    budget : float
        False incidents per benign flow.
    """
    limits, false = _choose(folds, calibration, policy, budget)
    values = np.round(score_of(limits, calibration.base_rate), 6)
    return Thresholds(
        values=dict(zip(THREATS, values.tolist(), strict=True)),
        candidate_score=calibration.base_rate,
        false_per_10k=1e4 * false,
    )


def _choose(
    folds: Sequence[Fold], calibration: FittedThresholds, policy: Policy, budget: float
) -> tuple[FloatArray, float]:
    """Return the thresholds as evidence, and the false incidents per benign flow they cost."""
    peaks, costs = [], []
    sizes = [int((fold.labels == 0).sum()) for fold in folds]
    total = float(np.sqrt(sizes).sum())
    for fold, size in zip(folds, sizes, strict=True):
        site = scored_flows(fold, calibration.evidence(fold.prediction.log_odds), policy)
        found = activities(site, site.labels == 0, policy)
        peaks.append(np.array([item.peaks for item in found]).reshape(-1, len(THREATS)))
        costs.append(np.full(len(found), 1 / (np.sqrt(size) * total)))
    all_peaks, all_costs = np.concatenate(peaks), np.concatenate(costs)
    limits = _limits(all_peaks, all_costs, budget)
    return limits, float(all_costs[(all_peaks >= limits).any(axis=1)].sum())


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
    highest = peaks.max(axis=1, initial=0.0)
    order = np.argsort(-highest, kind="stable")
    affordable = int(np.searchsorted(np.cumsum(costs[order]), budget, side="right"))
    bar = _between(highest[order], affordable)
    loudest = peaks[highest < bar].max(axis=0, initial=0.0)
    lowered = loudest + MARGIN * (bar - loudest)
    # where benign traffic never looked like a threat, its silence is taken at half its word
    floor = (LOWEST_THRESHOLD + bar) / 2
    limits: FloatArray = np.minimum(bar, np.maximum(lowered, floor))
    return limits


def _between(ranked: FloatArray, count: int) -> float:
    """Return a value that `count` of the descending values exceed, with room on both sides."""
    if count >= len(ranked):
        return LOWEST_THRESHOLD
    above = ranked[count - 1] if count else 1.0
    return float(np.clip((above + ranked[count]) / 2, LOWEST_THRESHOLD, HIGHEST_THRESHOLD))


def cross_check(
    folds: Sequence[Fold], policy: Policy, *, budget: float = FALSE_INCIDENTS_PER_FLOW
) -> list[SiteCheck]:
    """Choose calibration and thresholds on all folds but one and apply them to that one.

    Returns
    -------
    list of SiteCheck
        One per fold; empty if there is only one.
    """
    checks = []
    for held_out in folds:
        others = [fold for fold in folds if fold is not held_out]
        if not others:
            continue
        calibration = calibrate(others)
        limits, _ = _choose(others, calibration, policy, budget)
        site = scored_flows(held_out, calibration.evidence(held_out.prediction.log_odds), policy)
        benign = site.labels == 0
        alarms = _raised(activities(site, benign, policy), limits)
        checks.append(
            SiteCheck(
                name=site.name,
                benign=int(benign.sum()),
                false=len(alarms),
                found=_found(site, policy, limits),
            )
        )
    return checks


def _raised(items: Sequence[Activity], limits: FloatArray) -> list[Activity]:
    return [item for item in items if (item.peaks >= limits).any()]


def _found(site: ScoredFlows, policy: Policy, limits: FloatArray) -> dict[str, float]:
    caught = np.zeros(len(site.labels), dtype=bool)
    everything = np.ones(len(site.labels), dtype=bool)
    for item in _raised(activities(site, everything, policy), limits):
        caught[item.rows] = True
    return {
        LABEL_NAMES[label]: float(caught[site.labels == label].mean())
        for label in np.unique(site.labels[site.labels > 0])
    }


def as_dict(thresholds: Thresholds, checks: Sequence[SiteCheck]) -> dict[str, Any]:
    """Return everything as plain JSON values."""
    return {
        "false_incidents_per_10000_benign_flows": thresholds.false_per_10k,
        "thresholds_of_the_others": {
            check.name: {
                "benign": check.benign,
                "false_incidents": check.false,
                "malicious_flows_in_incidents": dict(check.found),
            }
            for check in checks
        },
    }
