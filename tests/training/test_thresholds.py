from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from held_out_folds import noisy_fold, with_floor

from zeekml.datasets.environment import Environment
from zeekml.detection.policy import Policy, load_policy
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import evidence
from zeekml.training.incident_replay import HeldOutStream
from zeekml.training.leave_one_out import Fold
from zeekml.training.platt_fit import fit_scores
from zeekml.training.thresholds import choose_thresholds
from zeekml.training.trained_ensemble import Prediction

Make = Callable[..., Environment]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy()


def test_calibration_weighs_environments_alike(make_environment: Make) -> None:
    small = noisy_fold(make_environment(name="small"), 0, 3.0)
    big = noisy_fold(make_environment(name="big", seed=1, benign=3000), 1, 3.0)
    fit = fit_scores([small, big], base_rate=0.5)
    assert fit.slope > 0
    assert 0 < fit.brier < 0.1
    # even evidence: half way between the two sides
    assert fit.scores(np.array([1.5]))[0] == pytest.approx(0.5, abs=0.1)
    rare = fit_scores([small, big], base_rate=0.01)
    assert rare.scores(np.array([1.5]))[0] < 0.05
    assert evidence(rare.scores(np.array([1.5])), 0.01)[0] == pytest.approx(0.5, abs=0.2)
    with pytest.raises(ValueError, match="slope"):
        fit_scores([noisy_fold(make_environment(name="upside"), 0, -3.0)])


def test_thresholds_keep_to_the_budget(make_environment: Make, policy: Policy) -> None:
    folds = [noisy_fold(make_environment(name=f"e{s}", seed=s), s, 2.0) for s in range(3)]
    fit = fit_scores(folds, base_rate=0.01)
    previous = None
    for budget in (0.0, 1e-3, 4e-3, 1.0):
        chosen = choose_thresholds(folds, fit, policy, budget=budget)
        assert chosen.false_per_10k <= 1e4 * budget + 1e-9

        # what is promised is what the tracker opens
        def benign(one: Fold) -> HeldOutStream:
            return HeldOutStream.of(one, fit).only(one.labels == 0)

        counts = [len(benign(f).replay(policy).incidents(chosen.values)) for f in folds]
        assert chosen.false_per_10k == pytest.approx(1e4 * sum(counts) / 1500)
        assert set(chosen.values) == set(THREATS)
        assert all(0.01 <= value < 1 for value in chosen.values.values())
        assert chosen.candidate_score <= min(chosen.values.values())
        if previous is not None:
            assert chosen.values["scan"] <= previous
        previous = chosen.values["scan"]
    assert previous == 0.01


def test_floors_move_no_threshold(make_environment: Make, policy: Policy) -> None:
    folds = [noisy_fold(make_environment(name=f"e{s}", seed=s), s, 2.0) for s in range(2)]
    fit = fit_scores(folds, base_rate=0.01)
    floored = with_floor(policy)
    chosen = choose_thresholds(folds, fit, policy, budget=4e-3)
    assert choose_thresholds(folds, fit, floored, budget=4e-3) == chosen


def test_threats_that_never_false_alarm_get_half_the_way_down(
    make_environment: Make, policy: Policy
) -> None:
    folds = [noisy_fold(make_environment(name=f"e{s}", seed=s), s, 1.0) for s in range(2)]
    chosen = choose_thresholds(folds, fit_scores(folds, base_rate=0.01), policy, budget=0.0)
    others = {chosen.values[threat] for threat in THREATS if threat != "scan"}
    assert len(others) == 1
    assert 0.01 < others.pop() < chosen.values["scan"]


def test_thresholds_do_for_sites_without_events(make_environment: Make, policy: Policy) -> None:
    folds = [noisy_fold(make_environment(name=f"e{s}", seed=s), s, 2.0) for s in range(3)]
    fit = fit_scores(folds)
    louder = Prediction(
        folds[0].prediction.log_odds + 1.0,
        folds[0].prediction.member_log_odds + 1.0,
        folds[0].prediction.threat_shares,
    )
    told = choose_thresholds(folds, fit, policy).values["scan"]
    both = choose_thresholds([replace(folds[0], silent=louder), *folds[1:]], fit, policy)
    assert both.values["scan"] > told
