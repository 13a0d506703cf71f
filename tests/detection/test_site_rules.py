"""Flows that a site rule covers count for nothing, and it is on record what silenced them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from notice_fixtures import Candidate, columns_of, rules_of

from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.candidates import Candidates
from zeekml.detection.policy import Policy, load_policy
from zeekml.detection.site_rules import SiteRules, conditions_of, words
from zeekml.ensemble.site_rule import SiteRule
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES

MakeCandidate = Callable[..., Candidate]
MakePolicy = Callable[..., Policy]

FEW_HOSTS = SiteRule(
    name="scan-few", threat="scan", conditions=("src60_hosts >=2", "src60_hosts <=9"), labels=7
)


def matrix(hosts: list[float]) -> np.ndarray:
    rows = np.full((len(hosts), len(FEATURES)), np.nan, np.float32)
    column = FEATURE_INDEX["src60_hosts"]
    rows[:, column] = [FEATURES[column].stored(value) for value in hosts]
    return rows


def with_hosts(flows: list[Candidate], hosts: float) -> Candidates:
    columns = columns_of(flows)
    return replace(columns, matrix=matrix([hosts] * len(columns)))


def test_conditions_are_bounds_in_natural_units() -> None:
    rules = SiteRules([FEW_HOSTS], load_policy())
    (covered,) = rules.covered(matrix([1, 2, 9, 10, np.nan]))
    assert covered.tolist() == [False, True, True, False, False]
    assert words(FEW_HOSTS).count("hosts contacted by the source") == 2
    assert [str(condition) for condition in conditions_of(FEW_HOSTS)] == list(FEW_HOSTS.conditions)
    assert SiteRules([], load_policy()).covered(matrix([1])).shape == (0, 1)


def test_what_meets_a_floor_is_not_covered() -> None:
    wide = SiteRule(name="all", threat="scan", conditions=("src60_hosts >=1",), labels=9)
    rows = matrix([60.0, 60.0])
    rows[:, FEATURE_INDEX["src60_failed"]] = [0.1, 0.9]
    rows[:, FEATURE_INDEX["proto_icmp"]] = 0.0
    policy = load_policy()
    floors = {str(c) for d in policy.detectors for rule in d.floor for c in rule.conditions}
    assert "src60_hosts >=50" in floors
    (covered,) = SiteRules([wide], policy).covered(rows)
    assert covered.tolist()[0]
    others = [replace(d, floor=()) for d in policy.detectors]
    (bare,) = SiteRules([wide], replace(policy, detectors=tuple(others))).covered(rows)
    assert bare.all()
    assert not covered[1]


@pytest.fixture
def known(make_policy: MakePolicy) -> AllowlistFilter:
    rules = replace(rules_of(make_policy()), site_rules=(FEW_HOSTS,))
    return AllowlistFilter(rules)


def test_covered_flows_raise_nothing_and_others_do(
    known: AllowlistFilter, make_candidate: MakeCandidate
) -> None:
    flows = [make_candidate(clock=1000.0 + n) for n in range(12)]
    assert known.add(with_hosts(flows, 5.0), 1020.0) == []
    told = known.take_silenced()
    line, by = told[0]
    assert line.notice.state == "open"
    assert (by.id, by.owner) == ("scan-few", "zeekml adapt")
    assert "7 labelled false alarms" in by.reason
    assert known.silenced_count == 1
    again = AllowlistFilter.load(known.save())
    assert again.rules.site_rules == (FEW_HOSTS,)
    later = [make_candidate(clock=5000.0 + n, orig_h="10.0.0.77") for n in range(12)]
    assert any(line.notice.state == "open" for line in again.add(with_hosts(later, 40.0), 5020.0))


def test_flows_count_for_other_threats(
    known: AllowlistFilter, make_candidate: MakeCandidate
) -> None:
    flows = [make_candidate(clock=1000.0 + n, threat="web") for n in range(12)]
    lines = known.add(with_hosts(flows, 5.0), 1020.0)
    assert [line.notice.threat for line in lines if line.notice.state == "open"] == ["web"]


def test_another_bundle_takes_over_what_is_open(
    make_policy: MakePolicy, make_candidate: MakeCandidate
) -> None:
    rules = rules_of(make_policy())
    known = AllowlistFilter(rules)
    flows = [make_candidate(clock=1000.0 + n) for n in range(12)]
    (opened,) = known.add(columns_of(flows), 1020.0)
    assert known.open_incidents == 1
    origin = replace(rules.origin, bundle="b" * 64)
    other = replace(rules, origin=origin, site_rules=(FEW_HOSTS,))
    assert other.same_policy(rules)
    known.judge_by(other)
    assert known.open_incidents == 1
    (closed,) = known.close()
    assert closed.notice.id == opened.notice.id
    assert closed.notice.bundle == "b" * 12
    detectors = tuple(replace(d, window=d.window * 2) for d in rules.policy.detectors)
    assert not replace(rules, policy=replace(rules.policy, detectors=detectors)).same_policy(rules)
