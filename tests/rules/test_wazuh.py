"""Wazuh's rules, by a model of how it walks a tree of rules over what its decoder gives."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from zeekml.alerts.eve_alert import _SIGNATURES
from zeekml.alerts.zeek_notice import NOTICE_COLUMNS
from zeekml.detection.attack_ids import TECHNIQUES
from zeekml.detection.notice import NOTES, SEVERITIES
from zeekml.detection.policy import load_policy

RULES = Path(__file__).parents[2] / "rules" / "wazuh"
LEVELS = dict(zip(SEVERITIES, (4, 7, 10, 13), strict=True))
# Wazuh's own, in which ours hang: every record with both fields, and of these the alerts
SHIPPED = """<group name="ids,suricata,">
<rule id="86600" level="0"><decoded_as>json</decoded_as><field name="timestamp">\\.+</field>
  <field name="event_type">\\.+</field><description>events</description></rule>
<rule id="86601" level="3"><if_sid>86600</if_sid><field name="event_type">^alert$</field>
  <description>$(alert.signature)</description></rule></group>"""


@dataclass(frozen=True)
class Rule:
    id: int
    level: int
    parents: tuple[int, ...]
    fields: tuple[tuple[str, str], ...]
    description: str
    techniques: tuple[str, ...]
    groups: tuple[str, ...]
    composite: bool

    def fits(self, event: dict[str, str]) -> bool:
        return all(
            name in event and re.search(as_pattern(wanted), event[name], re.IGNORECASE | re.DOTALL)
            for name, wanted in self.fields
        )


def as_pattern(os_regex: str) -> str:
    """The little of Wazuh's default expressions that our rules use, in Python's."""
    assert re.fullmatch(r"(?:[\w:^$|]|\\\.\+)+", os_regex), os_regex
    return os_regex.replace("\\.+", ".+")


def rules_in(text: str) -> Iterator[Rule]:
    group = ElementTree.fromstring(text)
    for rule in group.iter("rule"):
        groups = group.attrib["name"] + rule.findtext("group", "")
        yield Rule(
            id=int(rule.attrib["id"]),
            level=int(rule.attrib["level"]),
            parents=tuple(map(int, filter(None, rule.findtext("if_sid", "").split(",")))),
            fields=tuple((f.attrib["name"], f.text or "") for f in rule.iter("field")),
            description=rule.findtext("description", ""),
            techniques=tuple(e.text or "" for e in rule.iterfind("mitre/id")),
            groups=tuple(filter(None, groups.split(","))),
            composite="frequency" in rule.attrib,
        )


TEXT = (RULES / "zeekml_rules.xml").read_text()
OURS = list(rules_in(TEXT))
ALL = [*rules_in(SHIPPED), *OURS]


def decoded(record: Any, prefix: str = "") -> dict[str, str]:
    """Fields as Wazuh's decoder gives them: objects flattened, lists as their text in JSON."""
    fields: dict[str, str] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            fields |= decoded(value, f"{prefix}{key}.")
        else:
            fields[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return fields


def rule_for(record: Any) -> Rule | None:
    """The rule that an event ends at; that siblings exclude each other is part of the test."""
    event = decoded(record)
    found = None
    children = [rule for rule in ALL if not rule.parents and not rule.composite]
    while True:
        fitting = [rule for rule in children if rule.fits(event)]
        assert len(fitting) < 2, [rule.id for rule in fitting]
        if not fitting:
            return found
        found = fitting[0]
        children = [rule for rule in ALL if found.id in rule.parents]


def test_ids_lie_in_the_range_of_users_and_in_the_block_that_is_told() -> None:
    ids = [rule.id for rule in OURS]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert min(ids) == 119100
    assert max(ids) == 119294
    page = (RULES / "README.md").read_text()
    assert "119100 to 119294" in page
    assert {parent for rule in OURS for parent in rule.parents} <= {rule.id for rule in ALL}


def test_techniques_are_those_of_the_policy() -> None:
    told = {d.threat: tuple(d.techniques) for d in load_policy().detectors}
    for block in (1191, 1192):
        for threat, (signature_id, _, _) in _SIGNATURES.items():
            digit = signature_id % 10
            of_threat = [r for r in OURS if r.id // 10 == block * 10 + digit]
            assert len(of_threat) == len(SEVERITIES)
            for rule in of_threat:
                assert rule.techniques == told[threat]
                assert set(rule.techniques) <= TECHNIQUES


def test_fields_are_what_zeekml_writes(alerts: list[Any], notices: list[Any]) -> None:
    written = {name for record in alerts for name in decoded(record)} | set(NOTICE_COLUMNS)
    for rule in OURS:
        shown = re.findall(r"\$\(([\w.]+)\)", rule.description)
        assert {name for name, _ in rule.fields} | set(shown) <= written, rule.id


def test_every_alert_gets_the_level_of_its_severity(alerts: list[Any]) -> None:
    seen: Counter[str] = Counter()
    for alert in alerts:
        if alert["event_type"] != "alert":
            continue
        about = alert["alert"]["metadata"]
        for severity in SEVERITIES:
            about["zeekml_severity"] = [severity]
            rule = rule_for(alert)
            assert rule is not None
            assert rule.level == LEVELS[severity]
            assert rule.techniques == tuple(about["mitre_technique_id"])
            assert "zeekml_incident" in rule.groups
        seen[about["zeekml_threat"][0]] += 1
    assert len(seen) >= 5


@pytest.mark.parametrize("threat", list(NOTES))
def test_every_threat_has_a_rule_in_both_files(threat: str, notices: list[Any]) -> None:
    signature_id = _SIGNATURES[threat][0]
    alert = {
        "timestamp": "2026-11-23T10:43:59.750001+0000",
        "event_type": "alert",
        "alert": {
            "signature_id": signature_id,
            "metadata": {"zeekml_id": ["x"], "zeekml_severity": ["high"]},
        },
    }
    of_eve = rule_for(alert)
    notice = notices[0] | {
        "note": NOTES[threat],
        "zeekml_threat": threat,
        "zeekml_severity": "high",
        "zeekml_state": "update",
    }
    of_notice = rule_for(notice)
    assert of_eve is not None
    assert of_notice is not None
    assert of_eve.id + 100 == of_notice.id
    assert of_eve.level == of_notice.level == 10


def test_lines_of_notice_log(notices: list[Any]) -> None:
    levels: Counter[tuple[str, str, int]] = Counter()
    for notice in notices:
        rule = rule_for(notice)
        assert rule is not None
        if "zeekml_threat" in notice:
            levels[notice["zeekml_state"], notice["zeekml_severity"], rule.level] += 1
    closed = {severity: max(3, level if level >= 10 else 3) for severity, level in LEVELS.items()}
    assert {state for state, _, _ in levels} == {"open", "closed"}
    for state, severity, level in levels:
        assert level == (closed if state == "closed" else LEVELS)[severity]
    assert levels["closed", "critical", 13]


def test_health(notices: list[Any], alerts: list[Any]) -> None:
    health = [rule_for(n) for n in notices if "zeekml_threat" not in n]
    assert [rule.id for rule in health if rule] == [119290, 119291, 119292, 119290, 119293, 119294]
    engine = [rule_for(a) for a in alerts if a["event_type"] == "engine"]
    assert [rule.level for rule in engine if rule] == [3, 7, 9, 7, 7, 7]


def test_what_is_not_ours_is_left_alone(alerts: list[Any]) -> None:
    alert = alerts[0] | {"alert": {"signature_id": 2019236, "signature": "ET", "metadata": {}}}
    rule = rule_for(alert)
    assert rule is not None
    assert rule.id == 86601
    assert rule_for({"ts": 1.5, "note": "SSH::Password_Guessing", "msg": "x"}) is None
    engine = {**alert, "event_type": "engine", "engine": {"module": "suricata", "message": "x"}}
    assert (found := rule_for(engine)) is not None
    assert found.id == 86600


def test_repeated_incidents_hang_on_a_group_that_incidents_have() -> None:
    [element] = [e for e in ElementTree.fromstring(TEXT) if "frequency" in e.attrib]
    group = element.findtext("if_matched_group")
    carrying = {rule.id for rule in OURS if group in rule.groups}
    assert carrying == {rule.id for rule in OURS if 119100 <= rule.id < 119180}
    assert element.findtext("same_field") == "src_ip"
