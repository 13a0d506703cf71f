from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from zeekml.ensemble.probability import (
    EVEN,
    apply_platt,
    brier,
    evidence,
    evidence_odds,
    expected_calibration_error,
    fit_platt,
    score_at,
    score_of,
)


def draw(seed: int, slope: float, intercept: float, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 3, rows)
    return z, rng.random(rows) < 1 / (1 + np.exp(-(slope * z + intercept)))


def test_known_parameters_are_found() -> None:
    slope, intercept = fit_platt(*draw(1, 1.7, -0.6, 50_000))
    assert slope == pytest.approx(1.7, abs=0.07)
    assert intercept == pytest.approx(-0.6, abs=0.07)


@given(
    seed=st.integers(0, 1000),
    slope=st.floats(0.2, 5),
    intercept=st.floats(-3, 3),
    stretch=st.floats(1e-3, 1e3),
)
@settings(max_examples=20)
def test_no_other_scaling_is_likelier(
    seed: int, slope: float, intercept: float, stretch: float
) -> None:
    z, y = draw(seed, slope, intercept, 4000)
    weights = np.random.default_rng(seed).uniform(0.1, 3, len(z))
    got = fit_platt(z * stretch, y, weights)
    smooth = np.where(y, 1 - 1 / (y.sum() + 2), 1 / ((~y).sum() + 2))

    def cross_entropy(scaling: np.ndarray) -> float:
        p = scaling[0] * z + scaling[1]
        return float(np.average(np.logaddexp(0, p) - smooth * p, weights=weights))

    reference = minimize(cross_entropy, [1.0, 0.0], method="BFGS", options={"gtol": 1e-7})
    assert got[0] * stretch == pytest.approx(reference.x[0], rel=1e-3)
    assert got[1] == pytest.approx(reference.x[1], rel=1e-3, abs=1e-3)


def test_only_fitting_needs_scikit_learn() -> None:
    script = "import sys, zeekml.pipeline; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_weights_are_repetitions_up_to_smoothing() -> None:
    z, y = draw(2, 1, 0.5, 3000)
    weights = np.where(np.arange(len(z)) % 3 == 0, 2, 1)
    repeated = np.repeat(np.arange(len(z)), weights)
    assert fit_platt(z, y, weights) == pytest.approx(fit_platt(z[repeated], y[repeated]), rel=0.01)


def test_only_the_ratio_of_weights_counts() -> None:
    z, y = draw(3, 1, 0, 500)
    w = np.random.default_rng(3).uniform(0.5, 2, 500)
    assert fit_platt(z, y, w) == pytest.approx(fit_platt(z, y, w * 1e6), rel=1e-6)


def test_separable_rows_give_a_finite_slope() -> None:
    z = np.array([-30.0, -20, -10, 10, 20, 30])
    slope, intercept = fit_platt(z, z > 0)
    assert 0 < slope < 10
    probabilities = apply_platt(z, slope, intercept)
    assert (probabilities[:3] < 0.5).all()
    assert (probabilities[3:] > 0.5).all()


@pytest.mark.parametrize(
    ("z", "y", "w", "reason"),
    [
        ([1.0, 2, 3], [1, 1, 1], None, "both classes"),
        ([1.0, 2, 3], [1, 0, 1], [1, 0, 1], "both classes"),
        ([1.0, 2, 3, 4], [1, 1, 0, 0], None, "slope not above 0"),
        ([1.0, 1, 1], [1, 0, 1], None, "all log-odds are equal"),
        ([1.0, np.nan, 1], [1, 0, 1], None, "finite"),
        ([1.0, 2, 3], [1, 0, 2], None, "0 or 1"),
        ([1.0, 2, 3], [1, 0, 1], [1, -1, 1], "negative"),
        ([1.0, 2, 3], [1, 0], None, "shapes differ"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    z: list[float], y: list[int], w: list[float] | None, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        fit_platt(np.array(z), y, w)


def test_apply_platt_at_the_extremes() -> None:
    z = np.array([-1e6, -800.0, 0, 800, 1e6])
    np.testing.assert_array_equal(apply_platt(z, 1, 0), [0, 0, 0.5, 1, 1])


def test_brier_by_hand() -> None:
    assert brier(np.array([0.2, 0.9]), [0, 1]) == pytest.approx((0.04 + 0.01) / 2)
    assert brier(np.array([0.2, 0.9]), [0, 1], [3, 1]) == pytest.approx((0.12 + 0.01) / 4)


def test_calibration_error_by_hand() -> None:
    p = np.array([0.1, 0.1, 0.1, 0.1, 0.8, 0.8, 0.8, 0.8])
    y = [0, 0, 0, 1, 1, 1, 0, 0]
    # bins {.1} and {.8}: |.1 - .25| and |.8 - .5|, half of the weight each
    assert expected_calibration_error(p, y, bins=2) == pytest.approx((0.15 + 0.3) / 2)
    # one bin: |.45 - .375|
    assert expected_calibration_error(p, y, bins=1) == pytest.approx(0.075)
    # a row without weight changes nothing
    assert expected_calibration_error(
        np.append(p, 0.5), [*y, 1], [1] * 8 + [0], bins=2
    ) == pytest.approx(0.225)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 200), bins=st.integers(1, 30))
@settings(max_examples=60)
def test_calibration_error_is_bounded_and_independent_of_the_order(
    seed: int, rows: int, bins: int
) -> None:
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 12, rows) / 11
    y = rng.integers(0, 2, rows)
    w = rng.uniform(0.1, 1, rows)
    error = expected_calibration_error(p, y, w, bins)
    assert 0 <= error <= 1
    order = rng.permutation(rows)
    again = expected_calibration_error(p[order], y[order], w[order], bins)
    assert again == pytest.approx(error, abs=1e-12)


def test_calibrated_probabilities_have_a_small_error() -> None:
    z, y = draw(4, 1.5, -0.4, 50_000)
    assert expected_calibration_error(apply_platt(z, 1.5, -0.4), y) < 0.01
    assert expected_calibration_error(apply_platt(z, 6, -0.4), y) > 0.03


@pytest.mark.parametrize("bins", [0, -1])
def test_bins_must_be_positive(bins: int) -> None:
    with pytest.raises(ValueError, match="bin"):
        expected_calibration_error(np.array([0.5]), [1], bins=bins)


def test_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="weights"):
        brier(np.empty(0), [])


@given(st.floats(0, 1), st.floats(0.001, 0.999))
def test_evidence_is_a_score_without_its_base_rate(score: float, base_rate: float) -> None:
    strength = float(evidence(score, base_rate))
    assert 0 <= strength <= 1
    assert float(score_of(strength, base_rate)) == pytest.approx(score, abs=1e-9)
    assert float(evidence(base_rate, base_rate)) == pytest.approx(EVEN)
    assert float(evidence(score, 0.5)) == pytest.approx(score)


def test_evidence_follows_bayes() -> None:
    # odds of 1 to 1 where 1 in 100 is malicious: the flow itself speaks 99 to 1
    assert evidence(np.array([0.5]), 0.01) == pytest.approx([0.99])


def test_odds_of_evidence_and_back() -> None:
    assert evidence_odds(0.01, 0.01) == pytest.approx(0.0)
    for score in (0.001, 0.2, 0.97):
        assert score_at(evidence_odds(score, 0.01), 0.01) == pytest.approx(score)
