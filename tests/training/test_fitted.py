from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from held_out_folds import noisy_fold, with_floor

from zeekml.datasets.environment import Environment
from zeekml.detection.policy import Policy, load_policy
from zeekml.training.fitted import Fitted, cross_check

Make = Callable[..., Environment]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy()


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
    text = json.dumps(Fitted.to(folds, policy).as_dict(seed=1), allow_nan=False)
    assert "e1" in text


def test_what_floors_open_is_counted(make_environment: Make, policy: Policy) -> None:
    folds = [noisy_fold(make_environment(name=f"e{s}", seed=s), s, 2.0) for s in range(2)]
    both = zip(cross_check(folds, with_floor(policy)), cross_check(folds, policy), strict=True)
    for with_them, without in both:
        assert with_them.false > without.false
        assert any(incident.floor for incident in with_them.judged.incidents)
        assert not any(incident.floor for incident in without.judged.incidents)


def test_witnesses_tell_of_attacks_alone(make_environment: Make, policy: Policy) -> None:
    folds = [noisy_fold(make_environment(name=f"e{s}", seed=s), s, 9.0) for s in range(2)]
    witness = noisy_fold(make_environment(name="witness", seed=2), 2, 9.0)
    alone, beside = Fitted.to(folds, policy), Fitted.to(folds, policy, [witness])
    assert beside.thresholds == alone.thresholds
    assert beside.calibration == alone.calibration
    told = [i for i in beside.judged_incidents if i.site == "witness"]
    assert told
    assert all(incident.real for incident in told)
    assert beside.judged[-1].benign_windows == 0
    # too few benign incidents for a confidence
    assert beside.confidence() is None
    assert beside.reliability == []
