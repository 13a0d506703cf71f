from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.datasets.environment import Environment
from zeekml.detection.policy import Policy, load_policy
from zeekml.ensemble.classes import THREATS
from zeekml.training.incident_replay import activities, follow, scored_flows
from zeekml.training.leave_one_out import Fold
from zeekml.training.thresholds import as_dict, calibrate, choose_thresholds, cross_check
from zeekml.training.trained_ensemble import Prediction
from zeekml.training.training_rows import prepare

Make = Callable[..., Environment]
SCAN = THREATS.index("scan")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy()


def fold(environment: Environment, log_odds: np.ndarray, threat: int = SCAN) -> Fold:
    votes = np.full((len(log_odds), len(THREATS)), -9.0)
    votes[:, threat] = 0
    return Fold(prepare(environment, seed=0), Prediction(log_odds, log_odds[:, None], votes))


def noisy_fold(environment: Environment, seed: int, quality: float) -> Fold:
    rng = np.random.default_rng(seed)
    malicious = environment.labels > 0
    return fold(environment, quality * malicious + rng.standard_normal(len(malicious)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.0, 1.0, 5.0]), st.integers(0, 9)),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 6),
)
def test_evidence_is_the_mean_of_the_top_scores(steps: list[tuple[float, int]], top: int) -> None:
    clock = np.cumsum([gap for gap, _ in steps])
    scores = np.array([score / 10 for _, score in steps])
    shares = np.random.default_rng(0).random((len(steps), 7))
    window = 10.0
    evidence, threat = follow(clock, scores, shares, window, top)
    for i in range(len(steps)):
        inside = [j for j in range(i + 1) if clock[j] > clock[i] - window]
        best = sorted(inside, key=lambda j: (scores[j], j))[-top:]
        assert evidence[i] == pytest.approx(sum(scores[best]) / top)
        votes = scores[best] @ shares[best]
        assert votes[threat[i]] == pytest.approx(votes.max())


def test_scan_gives_one_activity_of_its_source(make_environment: Make, policy: Policy) -> None:
    environment = make_environment()
    one = fold(environment, np.where(environment.labels > 0, 9.0, -9.0))
    scores = np.where(environment.labels > 0, 0.9, 0.01)
    site = scored_flows(one, scores, policy)
    found = activities(site, np.ones(len(scores), dtype=bool), policy)
    raised = [item for item in found if item.peaks.max() > 0.5]
    assert len(raised) == 1
    assert len(raised[0].rows) == 80
    assert raised[0].peaks[SCAN] == pytest.approx(0.9)
    assert np.delete(raised[0].peaks, SCAN).max() == 0
    # nothing is found on the benign rows alone
    assert activities(site, environment.labels == 0, policy) == []


def test_a_lone_flow_is_no_evidence(make_environment: Make, policy: Policy) -> None:
    environment = make_environment(malicious=1)
    scores = np.where(environment.labels > 0, 1.0, 0.0)
    site = scored_flows(fold(environment, scores), scores, policy)
    found = activities(site, np.ones(len(scores), dtype=bool), policy)
    assert max(item.peaks.max() for item in found) == 0


def test_calibration_weighs_environments_alike(make_environment: Make) -> None:
    small = noisy_fold(make_environment(name="small"), 0, 3.0)
    big = noisy_fold(make_environment(name="big", seed=1, benign=3000), 1, 3.0)
    calibration = calibrate([small, big], base_rate=0.5)
    assert calibration.slope > 0
    assert 0 < calibration.brier < 0.1
    # even evidence: half way between the two sides
    assert calibration.scores(np.array([1.5]))[0] == pytest.approx(0.5, abs=0.1)
    rare = calibrate([small, big], base_rate=0.01)
    assert rare.scores(np.array([1.5]))[0] < 0.05
    assert rare.evidence(np.array([1.5]))[0] == pytest.approx(0.5, abs=0.2)
    with pytest.raises(ValueError, match="slope"):
        calibrate([noisy_fold(make_environment(name="upside"), 0, -3.0)])


def test_thresholds_keep_to_the_budget(make_environment: Make, policy: Policy) -> None:
    folds = [noisy_fold(make_environment(name=f"e{s}", seed=s), s, 2.0) for s in range(3)]
    calibration = calibrate(folds, base_rate=0.01)
    previous = None
    for budget in (0.0, 1e-3, 4e-3, 1.0):
        chosen = choose_thresholds(folds, calibration, policy, budget=budget)
        assert chosen.false_per_10k <= 1e4 * budget + 1e-9
        assert set(chosen.values) == set(THREATS)
        assert all(0.01 <= value < 1 for value in chosen.values.values())
        assert chosen.candidate_score <= min(chosen.values.values())
        if previous is not None:
            assert chosen.values["scan"] <= previous
        previous = chosen.values["scan"]
    assert previous == 0.01


def test_threats_that_never_false_alarm_get_half_the_way_down(
    make_environment: Make, policy: Policy
) -> None:
    folds = [noisy_fold(make_environment(name=f"e{s}", seed=s), s, 1.0) for s in range(2)]
    chosen = choose_thresholds(folds, calibrate(folds, base_rate=0.01), policy, budget=0.0)
    others = {chosen.values[threat] for threat in THREATS if threat != "scan"}
    assert len(others) == 1
    assert 0.01 < others.pop() < chosen.values["scan"]


def test_cross_check_uses_the_other_environments_only(
    make_environment: Make, policy: Policy
) -> None:
    folds = [noisy_fold(make_environment(name=f"e{s}", seed=s), s, 9.0) for s in range(2)]
    checks = cross_check(folds, policy)
    assert [check.name for check in checks] == ["e0", "e1"]
    assert all(check.found == {"scan": 1.0} for check in checks)
    assert all(check.benign == 500 and check.false == 0 for check in checks)
    # what happens in an environment does not move its own check's thresholds
    wild = noisy_fold(folds[1].prepared.environment, 1, 9.0)
    wild.prediction.log_odds[:] += 30
    again = cross_check([folds[0], wild], policy)[1]
    assert again.false > 0
    assert cross_check(folds[:1], policy) == []
    calibration = calibrate(folds)
    text = json.dumps(
        as_dict(choose_thresholds(folds, calibration, policy), checks), allow_nan=False
    )
    assert "e1" in text


def test_members_must_know_threats(make_environment: Make, policy: Policy) -> None:
    environment = make_environment()
    odds = np.zeros(len(environment))
    blind = Fold(prepare(environment, seed=0), Prediction(odds, odds[:, None], None))
    with pytest.raises(ValueError, match="threats apart"):
        scored_flows(blind, odds, policy)
