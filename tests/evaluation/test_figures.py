"""Figures of an evaluation against scikit-learn, by hand, and on cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from zeekml.core.intervals import poisson_interval
from zeekml.ensemble.probability import expected_calibration_error
from zeekml.evaluation.bootstrap import (
    compare,
    enough_hosts,
    host_draws,
    network_draws,
    percentile_interval,
)
from zeekml.evaluation.metrics import calibration_error, reliability, resolvable
from zeekml.evaluation.sections.calibration import prior_weights
from zeekml.training.leave_one_out import recall_at
from zeekml.training.ranking import RATES, Ranking

rows = st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.sampled_from([0.0, 0.5, 1.0, 3.0])),
    min_size=2,
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(rows)
def test_figures_are_scikit_learns(drawn: list[tuple[int, bool, float]]) -> None:
    scores = np.array([row[0] for row in drawn], dtype=np.float64)
    malicious = np.array([row[1] for row in drawn])
    weights = np.array([row[2] for row in drawn])
    found = Ranking(scores, malicious).figures(weights)
    if not (weights[malicious].sum() > 0 and weights[~malicious].sum() > 0):
        assert np.isnan(found).all()
        return
    expected = average_precision_score(malicious, scores, sample_weight=weights)
    assert found[0] == pytest.approx(expected)
    # rows of no weight are not there
    used = weights > 0
    labels = malicious[used].astype(np.int8)
    for rate, recall in zip(RATES, found[1:], strict=True):
        assert recall == pytest.approx(recall_at(scores[used], labels, rate, weights[used]))


def test_a_rate_needs_ten_rows_above_it() -> None:
    assert resolvable(999).tolist() == [True, False, False, False]
    assert resolvable(1000).tolist() == [True, True, False, False]
    assert resolvable(100_000).all()


def test_calibration_error_by_hand() -> None:
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    malicious = np.array([False, True, True, True])
    ones = np.ones(4)
    bins = reliability(scores, malicious, ones, bins=2)
    assert [(b.score, b.observed, b.mass) for b in bins] == [
        (pytest.approx(0.15), 0.5, 0.5),
        (pytest.approx(0.85), 1.0, 0.5),
    ]
    # (|0.15 − 0.5| + |0.85 − 1|) / 2
    assert calibration_error(bins) == pytest.approx(0.25)
    weighted = np.array([3.0, 1.0, 1.0, 1.0])
    found = calibration_error(reliability(scores, malicious, weighted, bins=2))
    assert found == pytest.approx(expected_calibration_error(scores, malicious, weighted, bins=2))


def test_prior_weights_make_the_prior() -> None:
    malicious = np.array([True, True, True, False])
    weights = prior_weights(malicious, 0.01)
    assert weights[malicious].sum() == pytest.approx(0.01)
    assert weights.sum() == pytest.approx(1)


def test_hosts_are_drawn_whole() -> None:
    # two malicious hosts, one found whole and one missed whole: any draw finds 0, 1/2 or all of
    # them, however many flows each has
    hosts = np.array([0] * 50 + [1] * 50 + [2] * 1000)
    malicious = hosts < 2
    scores = np.where(hosts == 0, 2.0, np.where(hosts == 1, 0.0, 1.0))
    rng = np.random.default_rng(1)
    draws = host_draws(
        [Ranking(scores, malicious)], np.ones(len(hosts)), hosts, draws=300, rng=rng
    )[:, 1]
    known = draws[np.isfinite(draws)]
    assert set(np.round(known, 6)) <= {0.0, round(1 / 3, 6), 0.5, round(2 / 3, 6), 1.0}
    assert known.std() > 0.2
    assert not enough_hosts(hosts, malicious)


def test_paired_differences_with_a_known_answer() -> None:
    rng = np.random.default_rng(0)
    same = compare([np.full(3, 0.1)] * 4, draws=200, rng=rng)
    assert (same.mean, same.won, same.lost) == (pytest.approx(0.1), 4, 0)
    assert same.interval is not None
    assert (same.interval.low, same.interval.high) == (pytest.approx(0.1), pytest.approx(0.1))
    mixed = compare([np.array([0.3]), np.array([-0.3]), np.array([0.0])], draws=500, rng=rng)
    assert (mixed.mean, mixed.won, mixed.lost) == (0, 1, 1)
    assert mixed.interval is not None
    assert mixed.interval.low < 0 < mixed.interval.high
    # two networks say nothing of a third
    assert compare([np.array([0.3]), np.array([0.2])], draws=10, rng=rng).interval is None


def test_interval_of_a_mean_matches_theory() -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_normal(60)
    result = compare([np.array([v]) for v in values], draws=4000, rng=rng)
    assert result.interval is not None
    error = values.std() / np.sqrt(len(values))
    assert result.interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.05)
    assert result.interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.05)


def test_draws_of_one_side_do_not_count() -> None:
    rng = np.random.default_rng(0)
    mean = network_draws([np.array([1.0, np.nan, 1.0]), np.array([0.0, 0.0, 0.0])], rng)
    assert np.isfinite(mean).all() or np.isnan(mean).sum() < len(mean)
    assert percentile_interval(np.array([1.0, np.nan, np.nan])) is None


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)]
)
def test_poisson_interval_is_the_exact_one(count: int, low: float, high: float) -> None:
    found = poisson_interval(count, 2.0)
    assert found[0] * 2 == pytest.approx(low, abs=1e-3)
    assert found[1] * 2 == pytest.approx(high, abs=1e-3)
