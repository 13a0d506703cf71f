"""Figures of an evaluation against scikit-learn, by hand, and on cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from zeekml.core.intervals import poisson_interval
from zeekml.evaluation.bootstrap import (
    compare,
    enough_hosts,
    host_draws,
    network_draws,
    percentile_interval,
)
from zeekml.training.platt_fit import prior_weights
from zeekml.training.ranking import RATES, EvaluatedRows, Ranking

rows = st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.sampled_from([0.0, 0.5, 1.0, 3.0])),
    min_size=2,
    max_size=80,
)


@settings(max_examples=150)
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
    ranking = Ranking(scores[used], malicious[used])
    bad = np.where(malicious, weights, 0.0)[used]
    for rate, recall in zip(RATES, found[1:], strict=True):
        caught = bad[ranking.above(weights[used], rate)].sum()
        assert recall == pytest.approx(caught / bad.sum())


def test_a_threshold_keeps_the_rate_and_wastes_nothing() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        scores = rng.integers(0, 10, 40).astype(np.float64)
        malicious = rng.random(40) < 0.3
        rate = float(rng.choice([0.01, 0.1, 0.25, 0.5]))
        above = Ranking(scores, malicious).above(np.ones(40), rate)
        benign = ~malicious
        assert above[benign].mean() <= rate + 1e-9
        # whoever is above is so with all of the same score, and the next score would be too many
        if above.any():
            assert above.tolist() == (scores >= scores[above].min()).tolist()
        assert (scores[benign] >= scores[~above].max()).mean() > rate or above[benign].all()


def test_weights_count_on_both_sides() -> None:
    scores = np.array([0.9, 0.8, 0.1, 0.95, 0.85, 0.05])
    ranking = Ranking(scores, np.array([False, False, False, True, True, True]))
    assert ranking.above(np.ones(6), 0.34)[3:].tolist() == [True, True, False]
    assert ranking.above(np.ones(6), 0.01)[3:].tolist() == [True, False, False]
    light = np.array([0.01, 1, 1, 1, 3, 1])
    assert ranking.above(light, 0.01)[3:].tolist() == [True, True, False]
    assert ranking.figures(light)[1] == pytest.approx(4 / 5)


@pytest.mark.parametrize(
    ("benign", "known"),
    [(999, [True, False, False, False]), (1000, [True, True, False, False]), (100_000, [True] * 4)],
)
def test_a_rate_needs_ten_rows_above_it(benign: int, known: list[bool]) -> None:
    labels = np.array([0] * benign + [1], dtype=np.int8)
    rows = EvaluatedRows(
        np.ones(len(labels), np.bool_),
        labels,
        labels > 0,
        {"raw": np.ones(len(labels))},
        np.zeros(len(labels), np.intp),
    )
    assert rows.resolvable("raw").tolist() == known


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
    assert same is not None
    assert same.mean == pytest.approx(0.1)
    assert (same.won, same.lost) == (4, 0)
    assert same.interval is not None
    assert [same.interval.low, same.interval.high] == pytest.approx([0.1, 0.1])
    mixed = compare([np.array([0.3]), np.array([-0.3]), np.array([0.0])], draws=500, rng=rng)
    assert mixed is not None
    assert (mixed.mean, mixed.won, mixed.lost) == (0, 1, 1)
    assert mixed.interval is not None
    assert mixed.interval.low < 0 < mixed.interval.high
    # two networks say nothing of a third
    two = compare([np.array([0.3]), np.array([0.2])], draws=10, rng=rng)
    assert two is not None
    assert two.interval is None


def test_interval_of_a_mean_matches_theory() -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_normal(60)
    result = compare([np.array([v]) for v in values], draws=4000, rng=rng)
    assert result is not None
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
