from __future__ import annotations

from dataclasses import replace

import pytest

from zeekml.detection.incidents.message import has_ports
from zeekml.detection.incidents.notice_builder import (
    community_id,
    group_key,
    group_name,
    incident_id,
)
from zeekml.detection.notice import QuotedFlow

KEY = (("id.orig_h",), ("192.0.2.66",))


@pytest.fixture
def first() -> QuotedFlow:
    return QuotedFlow(
        ts=1000.0,
        sensor="zeek",
        uid="C0",
        orig_h="192.0.2.66",
        orig_p=40000,
        resp_h="10.20.0.10",
        resp_p=80,
        proto="tcp",
        service=None,
        community_id=None,
    )


def test_the_id_rests_on_what_it_should(first: QuotedFlow) -> None:
    known = incident_id("ZeekML::Scan", KEY, first)
    assert known == "c48b57eeec1463e5f9279fba"
    same = replace(first, orig_p=1, service="http", community_id="1:x")
    assert incident_id("ZeekML::Scan", KEY, same) == known
    others = {
        incident_id("ZeekML::Web_Attack", KEY, first),
        incident_id("ZeekML::Scan", (("id.resp_h",), ("192.0.2.66",)), first),
        incident_id("ZeekML::Scan", (("id.orig_h",), ("192.0.2.6",)), replace(first, uid="6C0")),
        incident_id("ZeekML::Scan", KEY, replace(first, uid="C1")),
        incident_id("ZeekML::Scan", KEY, replace(first, ts=1000.000001)),
        incident_id("ZeekML::Scan", KEY, replace(first, sensor="suricata")),
        incident_id("ZeekML::Scan", KEY, replace(first, uid=None)),
        incident_id("ZeekML::Scan", KEY, replace(first, uid=None, orig_p=1)),
    }
    assert len(others | {known}) == 9


def test_the_groups_name_rests_on_note_and_group_alone(first: QuotedFlow) -> None:
    by_host = group_key(("id.orig_h",), first)
    known = group_name("ZeekML::Scan", by_host)
    assert known == group_name("ZeekML::Scan", KEY)
    assert len(known) == 16
    assert known != incident_id("ZeekML::Scan", KEY, first)[:16]
    other_sensor = replace(first, sensor="suricata", uid="1234", ts=1001.0, orig_p=1, service="x")
    assert group_name("ZeekML::Scan", group_key(("id.orig_h",), other_sensor)) == known
    others = {
        group_name("ZeekML::Web_Attack", by_host),
        group_name("ZeekML::Scan", (("id.resp_h",), by_host[1])),
        group_name("ZeekML::Scan", group_key(("id.orig_h", "id.resp_h"), first)),
        group_name("ZeekML::Scan", group_key(("id.orig_h", "id.resp_p"), first)),
        group_name("ZeekML::Scan", group_key(("id.orig_h",), replace(first, orig_h="192.0.2.1"))),
    }
    assert len(others | {known}) == 6


def test_any_text_can_be_hashed(first: QuotedFlow) -> None:
    assert len(incident_id("ZeekML::Scan", KEY, replace(first, uid="\ud83d\x00\x1b"))) == 24


@pytest.mark.parametrize(
    ("proto", "have"), [("tcp", True), ("udp", True), ("icmp6", False), ("ipv6-icmp", False)]
)
def test_which_protocols_have_ports(proto: str, have: bool) -> None:
    assert has_ports(proto) == have


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        # from the baselines of the Community ID specification
        (("128.232.110.120", 34855, "66.35.250.204", 80, "tcp"), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (("192.168.1.52", 54585, "8.8.8.8", 53, "udp"), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        (("192.168.0.89", 8, "192.168.0.1", 0, "icmp"), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        (("192.168.170.8", 7, "192.168.170.56", 80, "sctp"), "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="),
        (("fe80::200:86ff:fe05:80da", 135, "fe80::260:97ff:fe07:69ea", 0, "icmp"),
         "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="),
    ],
)  # fmt: skip
def test_known_community_ids(flow: tuple[str, int, str, int, str], expected: str) -> None:
    assert community_id(*flow) == expected


def test_both_directions_share_one_community_id() -> None:
    there = community_id("10.0.0.1", 40000, "2001:db8::1", 80, "tcp")
    assert there is None  # no flow has an address of each version
    assert community_id("2001:db8::2", 4000, "2001:db8::1", 80, "tcp") == community_id(
        "2001:0db8::0001", 80, "2001:db8:0::2", 4000, "tcp"
    )


@pytest.mark.parametrize(
    "flow",
    [
        ("10.0.0.1", None, "10.0.0.2", 80, "tcp"),
        ("10.0.0.1", 1, "10.0.0.2", None, "udp"),
        ("10.0.0.1", 1, "10.0.0.2", 2, "gre"),
        ("10.0.0.1", 1, "10.0.0.2", 2, "icmp6"),
        ("10.0.0.1", 70000, "10.0.0.2", 2, "tcp"),
        ("10.0.0.1", -1, "10.0.0.2", 2, "tcp"),
        ("not an address\x1b", 1, "10.0.0.2", 2, "tcp"),
        ("\x01\x02\x03\x04", 1, "10.0.0.2", 2, "tcp"),
        ("fe80::1%eth0", 1, "fe80::2", 2, "tcp"),
        ("", 1, "", 2, "tcp"),
    ],
)
def test_no_community_id(flow: tuple[str, int | None, str, int | None, str]) -> None:
    assert community_id(*flow) is None
