from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from zeekml.datasets.environment import Environment
from zeekml.detection.flow_conditions import Condition
from zeekml.detection.flow_rules import FlowRule
from zeekml.detection.policy import Policy, load_policy
from zeekml.ensemble.classes import THREATS
from zeekml.training.incident_replay import NONE, HeldOutStream, in_turn
from zeekml.training.leave_one_out import Fold
from zeekml.training.platt_fit import PlattFit
from zeekml.training.trained_ensemble import Prediction
from zeekml.training.training_rows import prepare

Make = Callable[..., Environment]
AS_IS = PlattFit(slope=1.0, intercept=0.0, base_rate=0.5, brier=0.0, error=0.0)
HALF = dict.fromkeys(THREATS, 0.5)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy()


def stream(environment: Environment, members: np.ndarray, threat: str = "scan") -> HeldOutStream:
    """As members with these log-odds (rows, members) see it."""
    votes = np.zeros((len(members), len(THREATS)))
    votes[:, THREATS.index(threat)] = 1
    prediction = Prediction(members.mean(axis=1), members, votes)
    return HeldOutStream.of(Fold(prepare(environment, seed=0), prediction), AS_IS)


def sure(environment: Environment, members: int = 1) -> np.ndarray:
    return np.repeat(np.where(environment.labels > 0, 9.0, -9.0)[:, None], members, axis=1)


def test_a_scan_is_one_incident(make_environment: Make, policy: Policy) -> None:
    environment = make_environment()
    seen = stream(environment, sure(environment))
    assert len(seen.replay(policy).incidents(HALF)) == 1
    (incident,) = seen.replay(policy).incidents(HALF)
    assert seen.rows[incident.rows].tolist() == np.flatnonzero(environment.labels > 0).tolist()
    assert len(seen.only(environment.labels == 0).replay(policy).incidents(HALF)) == 0
    # a threat that is not the likeliest does not open
    other = stream(environment, sure(environment), "web")
    assert len(other.replay(policy).incidents({**HALF, "web": 0.99999})) == 0


def test_floors_of_a_policy_hold_for_rows_that_score_low(
    make_environment: Make, policy: Policy
) -> None:
    environment = make_environment()
    odds = np.full((len(environment), 1), -9.0)
    any_flow = (FlowRule((Condition("src60_flows", ">=", 1.0),)),)
    detectors = [replace(d, floor=any_flow if d.threat == "web" else ()) for d in policy.detectors]
    floored = Policy(policy.file, tuple(detectors))
    votes = np.full((len(odds), len(THREATS)), 1 / len(THREATS))
    fold = Fold(prepare(environment, seed=0), Prediction(odds[:, 0], odds, votes))
    assert len(HeldOutStream.of(fold, AS_IS).candidates) == 0
    seen = HeldOutStream.of(fold, AS_IS, floored)
    assert len(seen.candidates) == len(environment)
    incidents = seen.replay(floored).incidents(HALF)
    assert incidents and all(i.alone and i.threat == "web" for i in incidents)
    together, _ = in_turn([seen, seen])
    assert together.enough.all() and len(together) == 2 * len(seen.candidates)


def test_a_lone_flow_is_no_evidence(make_environment: Make, policy: Policy) -> None:
    environment = make_environment(malicious=1)
    assert len(stream(environment, sure(environment)).replay(policy).incidents(HALF)) == 0


def test_members_have_to_agree(make_environment: Make, policy: Policy) -> None:
    environment = make_environment()
    members = sure(environment, 10)
    assert len(stream(environment, members).replay(policy).incidents(HALF)) == 1
    # the mean is as high as before, but two members alone are for it
    members[:, 2:] = -0.1
    members[:, :2] *= 50
    assert len(stream(environment, members).replay(policy).incidents(HALF)) == 0


def test_incidents_do_not_reach_into_the_next_recording(
    make_environment: Make, policy: Policy
) -> None:
    environment = make_environment(malicious=8)
    scan = np.flatnonzero(environment.labels > 0)
    whole = stream(environment, sure(environment))
    assert len(whole.replay(policy).incidents(HALF)) == 1
    # four flows in each of two recordings: five are asked for
    environment.captures[scan[4] :] = 1
    parted = stream(environment, sure(environment))
    assert np.diff(parted.candidates.clock).max() > 7 * 86_400
    assert len(parted.replay(policy).incidents(HALF)) == 0


def test_parts_are_seen_one_by_one(make_environment: Make, policy: Policy) -> None:
    environment = make_environment()
    scan = np.flatnonzero(environment.labels > 0)
    seen = stream(environment, sure(environment))
    # the second part goes on while the first one's incident is open, the third is too small
    parts = [scan[:40], scan[40:78], scan[78:]]
    alone, owner = seen.one_by_one(parts)
    opened = alone.replay(policy).incidents(HALF)
    assert [owner[incident.opener] for incident in opened] == [0, 1]
    assert sorted(alone.rows[owner != NONE].tolist()) == scan.tolist()


def test_members_must_know_threats(make_environment: Make) -> None:
    environment = make_environment()
    odds = np.zeros(len(environment))
    blind = Fold(prepare(environment, seed=0), Prediction(odds, odds[:, None], None))
    with pytest.raises(ValueError, match="threats apart"):
        HeldOutStream.of(blind, AS_IS)
