from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from zeekml.training.ensemble_selection import SHOWN, Validation, select, worth
from zeekml.training.ranking import Ranking


def validation(quality: list[float], seed: int = 0, rows: int = 3000) -> Validation:
    """Candidates whose scores hold the truth with the given strength, and noise of their own."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.3).astype(np.int8)
    noise = rng.standard_normal((rows, len(quality)))
    return Validation(np.outer(labels, quality) + noise, labels, np.ones(rows))


def test_worth_is_the_mean_of_three_figures() -> None:
    one = validation([1.5])
    weights = np.random.default_rng(4).random(len(one.labels))
    one = Validation(one.log_odds, one.labels, weights)
    scores = one.log_odds[:, 0]
    expected = [average_precision_score(one.labels, scores, sample_weight=weights)]
    ranking, bad = Ranking(scores, one.labels > 0), weights * (one.labels > 0)
    expected += [bad[ranking.above(weights, rate)].sum() / bad.sum() for rate in SHOWN]
    assert worth(scores, one) == pytest.approx(np.mean(expected))


def test_what_helps_the_mean_is_chosen() -> None:
    # two good ones with noise of their own, and three that know nothing
    sites = [validation([2.0, 0.0, 2.0, 0.0, 0.0], seed) for seed in range(3)]
    places = select(sites, 6, np.random.default_rng(0))
    assert places.sum() == 6
    assert places[0] >= 1
    assert places[2] >= 1
    assert places[[1, 3, 4]].sum() <= 1


def test_candidates_are_chosen_again_when_nothing_else_helps() -> None:
    places = select([validation([3.0, -1.0])], 4, np.random.default_rng(0))
    assert places.tolist() == [4, 0]


def test_the_same_generator_chooses_the_same() -> None:
    sites = [validation([1.0, 1.2, 0.8, 1.1], seed) for seed in range(2)]
    chosen = [select(sites, 5, np.random.default_rng(7)).tolist() for _ in range(2)]
    assert chosen[0] == chosen[1]


def test_environments_count_the_same_whatever_their_size() -> None:
    # the second candidate is good at the small site only, the first at the big one only
    big, small = validation([2.0, 0.0], 0, 20000), validation([0.0, 4.0], 1, 500)
    assert select([big, small], 4, np.random.default_rng(0), bags=4)[1] >= 1


def test_nothing_to_choose_from_or_by() -> None:
    with pytest.raises(ValueError, match="selection needs"):
        select([], 3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="selection needs"):
        select([validation([])], 3, np.random.default_rng(0))
