from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from zeekml.ensemble.classes import THREATS
from zeekml.notices.incident import (
    MAX_DISTINCT,
    MAX_SIGNATURES,
    Allowance,
    Distinct,
    Incident,
    incident_id,
)
from zeekml.notices.notice import Candidate, Tally
from zeekml.notices.policy import Policy
from zeekml.notices.window import Row

KEY = (("id.orig_h",), ("192.0.2.66",))


def test_distinct_counts_and_stops() -> None:
    allowance = Allowance(MAX_DISTINCT + 10)
    values: Distinct[int] = Distinct(allowance)
    for number in [*range(MAX_DISTINCT), *range(MAX_DISTINCT)]:
        values.add(number, 1.0)
    assert values.tally() == Tally(MAX_DISTINCT)
    values.add(-1, 1.0)
    assert values.tally() == Tally(MAX_DISTINCT, more=True)
    assert allowance.left == 10
    values.release()
    assert allowance.left == MAX_DISTINCT + 10


def test_incidents_share_one_allowance() -> None:
    allowance = Allowance(3)
    first: Distinct[int] = Distinct(allowance)
    second: Distinct[int] = Distinct(allowance)
    for number in (1, 2):
        first.add(number, 1.0)
        second.add(number, 1.0)
    assert first.tally() == Tally(2)
    assert second.tally() == Tally(1, more=True)


def test_the_main_value_carries_more_than_half() -> None:
    values: Distinct[str] = Distinct(Allowance(100))
    assert values.main() is None
    values.add("a", 1.0)
    values.add("b", 1.0)
    assert values.main() is None
    values.add("b", 0.1)
    assert values.main() == "b"


def test_values_nobody_remembers_still_weigh() -> None:
    values: Distinct[str] = Distinct(Allowance(1))
    values.add("a", 1.0)
    values.add("b", 1.0)
    assert values.main() is None


@pytest.fixture
def incident(
    make_policy: Callable[..., Policy], make_candidate: Callable[..., Candidate]
) -> Incident:
    scan = THREATS.index("scan")
    return Incident(
        make_policy().detectors[scan], scan, 0.5, KEY, 0, make_candidate(), Allowance(1000)
    )


def test_what_flows_share(incident: Incident, make_candidate: Callable[..., Candidate]) -> None:
    incident.take(Row(make_candidate(service="ssh"), 1000.0))
    assert (incident.src, incident.dst, incident.p) == ("192.0.2.66", "10.20.0.10", 80)
    incident.take(Row(make_candidate(1, resp_h="10.20.0.11", resp_p=None, proto="udp"), 1001.0))
    assert (incident.src, incident.dst, incident.p) == ("192.0.2.66", None, None)
    assert (incident.proto, incident.service) == (None, None)
    incident.take(Row(make_candidate(2), 1002.0))
    assert (incident.dst, incident.p) == (None, None)  # what differed once is not shared again


def test_counts_and_extremes(incident: Incident, make_candidate: Callable[..., Candidate]) -> None:
    flows = [
        make_candidate(5, score=0.7, orig_ip_bytes=None, resp_ip_bytes=None),
        make_candidate(3, score=0.99, spread=0.1, end=1090.0, orig_ip_bytes=7, resp_ip_bytes=None),
        make_candidate(4, score=0.8, orig_ip_bytes=5, resp_ip_bytes=None),
    ]
    for number, flow in enumerate(flows):
        incident.take(Row(flow, 1010.0 + number))
    assert incident.flows == 3
    assert (incident.first_ts, incident.last_ts, incident.end) == (1000.0, 1005.0, 1090.0)
    assert (incident.score, incident.spread) == (0.99, 0.1)
    assert (incident.sent, incident.received) == (12, None)  # not known is not zero
    assert incident.due == 1012.0 + incident.detector.suppress_for


def test_signatures_are_bounded_and_plain(
    incident: Incident, make_candidate: Callable[..., Candidate]
) -> None:
    texts = ("a\x1b[2J", "a\x1b[2J", *(f"rule {n}" for n in range(100)))
    incident.take(Row(make_candidate(signatures=texts), 1000.0))
    assert len(incident.signatures) == MAX_SIGNATURES
    assert next(iter(incident.signatures)) == "a\\x1b[2J"


def test_icmp_has_no_ports(incident: Incident, make_candidate: Callable[..., Candidate]) -> None:
    incident.take(Row(make_candidate(proto="icmp", orig_p=8, resp_p=0), 1000.0))
    assert incident.ports.tally() == Tally(0)


def test_the_id_rests_on_what_it_should(make_candidate: Callable[..., Candidate]) -> None:
    first = make_candidate()
    known = incident_id("ZeekML::Scan", KEY, first)
    assert known == "c48b57eeec1463e5f9279fba"
    same = replace(first, score=0.1, clock=5.0, end=9.0, orig_p=1)
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


def test_any_text_can_be_hashed(make_candidate: Callable[..., Candidate]) -> None:
    first = replace(make_candidate(), uid="\ud83d\x00\x1b")
    assert len(incident_id("ZeekML::Scan", KEY, first)) == 24
