"""From log-odds to probabilities, and how far to trust them.

Platt scaling: p = sigmoid(slope · z + intercept), fitted by maximum likelihood on rows that no
member was trained on (J. Platt, "Probabilistic outputs for support vector machines", 1999, with
his smoothed targets). It is fitted to the average of the members, never to single ones: averaging
pulls probabilities towards the middle, and only what comes after can undo that.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

EVEN: Final = 0.5
"""Evidence that speaks neither for malicious nor for benign."""

_MAX_STEPS: Final = 100
_TOLERANCE: Final = 1e-10


def fit_platt(
    logits: Floats, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[float, float]:
    """Slope and intercept of the likeliest Platt scaling.

    Parameters
    ----------
    logits
        Averaged log-odds of malicious, shape (n,).
    labels
        1 or True for malicious, shape (n,).
    weights
        Weight of each row, shape (n,), not negative; all 1 by default.

    Returns
    -------
    slope, intercept
        slope is above 0.

    Raises
    ------
    ValueError
        Shapes differ, a number is not finite or negative where it must not be, one of the two
        classes has no weight, or higher log-odds do not go with more malicious rows.
    """
    z = np.asarray(logits, np.float64)
    y = np.asarray(labels, np.float64)
    w = np.ones_like(z) if weights is None else np.asarray(weights, np.float64)
    _check(z, y, w)
    positive, negative = float(w[y == 1].sum()), float(w[y == 0].sum())
    if positive == 0 or negative == 0:
        raise ValueError("calibration needs rows of both classes")
    # Platt's targets: each class as if seen once more with the other label, which keeps the slope
    # finite when the classes are separable. Rows count, not weights: their scale is arbitrary.
    target = np.where(
        y == 1,
        1 - 1 / (np.count_nonzero(y == 1) + 2),
        1 / (np.count_nonzero(y == 0) + 2),
    )
    # standardised, so that the Newton steps are well conditioned whatever the logits' range
    centre = float(np.average(z, weights=w))
    width = float(np.sqrt(np.average((z - centre) ** 2, weights=w)))
    if width == 0:
        raise ValueError("all log-odds are equal: there is nothing to calibrate")
    slope, intercept = _newton((z - centre) / width, target, w / w.sum())
    if not slope > 0:
        raise ValueError("higher log-odds do not go with more malicious rows: slope not above 0")
    return slope / width, intercept - slope * centre / width


def apply_platt(logits: Floats, slope: float, intercept: float) -> npt.NDArray[np.float64]:
    """Probabilities for log-odds of malicious; same shape."""
    return _sigmoid(slope * np.asarray(logits, np.float64) + intercept)


def evidence(scores: npt.ArrayLike, base_rate: float) -> npt.NDArray[np.float64]:
    """What scores would be if malicious flows were as many as benign ones; same shape.

    A score says how likely a flow is malicious where `base_rate` of all flows are, so most scores
    are small. Evidence takes the base rate out again (Bayes' rule): `EVEN` is a flow that tells
    nothing, whose score is the base rate. Flows are weighed against one another as evidence.

    Parameters
    ----------
    scores
        In 0..1.
    base_rate
        Above 0 and below 1; at 0.5 scores and evidence are the same.
    """
    p = np.asarray(scores, np.float64)
    malicious = p * (1.0 - base_rate)
    return np.asarray(malicious / (malicious + base_rate * (1.0 - p)))


def score_of(strength: npt.ArrayLike, base_rate: float) -> npt.NDArray[np.float64]:
    """The scores of evidence: the inverse of `evidence`; same shape."""
    return evidence(strength, 1.0 - base_rate)


def brier(
    probabilities: Floats, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """Weighted mean squared difference between probability and label (0 is perfect)."""
    p = np.asarray(probabilities, np.float64)
    y = np.asarray(labels, np.float64)
    w = np.ones_like(p) if weights is None else np.asarray(weights, np.float64)
    _check(p, y, w)
    return float(np.average((p - y) ** 2, weights=w))


def expected_calibration_error(
    probabilities: Floats,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    bins: int = 15,
) -> float:
    """Weighted mean gap between probability and observed share, over bins of equal weight.

    Bins of equal weight, not equal width: most flows score near 0, where bins of equal width
    would average everything of interest into one. Equal probabilities are never split over bins,
    so the result does not depend on the order of the rows.

    Parameters
    ----------
    probabilities, labels, weights
        Shape (n,), as for `fit_platt`.
    bins
        Largest number of bins.

    Returns
    -------
    float
        Between 0 (perfect) and 1.

    Raises
    ------
    ValueError
        Shapes differ, there are no rows with weight, or `bins` is below 1.
    """
    p = np.asarray(probabilities, np.float64)
    y = np.asarray(labels, np.float64)
    w = np.ones_like(p) if weights is None else np.asarray(weights, np.float64)
    _check(p, y, w)
    if bins < 1:
        raise ValueError("at least one bin is needed")
    distinct, group = np.unique(p, return_inverse=True)
    mass = np.bincount(group, w, len(distinct))
    # a group of equal probabilities goes where its middle falls
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    bin_of = np.minimum((middle * bins).astype(np.int64), bins - 1)
    gap = np.bincount(group, w * (p - y), len(distinct))
    return float(np.abs(np.bincount(bin_of, gap, bins)).sum() / mass.sum())


def _newton(
    x: npt.NDArray[np.float64], target: npt.NDArray[np.float64], w: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Minimise weighted cross-entropy over (slope, intercept); convex, with step halving."""
    slope, intercept = 0.0, 0.0
    loss = _cross_entropy(x, target, w, slope, intercept)
    for _ in range(_MAX_STEPS):
        p = _sigmoid(slope * x + intercept)
        residual = w * (p - target)
        gradient = np.array([residual @ x, residual.sum()])
        if np.abs(gradient).max() < _TOLERANCE:
            break
        curvature = w * p * (1 - p)
        off = curvature @ x
        # the ridge only matters where all probabilities have saturated
        hessian = np.array([[curvature @ (x * x), off], [off, curvature.sum()]]) + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-8:
            trial = (slope - size * step[0], intercept - size * step[1])
            trial_loss = _cross_entropy(x, target, w, *trial)
            if trial_loss < loss:
                break
            size /= 2
        else:
            break
        slope, intercept, loss = float(trial[0]), float(trial[1]), trial_loss
    return slope, intercept


def _cross_entropy(
    x: npt.NDArray[np.float64],
    target: npt.NDArray[np.float64],
    w: npt.NDArray[np.float64],
    slope: float,
    intercept: float,
) -> float:
    z = slope * x + intercept
    return float(w @ (np.logaddexp(0, z) - target * z))


def _sigmoid(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # exp of what is never positive cannot overflow
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small))


def _check(
    values: npt.NDArray[np.float64], labels: npt.NDArray[np.float64], w: npt.NDArray[np.float64]
) -> None:
    if values.ndim != 1 or not values.shape == labels.shape == w.shape:
        raise ValueError(f"shapes differ: {values.shape}, {labels.shape}, {w.shape}")
    if not (np.isfinite(values).all() and np.isfinite(w).all()):
        raise ValueError("values and weights must be finite numbers")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    if (w < 0).any() or w.sum() == 0:
        raise ValueError("weights must not be negative, and not all 0")
