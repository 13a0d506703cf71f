"""Which figures the data resolve, how they are called, and how reliable scores are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from zeekml.training.leave_one_out import ROWS_PER_RATE
from zeekml.training.ranking import RATES, Flags, Floats

TITLES: Final = ("PR-AUC", *(f"recall at {rate:g}" for rate in RATES))


def resolvable(benign_mass: float) -> Flags:
    """Whether that many (distinct) benign rows resolve each of `MEASURES`; see `ROWS_PER_RATE`."""
    return np.array([True, *(benign_mass >= ROWS_PER_RATE / rate - 1e-6 for rate in RATES)])


@dataclass(frozen=True)
class ReliabilityBin:
    """A bin of equal mass: mean score, observed share of malicious rows, and mass."""

    score: float
    observed: float
    mass: float


def reliability(
    scores: Floats, malicious: Flags, weights: Floats, bins: int = 15
) -> list[ReliabilityBin]:
    """Bin scores by equal mass, as ``expected_calibration_error`` does.

    The error is Σ mass · |score − observed| over the bins. Equal scores are never split.
    """
    distinct, group = np.unique(scores, return_inverse=True)
    mass = np.bincount(group, weights, len(distinct))
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    bin_of = np.minimum((middle * bins).astype(np.int64), bins - 1)
    bad = np.bincount(group, weights * malicious, len(distinct))
    found = []
    for number in np.unique(bin_of):
        inside = bin_of == number
        total = mass[inside].sum()
        if total > 0:
            found.append(
                ReliabilityBin(
                    float(mass[inside] @ distinct[inside] / total),
                    float(bad[inside].sum() / total),
                    float(total / mass.sum()),
                )
            )
    return found


def calibration_error(bins: list[ReliabilityBin]) -> float:
    """Expected calibration error of the bins: 0 is perfect, 1 the worst."""
    return sum(b.mass * abs(b.score - b.observed) for b in bins)
