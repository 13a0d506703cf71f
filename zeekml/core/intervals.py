"""Confidence intervals of counts."""

from __future__ import annotations

CONFIDENCE = 0.95


def poisson_interval(count: float, exposure: float) -> tuple[float, float]:
    """Exact 95 % interval of a rate: events over exposure (F. Garwood, 1936).

    Quantiles of chi-squared: χ²(α/2; 2k) / 2 and χ²(1 − α/2; 2k + 2) / 2. A count that is an
    average may be fractional; the same formula then lies between those of its neighbours.
    """
    from scipy.stats import chi2

    edge = (1 - CONFIDENCE) / 2
    low = chi2.ppf(edge, 2 * count) / 2 if count > 0 else 0.0
    high = chi2.ppf(1 - edge, 2 * count + 2) / 2
    return float(low) / exposure, float(high) / exposure
