"""From log-odds to probabilities: Platt scaling, evidence, and how well calibrated scores are.

Platt scaling: p = sigmoid(slope · z + intercept), fitted by maximum likelihood on rows that no
member was trained on (J. Platt, "Probabilistic outputs for support vector machines", 1999, with
his smoothed targets). It is fitted to the average of the members, never to single ones: averaging
pulls probabilities towards the middle, and only what comes after can undo that.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

EVEN: Final = 0.5
"""Evidence that speaks neither for malicious nor for benign."""


def fit_platt(
    logits: Floats, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[float, float]:
    """Slope, which is above 0, and intercept of the likeliest Platt scaling.

    Of averaged log-odds of malicious, labels (1 or True for malicious) and weights, which are not
    negative, and all 1 by default; each (n,). A `ValueError` if shapes differ, a number is not
    finite or negative where it must not be, one of the two classes has no weight, or higher
    log-odds do not go with more malicious rows.
    """
    # takes a second to import, and nothing that scores needs it
    from sklearn.linear_model import LogisticRegression

    z, y, w = _rows(logits, labels, weights)
    bad = y == 1
    if w[bad].sum() == 0 or w[~bad].sum() == 0:
        raise ValueError("calibration needs rows of both classes")
    # Platt's targets: each class as if seen once more with the other label, which keeps the slope
    # finite when the classes are separable. Rows count, not weights: their scale is arbitrary.
    target = np.where(bad, 1 - 1 / (bad.sum() + 2), 1 / ((~bad).sum() + 2))
    # standardised, so that the optimiser is well conditioned whatever the logits' range
    centre = float(np.average(z, weights=w))
    width = float(np.sqrt(np.average((z - centre) ** 2, weights=w)))
    if width == 0:
        raise ValueError("all log-odds are equal: there is nothing to calibrate")
    x = (z - centre) / width
    # a target between the labels is a row that carries both
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
    model.fit(
        np.concatenate([x, x])[:, None],
        np.repeat([1, 0], len(x)),
        np.concatenate([w * target, w * (1 - target)]) / w.sum(),
    )
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if not slope > 0:
        raise ValueError("higher log-odds do not go with more malicious rows: slope not above 0")
    return slope / width, intercept - slope * centre / width


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Probabilities of logits (…, classes), each row's by itself; same shape and type."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: npt.NDArray[Any] = odds / odds.sum(axis=-1, keepdims=True)
    return shares


def apply_platt(logits: Floats, slope: float, intercept: float) -> npt.NDArray[np.float64]:
    """Probabilities for log-odds of malicious; same shape."""
    z = slope * np.asarray(logits, np.float64) + intercept
    # exp of what is never positive cannot overflow
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small))


def log_odds(probability: float) -> float:
    """Of a probability between 0 and 1, neither included."""
    return math.log(probability / (1.0 - probability))


def evidence(scores: npt.ArrayLike, base_rate: float) -> npt.NDArray[np.float64]:
    """What scores would be if malicious flows were as many as benign ones; same shape.

    A score says how likely a flow is malicious where `base_rate` of all flows are, so most scores
    are small. Evidence takes the base rate out again (Bayes' rule): `EVEN` is a flow that tells
    nothing, whose score is the base rate. Flows are weighed against one another as evidence.
    """
    p = np.asarray(scores, np.float64)
    malicious = p * (1.0 - base_rate)
    return np.asarray(malicious / (malicious + base_rate * (1.0 - p)))


def score_of(strength: npt.ArrayLike, base_rate: float) -> npt.NDArray[np.float64]:
    """The scores of evidence: the inverse of `evidence`; same shape."""
    return evidence(strength, 1.0 - base_rate)


def evidence_odds(score: float, base_rate: float) -> float:
    """The log-odds of the evidence of a score, such as a threshold, between 0 and 1."""
    return log_odds(float(evidence(score, base_rate)))


def score_at(odds: float, base_rate: float) -> float:
    """The score whose evidence has these log-odds: the inverse of `evidence_odds`."""
    return float(score_of(1 / (1 + math.exp(-odds)), base_rate))


def brier(
    probabilities: Floats, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """Weighted mean squared difference between probability and label (0 is perfect)."""
    p, y, w = _rows(probabilities, labels, weights)
    return float(np.average((p - y) ** 2, weights=w))


def reliability_bins(
    probabilities: Floats,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    bins: int = 15,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Probabilities against observed shares, over bins of equal weight.

    Per bin that has rows: weighted means of probability and label, and the share of all weight.
    Bins of equal weight, not equal width: most flows score near 0, where bins of equal width
    would average everything of interest into one. Equal probabilities are never split over bins,
    so the result does not depend on the order of the rows.
    """
    p, y, w = _rows(probabilities, labels, weights)
    if bins < 1:
        raise ValueError("at least one bin is needed")
    distinct, group = np.unique(p, return_inverse=True)
    mass = np.bincount(group, w, len(distinct))
    # a group of equal probabilities goes where its middle falls
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    bin_of = np.minimum((middle * bins).astype(np.int64), bins - 1)
    total = np.bincount(bin_of, mass, bins)
    used = total > 0
    probability = np.bincount(bin_of, mass * distinct, bins)[used] / total[used]
    observed = np.bincount(bin_of[group], w * y, bins)[used] / total[used]
    return probability, observed, total[used] / mass.sum()


def expected_calibration_error(
    probabilities: Floats,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    bins: int = 15,
) -> float:
    """Mean gap between probability and observed share over `reliability_bins`: 0 is perfect."""
    probability, observed, mass = reliability_bins(probabilities, labels, weights, bins)
    return float(mass @ np.abs(probability - observed))


def _rows(
    values: Floats, labels: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Values, labels and weights as checked arrays of numbers."""
    z = np.asarray(values, np.float64)
    y = np.asarray(labels, np.float64)
    w = np.ones_like(z) if weights is None else np.asarray(weights, np.float64)
    if z.ndim != 1 or not z.shape == y.shape == w.shape:
        raise ValueError(f"shapes differ: {z.shape}, {y.shape}, {w.shape}")
    if not (np.isfinite(z).all() and np.isfinite(w).all()):
        raise ValueError("values and weights must be finite numbers")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    if (w < 0).any() or w.sum() == 0:
        raise ValueError("weights must not be negative, and not all 0")
    return z, y, w
