"""Rules that cover the false alarms they were learned from, and no attack."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.adaptation.examples import Example
from zeekml.adaptation.rule_learning import MOST_MET, Others, learn_rules
from zeekml.detection.site_rules import conditions_of, meeting
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.reference_rows import ReferenceRows
from zeekml.ensemble.site_rule import SiteRule, reasons_against


@pytest.fixture(scope="module")
def others(reference: ReferenceRows) -> Others:
    benign = reference.labels == 0
    return Others.of(reference.matrix[~benign], reference.matrix[benign])


def alarm(number: int, rows: np.ndarray, *, truth: bool = False) -> Example:
    return Example(f"{number:024x}", truth, "web", float(number), rows)


def covers(rules: tuple[SiteRule, ...], rows: np.ndarray) -> bool:
    return any(meeting(conditions_of(rule), rows).all() for rule in rules)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5))
def test_rules_cover_their_alarms_and_spare_the_attacks(
    shipped: Bundle, others: Others, seed: int, count: int, each: int
) -> None:
    rng = np.random.default_rng(seed)
    alarms = [alarm(n, others.traffic[rng.choice(len(others.traffic), each)]) for n in range(count)]
    rules = learn_rules(alarms, others, shipped)
    assert not list(reasons_against(rules))
    assert sum(rule.labels for rule in rules) <= count
    covered = sum(covers(rules, example.matrix) for example in alarms)
    assert covered >= sum(rule.labels for rule in rules)
    for rule in rules:
        share = meeting(conditions_of(rule), others.attacks).mean()
        assert share <= MOST_MET
    assert learn_rules(alarms, others, shipped) == rules


def test_alike_alarms_make_one_rule(shipped: Bundle, others: Others) -> None:
    row = others.traffic[:1]
    (rule,) = learn_rules([alarm(n, row) for n in range(6)], others, shipped)
    assert rule.labels == 6
    assert rule.threat == "web"
    assert rule.name.startswith("web-")


def test_a_true_incident_alike_is_spared(shipped: Bundle, others: Others) -> None:
    row = others.traffic[:1]
    alarms = [alarm(n, row) for n in range(6)]
    assert learn_rules([*alarms, alarm(9, row, truth=True)], others, shipped) == ()


def test_attacks_of_the_reference_cannot_be_talked_away(shipped: Bundle, others: Others) -> None:
    # rows of attacks themselves, labelled as false alarms
    alarms = [alarm(n, others.attacks[n : n + 1]) for n in range(0, 400, 40)]
    for rule in learn_rules(alarms, others, shipped):
        assert meeting(conditions_of(rule), others.attacks).mean() <= MOST_MET


def test_names_are_not_given_twice(shipped: Bundle, others: Others) -> None:
    (rule,) = learn_rules([alarm(1, others.traffic[:1])], others, shipped)
    again = learn_rules([alarm(1, others.traffic[:1])], others, shipped, taken=[rule.name])
    assert again == ()


def test_without_features_there_is_nothing_to_learn(shipped: Bundle, others: Others) -> None:
    nothing = np.full((1, others.traffic.shape[1]), np.nan, np.float32)
    assert learn_rules([alarm(1, nothing), alarm(2, nothing[:0])], others, shipped) == ()
