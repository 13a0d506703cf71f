"""OCSF and ECS against what their publishers say of classes, fields, types and values."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from hostile_notices import HEALTH_VALUES, LISTS, TEXTS, VALUES, any_notice, hostile
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from zeekml.alerts.constant_fields import OCSF_VERSION
from zeekml.alerts.nested_form import as_ecs, as_ocsf

VERSIONS = ("1.4.0", OCSF_VERSION, "1.8.0")
CLASSES = {2004: "detection_finding", 6008: "application_error"}

# the fields of ECS 8 and 9 that we use, and their types
ECS = {
    "@timestamp": "date",
    "message": "match_only_text",
    "ecs.version": "keyword",
    **dict.fromkeys(["event.kind", "event.category", "event.type", "event.action"], "keyword"),
    **dict.fromkeys(["event.id", "event.module", "event.dataset", "event.reason"], "keyword"),
    **dict.fromkeys(["event.start", "event.end"], "date"),
    **dict.fromkeys(["event.duration", "event.sequence", "event.severity"], "long"),
    **dict.fromkeys(["event.risk_score", "event.risk_score_norm"], "float"),
    **dict.fromkeys(["source.address", "destination.address"], "keyword"),
    **dict.fromkeys(["source.ip", "destination.ip", "related.ip"], "ip"),
    **dict.fromkeys(["source.port", "source.bytes"], "long"),
    **dict.fromkeys(["destination.port", "destination.bytes"], "long"),
    **dict.fromkeys(["network.transport", "network.type", "network.iana_number"], "keyword"),
    **dict.fromkeys(["network.community_id", "related.hosts", "log.level"], "keyword"),
    **dict.fromkeys(["rule.name", "rule.category", "rule.version"], "keyword"),
    **dict.fromkeys(["threat.framework", "threat.tactic.id", "threat.tactic.name"], "keyword"),
    **dict.fromkeys(["threat.technique.id", "threat.technique.name"], "keyword"),
    "threat.technique.subtechnique.id": "keyword",
    "user_agent.original": "keyword",
    **dict.fromkeys(["observer.type", "observer.vendor"], "keyword"),
    **dict.fromkeys(["observer.product", "observer.version"], "keyword"),
}
# and our own below zeekml, which must not change their types from one document to another
OWN = {
    **dict.fromkeys(
        ["id", "state", "note", "sub", "severity", "rarity", "threat", "uid", "group"], "keyword"
    ),
    **dict.fromkeys(["bundle", "features", "why", "signatures", "names", "agents"], "keyword"),
    **dict.fromkeys(["certificates", "contacts"], "keyword"),
    **dict.fromkeys(["seq", "confidence", "flows", "sources", "targets", "ports", "p"], "long"),
    **dict.fromkeys(["icmp_type", "icmp_code"], "long"),
    **dict.fromkeys(["score", "spread", "threshold"], "float"),
    **dict.fromkeys(["src", "dst"], "ip"),
}
FIELDS = ECS | {f"zeekml.{name}": kind for name, kind in OWN.items()}
KINDS = {"alert", "enrichment", "event", "metric", "state", "pipeline_error", "signal", "asset"}


def ocsf(values: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(as_ocsf(values))
    return made


def ecs(values: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(as_ecs(values))
    return made


def leaves(made: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a document of Elasticsearch: what is no object."""
    if isinstance(made, dict):
        for name, value in made.items():
            yield from leaves(value, f"{path}.{name}" if path else name)
    else:
        yield path, made


@cache
def validator(version: str, class_name: str) -> Draft202012Validator:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    return Draft202012Validator(schema.get_class_schema(class_name=class_name, profiles=[]))


@given(values=any_notice())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_the_published_schema_of_ocsf_is_kept(values: dict[str, Any]) -> None:
    made = ocsf(values)
    for version in VERSIONS:
        errors = validator(version, CLASSES[made["class_uid"]]).iter_errors(made)
        assert not [(list(e.absolute_path), e.message) for e in errors], version
    assert made["type_uid"] == made["class_uid"] * 100 + made["activity_id"]
    assert made["category_uid"] == made["class_uid"] // 1000


def captions(attribute: str) -> dict[int, str]:
    enum = get_ocsf_schema(version=OCSF_VERSION)["classes"]["detection_finding"]["attributes"]
    return {int(uid): value["caption"] for uid, value in enum[attribute]["enum"].items()}


def test_names_go_with_numbers_as_published() -> None:
    """What the JSON Schema does not hold: which number means what."""
    for state, severity in (("open", "low"), ("update", "high"), ("closed", "critical")):
        made = ocsf({**VALUES, "zeekml_state": state, "zeekml_severity": severity})
        for uid, name in (
            *(("severity_id", "severity"), ("activity_id", "activity_name")),
            ("confidence_id", "confidence"),
        ):
            assert captions(uid)[made[uid]] == made[name]
        assert made["severity"].lower() == severity
    analytics = get_ocsf_schema(version=OCSF_VERSION)["objects"]["analytic"]["attributes"]
    told = made["finding_info"]["analytic"]
    assert analytics["type_id"]["enum"][str(told["type_id"])]["caption"] == told["type"]
    types = get_ocsf_schema(version=OCSF_VERSION)["objects"]["observable"]["attributes"]["type_id"]
    for observable in made["observables"]:
        assert types["enum"][str(observable["type_id"])]["caption"] == observable["type"]


@pytest.mark.parametrize(
    ("state", "activity", "name", "status", "alert"),
    [
        ("open", 1, "Create", 1, True),
        ("update", 2, "Update", 1, True),
        ("closed", 3, "Close", 99, False),
    ],
)
def test_the_life_of_a_finding(
    state: str, activity: int, name: str, status: int, alert: bool
) -> None:
    made = ocsf({**VALUES, "zeekml_state": state})
    assert (made["activity_id"], made["activity_name"]) == (activity, name)
    assert (made["type_uid"], made["status_id"], made["is_alert"]) == (
        200400 + activity,
        status,
        alert,
    )


def test_a_finding_as_an_analyst_sees_it() -> None:
    made = ocsf({**VALUES, "zeekml_attack": ["T1046", "T1110.003", "T9999"]})
    assert made["time"] == 1795430487500
    assert (made["start_time"], made["end_time"]) == (1795430485947, 1795430487100)
    assert made["message"] == "10.20.5.67 scanned 41 hosts on tcp/445 (312 flows in 12 s)"
    (evidence,) = made["evidences"]
    assert evidence["src_endpoint"] == {"ip": "10.20.5.67", "port": 40112}
    assert evidence["dst_endpoint"] == {"ip": "10.20.1.33", "port": 445}
    assert evidence["connection_info"]["protocol_num"] == 6
    assert (made["severity"], made["confidence"], made["confidence_score"]) == (
        "Medium",
        "High",
        91,
    )
    network, spraying, unknown = made["finding_info"]["attacks"]
    assert network["technique"] == {"uid": "T1046", "name": "Network Service Discovery"}
    assert network["tactic"] == {"uid": "TA0007", "name": "Discovery"}
    assert spraying["technique"]["uid"] == "T1110"
    assert spraying["sub_technique"] == {"uid": "T1110.003", "name": "Password Spraying"}
    assert unknown == {"version": "18.0", "technique": {"uid": "T9999"}}
    assert made["finding_info"]["related_analytics"][0]["name"] == "ET SCAN SMB, sweep"
    assert {o["value"] for o in made["observables"]} >= {"10.20.5.67", "10.20.1.33", "curl/7.88.1"}


@pytest.mark.parametrize(
    ("note", "state", "seq", "activity", "status"),
    [
        ("ZeekML::Sensor_Problem", "open", 0, 1, "Failure"),
        ("ZeekML::Sensor_Problem", "closed", 0, 1, "Failure"),  # it happened, and was over at once
        ("ZeekML::Sensor_Problem", "closed", 1, 99, "Success"),
        ("ZeekML::Sensor_Health", "closed", 0, 99, "Success"),
        ("ZeekML::Model_Drift", "open", 0, 1, "Failure"),
    ],
)
def test_a_notice_about_health_is_no_finding(
    note: str, state: str, seq: int, activity: int, status: str
) -> None:
    values = {**HEALTH_VALUES, "note": note, "zeekml_state": state, "zeekml_seq": seq}
    made = ocsf(values)
    assert (made["class_uid"], made["activity_id"], made["status"]) == (6008, activity, status)
    document = ecs(values)
    assert document["event"]["kind"] == "event"
    assert document["event"]["dataset"] == "zeekml.health"
    assert document["log"]["level"] == "error"
    assert "category" not in document["event"]


@given(values=any_notice())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_fields_of_ecs_are_those_that_are_published_with_their_types(
    values: dict[str, Any],
) -> None:
    for path, value in leaves(ecs(values)):
        kind = FIELDS[path]  # a field that nobody knows is an error
        for item in value if isinstance(value, list) else [value]:
            if kind == "date":
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", item)
            elif kind == "ip":
                assert "%" not in str(ipaddress.ip_address(item))
            elif kind == "long":
                assert type(item) is int
                assert -(2**63) <= item < 2**63
            else:
                assert type(item) is (float if kind == "float" else str), path


def test_no_field_of_ecs_is_an_object_elsewhere() -> None:
    for path in FIELDS:
        assert not [other for other in FIELDS if other.startswith(f"{path}.")]


def test_values_of_ecs_are_those_that_are_allowed() -> None:
    for state in ("open", "update", "closed"):
        event = ecs({**VALUES, "zeekml_state": state})["event"]
        assert event["kind"] in KINDS
        assert event["kind"] == ("event" if state == "closed" else "alert")
        assert event["category"] == ["network", "intrusion_detection"]
        assert event["type"] == ["info"]  # expected of both


def test_a_document_as_an_analyst_sees_it() -> None:
    made = ecs(VALUES)
    assert made["@timestamp"] == "2026-11-23T10:41:27.500000Z"
    assert made["event"]["duration"] == 1_152_999_000
    assert made["source"] | {"bytes": 0} == {
        "address": "10.20.5.67",
        "ip": "10.20.5.67",
        "port": 40112,
        "bytes": 0,
    }
    assert made["rule"] == {"name": "ZeekML::Scan", "category": "scan", "version": "0123456789ab"}
    assert made["threat"]["technique"]["id"] == ["T1595", "T1046"]
    assert made["threat"]["tactic"]["name"] == ["Reconnaissance", "Discovery"]
    assert made["related"] == {
        "ip": ["10.20.5.67", "10.20.1.33"],
        "hosts": ["files.office.test", "a,b"],
    }
    assert (made["event"]["severity"], made["event"]["risk_score_norm"]) == (47, 91.0)


def test_icmp_over_ipv6() -> None:
    values = {**VALUES, "proto": "icmp", "id.orig_h": "fe80::1", "id.orig_p": 128, "id.resp_p": 0}
    made = ecs(values)
    assert made["network"]["transport"] == "ipv6-icmp"
    assert (made["network"]["type"], made["network"]["iana_number"]) == ("ipv6", "58")
    assert "port" not in made["source"]
    assert (made["zeekml"]["icmp_type"], made["zeekml"]["icmp_code"]) == (128, 0)
    connection = ocsf(values)["evidences"][0]["connection_info"]
    assert (connection["protocol_num"], connection["protocol_ver_id"]) == (58, 6)


@given(values=hostile())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_texts_come_back(values: dict[str, Any]) -> None:
    for made in (ocsf(values), ecs(values)):
        there = list(_texts(made))
        for name in (TEXTS | LISTS) & values.keys() - {"proto", "src", "dst", "actions"}:
            if name in ("peer_descr", "email_dest", "zeekml_attack", "id.orig_h", "id.resp_h"):
                continue
            value = values[name]
            for text in [value] if isinstance(value, str) else value:
                assert text in there or text == ""


def _texts(made: Any) -> Iterator[str]:
    if isinstance(made, str):
        yield made
    for item in made.values() if isinstance(made, dict) else made if isinstance(made, list) else ():
        yield from _texts(item)
