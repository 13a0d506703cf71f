from __future__ import annotations

import re

import pytest

from zeekml.detection.flow_conditions import Condition
from zeekml.detection.flow_rules import FlowRule, rule_in
from zeekml.detection.policy import POLICY_FILE, Detector, default_rules_dir, policy_of
from zeekml.detection.yaml_values import parse_yaml
from zeekml.errors import ConfigError

SHIPPED = (default_rules_dir() / POLICY_FILE).read_text(encoding="utf-8")
SWEEP = (Condition("src60_hosts", ">=", 50.0), Condition("src60_failed", ">=", 0.8))


def web_with(key: str) -> Detector:
    """The detector for web attacks, without rules of its own, with a further key."""
    before, mark, behind = SHIPPED.partition("  web:\n")
    own, _, behind = behind.partition("    alone:\n")
    behind = own + behind[behind.index("    severity:") :]
    text = f"{before}{mark}    {key}\n{behind}".encode()
    return policy_of(parse_yaml(text, "p.yaml")).detectors[5]


def test_one_floor_or_several() -> None:
    one = '{src60_hosts: ">=50", src60_failed: ">=0.8"}'
    assert web_with(f"floor: {one}").floor == (FlowRule(SWEEP),)
    two = web_with(f'floor: [{one}, {{duration: ">=1"}}]').floor
    assert two == (FlowRule(SWEEP), FlowRule((Condition("duration", ">=", 1.0),)))
    assert web_with("enabled: true").floor == ()


def test_single_flows_with_a_threshold() -> None:
    told = web_with('alone: {when: {src60_hosts: ">=50", src60_failed: ">=0.8"}, threshold: 0.5}')
    assert told.alone == (FlowRule(SWEEP, 0.5),)
    assert told.floor == ()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("floor: []", "detectors.web.floor must hold at least one entry"),
        ('floor: {src60_hots: ">=50"}', "in detectors.web.floor; did you mean 'src60_hosts'?"),
        ('floor: [{duration: ">=1"}, {duration: ">= 1.0"}]', "floor[1] asks for the same as"),
        ('floor: {when: {duration: ">=1"}, threshold: 0.5}', "unknown key 'when'"),
        ('alone: {duration: ">=1"}', "unknown key 'duration'"),
        ('alone: {when: {duration: ">=1"}}', "lacks the key 'threshold'"),
        ('alone: {when: {duration: ">=1"}, threshold: auto}', "must be a number between 0 and 1"),
        ("floor: [" + ", ".join(f'{{duration: ">={n}"}}' for n in range(33)) + "]", "more than 32"),
    ],
)
def test_mistakes_name_their_line(key: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        web_with(key)
    assert says in str(caught.value)
    line = SHIPPED[: SHIPPED.index("  web:\n")].count("\n") + 2
    assert str(caught.value).startswith(f"p.yaml:{line}: ")


def test_what_a_notice_says() -> None:
    words = (
        "50 or more hosts contacted by the source in 60 s and 80 % or more of the source's flows "
        "in 60 s unanswered"
    )
    assert FlowRule(SWEEP).text() == f"floor: {words}"
    assert FlowRule(SWEEP, 0.5).text() == f"alone: {words} and a score of 0.5 or more"
    assert str(FlowRule(SWEEP, 0.25)) == "src60_hosts >=50, src60_failed >=0.8, score >=0.25"
    for text in (FlowRule(SWEEP).text(), FlowRule(SWEEP, 0.5).text()):
        assert rule_in(("duration=5 s long (usual 1 s) +1.00", text)) == text
    assert rule_in(("duration=5 s long (usual 1 s) +1.00",)) == ""


def test_what_is_shipped_has_loud_shapes_alone() -> None:
    floors = re.findall(r"^  (\w+):\n(?:    .*\n)*?    floor:", SHIPPED, re.MULTILINE)
    assert floors == ["dos", "scan", "bruteforce", "c2"]
