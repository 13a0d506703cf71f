"""The calibration of scores (Platt scaling), fitted to held-out environments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.ensemble import probability
from zeekml.ensemble.probability import EVEN, apply_platt, fit_platt
from zeekml.training.leave_one_out import Fold
from zeekml.training.ranking import Floats

BASE_RATE: Final = 0.01
"""Share of malicious flows for which scores are probabilities.

Real networks have fewer attacks than recordings made to hold some; with as many as there are benign
flows, ordinary traffic would score around 0.3, and every small difference would show.
"""


@dataclass(frozen=True)
class PlattFit:
    """Platt's curve from averaged log-odds to scores, and how well it fits out of fold."""

    slope: float
    intercept: float
    base_rate: float  # share of malicious flows for which scores are probabilities
    brier: float  # mean squared difference between score and label
    error: float  # expected calibration error

    def scores(self, log_odds: Floats) -> Floats:
        """Calibrated scores, in (0, 1)."""
        return apply_platt(log_odds, self.slope, self.intercept)


def fit_scores(folds: Sequence[Fold], *, base_rate: float = BASE_RATE) -> PlattFit:
    """Fit one curve to all folds, environments weighing the same, then move it to the base rate.

    It is fitted to as many malicious as benign flows and moved by Bayes' rule. A fit to the rare
    case itself rests on the few loudest benign flows, and those differ from site to site: on an
    environment left out of the fit, its scores are further from the truth.

    Raises ValueError if higher log-odds do not go with more malicious rows: the ensemble learned
    nothing.
    """
    log_odds, malicious = [], []
    for fold in folds:
        used = fold.labels >= 0
        log_odds.append(fold.prediction.log_odds[used])
        malicious.append(fold.labels[used] > 0)
    z, y = np.concatenate(log_odds), np.concatenate(malicious)
    even = np.concatenate([prior_weights(bad, EVEN) for bad in malicious])
    slope, intercept = fit_platt(z, y, even)
    intercept += math.log(base_rate / (1 - base_rate))
    scores = apply_platt(z, slope, intercept)
    weights = np.concatenate([prior_weights(bad, base_rate) for bad in malicious])
    error = probability.expected_calibration_error(scores, y, weights)
    return PlattFit(slope, intercept, base_rate, probability.brier(scores, y, weights), error)


def prior_weights(malicious: npt.NDArray[np.bool_], rate: float) -> Floats:
    """Weights that make `rate` of the flows malicious; they add up to one if both sides are."""
    bad = malicious.sum()
    return np.where(malicious, rate / max(bad, 1), (1 - rate) / max(len(malicious) - bad, 1))
