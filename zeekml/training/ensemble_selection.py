"""Greedy ensemble selection with replacement, after Caruana and others (ICML 2004).

Candidates are chosen by what their *average* is worth on validation environments, which none of
them has seen. Hill climbing overfits what it climbs on; the paper's three remedies are used: it
starts with the best few rather than with nothing, candidates may be chosen again, and it is done
on random bags of the candidates. The choices of the better half of the bags are added up: a bag
without a good candidate says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Labels
from zeekml.training.ranking import SHOWN, Floats, Ranking
from zeekml.training.tasks import sample_sides

START: Final = 3
BAGS: Final = 20
BAG_SHARE: Final = 0.5
MOST_BENIGN: Final = 4000
MOST_MALICIOUS: Final = 2000


@dataclass(frozen=True)
class Validation:
    """What candidates say about one environment that none of them has seen."""

    log_odds: Floats  # (rows, candidates)
    labels: Labels  # (rows,): zero for benign
    weights: npt.NDArray[np.float64]  # (rows,): what each row counts

    def sampled(self, rng: np.random.Generator) -> Validation:
        """A part that is large enough to choose by: thousands of comparisons are made."""
        everything = np.ones(len(self.labels), np.bool_)
        rows = np.sort(sample_sides(self.labels, everything, (MOST_BENIGN, MOST_MALICIOUS), rng))
        return Validation(self.log_odds[rows], self.labels[rows], self.weights[rows])


def worth(log_odds: Floats, validation: Validation) -> float:
    """The mean of average precision and the recalls at ``SHOWN`` rates, rows weighted."""
    ranked = Ranking(log_odds, validation.labels > 0)
    return float(ranked.figures(validation.weights)[: 1 + len(SHOWN)].mean())


def select(
    validations: Sequence[Validation], count: int, rng: np.random.Generator, *, bags: int = BAGS
) -> npt.NDArray[np.int64]:
    """Choose candidates, with replacement, whose mean does best on the validation environments."""
    if not validations or not validations[0].log_odds.shape[1]:
        raise ValueError("selection needs candidates and environments they have not seen")
    sampled = [validation.sampled(rng) for validation in validations]
    candidates = sampled[0].log_odds.shape[1]
    alone = np.array(
        [np.mean([worth(v.log_odds[:, c], v) for v in sampled]) for c in range(candidates)]
    )
    climbed = []
    for _ in range(bags):
        size = max(min(START, candidates), round(BAG_SHARE * candidates))
        bag = rng.choice(candidates, size, replace=False)
        climbed.append(_climb(sampled, bag[np.argsort(-alone[bag], kind="stable")], count))
    middle = float(np.median([reached for _, reached in climbed]))
    votes = np.sum([chosen for chosen, reached in climbed if reached >= middle], axis=0)
    # places are shared out in proportion to the votes, by largest remainders
    quota = votes / votes.sum() * count
    places: npt.NDArray[np.int64] = np.floor(quota).astype(np.int64)
    # the better candidate first where remainders are the same
    order = np.lexsort((-alone, -(quota - places)))
    places[order[: count - int(places.sum())]] += 1
    return places


def _climb(
    validations: Sequence[Validation], bag: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.int64], float]:
    """The best ensemble of a bag's candidates, the best first, met on the way up, and its worth."""
    best, reached = np.empty(0, dtype=np.int64), -1.0
    for few in range(1, min(START, count, len(bag)) + 1):
        chosen = np.zeros(validations[0].log_odds.shape[1], dtype=np.int64)
        chosen[bag[:few]] = 1
        own = float(np.mean([worth(v.log_odds @ chosen, v) for v in validations]))
        if own > reached:
            best, reached = chosen, own
    now = best
    sums = [v.log_odds @ now for v in validations]
    pairs = list(enumerate(validations))
    while now.sum() < count:
        totals = [np.mean([worth(sums[i] + v.log_odds[:, c], v) for i, v in pairs]) for c in bag]
        winner = int(np.argmax(totals))
        now = now.copy()
        now[bag[winner]] += 1
        sums = [sums[i] + v.log_odds[:, bag[winner]] for i, v in pairs]
        if totals[winner] > reached:
            best, reached = now, float(totals[winner])
    return best, reached
