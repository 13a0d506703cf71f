"""Incident thresholds from held-out scores, chosen by what the incident tracker opens.

Scores come from ensembles that had not seen the environment; on training data a network is too sure
of itself. A single flow's score is no usable alarm, so thresholds are set on incidents, over benign
traffic only: a site without attacks gets few false incidents. What that is worth on a further
network is checked by choosing thresholds on all environments but one and counting on that one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from zeekml.detection.incidents.replay import Replay
from zeekml.detection.policy import Policy
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import EVEN, log_odds, score_of
from zeekml.training.incident_replay import HeldOutStream, in_turn
from zeekml.training.leave_one_out import Fold
from zeekml.training.platt_fit import PlattFit
from zeekml.training.ranking import Floats

FALSE_INCIDENTS_PER_FLOW: Final = 1e-4

# all three as evidence, see `zeekml.ensemble.probability`
LOWEST_THRESHOLD: Final = EVEN
HIGHEST_THRESHOLD: Final = 0.999
# a threat's own threshold keeps this share of the room between the common bar and the loudest
# benign traffic of that threat
MARGIN: Final = 0.25

# the bar is looked for in steps of log-odds, from strict to lenient, then halved down to `_FINEST`
_STEP: Final = 0.5
_FINEST: Final = 1e-6
_LEAST_ROOM: Final = 1e-4


@dataclass(frozen=True)
class Thresholds:
    """Incident thresholds of a bundle."""

    values: Mapping[str, float]  # scores, by threat
    candidate_score: float  # below it a flow plays no part in incidents: its evidence is under even
    # false incidents per 10,000 benign flows, environments balanced, on the scores that the
    # thresholds were chosen on
    false_per_10k: float


def choose_thresholds(
    folds: Sequence[Fold],
    fit: PlattFit,
    policy: Policy,
    *,
    budget: float = FALSE_INCIDENTS_PER_FLOW,
) -> Thresholds:
    """Set each threat's threshold by the false incidents on held-out benign traffic.

    First one bar for all threats is set where incidents on benign flows use the budget up (false
    incidents per benign flow). Then each threat's own threshold is lowered towards the loudest
    benign traffic of that threat below the bar, which costs no further false incident.
    Environments are pooled with the square root of their benign rows as weight, so that neither
    the biggest nor the smallest sets the thresholds. Those with events count once with them, and
    once as if their sensor had logged none.

    Of the policy, windows, groupings and minimums are used; thresholds written there are ignored.
    """
    cost = _Cost.of(folds, fit, policy)
    bar = _bar(cost, budget)
    # to the digits that a bundle keeps
    scores = np.round(score_of(_lowered(cost, bar), fit.base_rate), 6)
    values = dict(zip(THREATS, scores.tolist(), strict=True))
    return Thresholds(values, fit.base_rate, false_per_10k=1e4 * cost.of_scores(scores))


@dataclass(frozen=True)
class _Cost:
    """False incidents per benign flow on held-out environments, for any thresholds."""

    replay: Replay  # of the benign flows alone
    weights: Floats  # what an incident that each candidate opens costs
    base_rate: float

    @classmethod
    def of(cls, folds: Sequence[Fold], fit: PlattFit, policy: Policy) -> _Cost:
        # thresholds have to do for sites whose sensors log what flows are about, and for others
        silent = [fold.without_events() for fold in folds]
        folds = [*folds, *(fold for fold in silent if fold is not None)]
        # what one flow alone opens costs the same at all thresholds: it is left out of the count
        streams = [HeldOutStream.of(fold, fit).only(fold.labels == 0) for fold in folds]
        roots = np.sqrt([(fold.labels == 0).sum() for fold in folds])
        candidates, owner = in_turn(streams)
        replay = Replay(candidates, policy, base_rate=fit.base_rate)
        return cls(replay, 1 / (roots * roots.sum())[owner], fit.base_rate)

    def at(self, limits: Floats | float) -> float:
        """Of thresholds given as evidence, by threat or one bar for all."""
        return self.of_scores(score_of(np.broadcast_to(limits, len(THREATS)), self.base_rate))

    def of_scores(self, scores: Floats) -> float:
        """Of thresholds given as scores, by threat."""
        incidents = self.replay.incidents(dict(zip(THREATS, scores.tolist(), strict=True)))
        return float(sum(self.weights[incident.opener] for incident in incidents))


def _bar(cost: _Cost, budget: float) -> float:
    """The bar that keeps to the budget, with room on both sides; as evidence.

    From strict to lenient, the first that goes over the budget ends the search, whatever comes
    after it (where incidents merge, more lenient thresholds may open fewer).
    """
    highest, lowest = log_odds(HIGHEST_THRESHOLD), log_odds(LOWEST_THRESHOLD)
    within = highest
    while True:
        over = max(within - _STEP, lowest)
        if cost.at(_evidence(over)) > budget:
            break
        if over == lowest:
            return LOWEST_THRESHOLD
        within = over
    within, over = _edge(lambda bar: cost.at(bar) <= budget, within, over)
    # the same incidents open up to where the quietest of them falls silent
    same = cost.at(_evidence(within))
    silent = within
    while silent < highest and cost.at(_evidence(silent)) >= same:
        silent = min(silent + _STEP, highest)
    if same > 0:
        silent, _ = _edge(lambda bar: cost.at(bar) < same, silent, max(silent - _STEP, within))
    above = _evidence(silent) if same > 0 else 1.0
    return float(np.clip((above + _evidence(over)) / 2, LOWEST_THRESHOLD, HIGHEST_THRESHOLD))


def _lowered(cost: _Cost, bar: float) -> Floats:
    """Each threat's own threshold, as evidence."""
    base = cost.at(bar)
    # where benign traffic never looked like a threat, its silence is taken at half its word
    floor = (LOWEST_THRESHOLD + bar) / 2
    # what the margin puts on the floor, if nothing louder is heard
    unheard = (floor - MARGIN * bar) / (1 - MARGIN)
    limits = np.full(len(THREATS), floor)
    for threat in range(len(THREATS)):

        def quiet(limit: float, threat: int = threat) -> bool:
            own = np.full(len(THREATS), bar)
            own[threat] = limit
            return cost.at(own) <= base

        if not quiet(unheard):
            _, loudest = _edge(quiet, log_odds(bar), log_odds(unheard))
            limits[threat] = _evidence(loudest) + MARGIN * (bar - _evidence(loudest))
    # together they may open what none opens alone
    room = bar - limits
    while room.max() > _LEAST_ROOM and cost.at(bar - room) > base:
        room /= 2
    return bar - room if room.max() > _LEAST_ROOM else np.full(len(THREATS), bar)


def _edge(holds: Callable[[float], bool], yes: float, no: float) -> tuple[float, float]:
    """Where a condition on evidence ceases to hold, between two log-odds of evidence."""
    while abs(yes - no) > _FINEST:
        middle = (yes + no) / 2
        if holds(_evidence(middle)):
            yes = middle
        else:
            no = middle
    return yes, no


def _evidence(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
