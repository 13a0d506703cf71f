from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from notice_fixtures import Candidate

from zeekml.detection.incidents._incidents import MAX_DISTINCT, MAX_TOLD_SETS
from zeekml.detection.incidents.message import Incident
from zeekml.detection.incidents.notice_builder import MAX_TOLD
from zeekml.detection.notice import Notice, Tally

MakeCandidate = Callable[..., Candidate]
MakeIncident = Callable[..., Incident]


def run(tracker: Any, flows: list[Candidate]) -> list[Notice]:
    return tracker.take(*flows) + tracker.close(flows[-1].clock)


def test_what_flows_share(make_incident: MakeIncident, make_candidate: MakeCandidate) -> None:
    flows = [
        make_candidate(0, service="ssh"),
        make_candidate(1, resp_h="10.20.0.11", resp_p=None, proto="udp"),
        make_candidate(2),  # what differed once is not shared again
    ]
    first = make_incident("scan", flows[:1])
    assert (first.src, first.dst, first.p) == ("192.0.2.66", "10.20.0.10", 80)
    assert (first.proto, first.service) == ("tcp", "ssh")
    every = make_incident("scan", flows)
    assert (every.src, every.dst, every.p) == ("192.0.2.66", None, None)
    assert (every.proto, every.service) == (None, None)


def test_counts_and_extremes(make_incident: MakeIncident, make_candidate: MakeCandidate) -> None:
    incident = make_incident(
        "scan",
        [
            make_candidate(5, score=0.7, orig_ip_bytes=None, resp_ip_bytes=None),
            make_candidate(3, score=0.99, spread=0.1, end=1090.0, orig_ip_bytes=7),
            make_candidate(4, score=0.8, orig_ip_bytes=5, resp_ip_bytes=None),
        ],
    )
    assert incident.flows == 3
    assert (incident.first_ts, incident.last_ts, incident.end) == (1003.0, 1005.0, 1090.0)
    assert (incident.score, incident.spread) == (0.99, 0.1)
    assert (incident.sent, incident.received) == (12, 40)


def test_bytes_that_nobody_counted_are_not_zero(
    make_incident: MakeIncident, make_candidate: MakeCandidate
) -> None:
    incident = make_incident("scan", [make_candidate(n, resp_ip_bytes=None) for n in range(3)])
    assert incident.received is None


def test_sums_of_absurd_sizes_stop_growing(
    make_incident: MakeIncident, make_candidate: MakeCandidate
) -> None:
    flows = [make_candidate(n, orig_ip_bytes=2**62) for n in range(5)]
    assert make_incident("scan", flows).sent == 2**63 - 1


def test_the_main_value_carries_more_than_half(
    make_incident: MakeIncident, make_candidate: MakeCandidate
) -> None:
    flows = [make_candidate(n, resp_h=f"10.0.0.{n}") for n in range(2)]
    assert make_incident("scan", flows).destinations.main is None
    flows.append(make_candidate(2, resp_h="10.0.0.1", score=0.5))
    incident = make_incident("scan", flows)
    assert incident.destinations.main == "10.0.0.1"
    assert incident.ports.main == ("tcp", 80)


def test_values_nobody_remembers_still_weigh(
    make_incident: MakeIncident, make_candidate: MakeCandidate
) -> None:
    flows = [make_candidate(n, resp_h=f"10.0.0.{n}") for n in range(2)]
    incident = make_incident("scan", flows, values=2)  # a source and a destination
    assert incident.destinations.tally == Tally(1, more=True)
    assert incident.destinations.main is None
    assert incident.ports.tally == Tally(0, more=True)


def test_one_incident_remembers_so_many_values(
    make_incident: MakeIncident, make_candidate: MakeCandidate
) -> None:
    flows = [make_candidate(n, resp_p=1 + n % MAX_DISTINCT) for n in range(2 * MAX_DISTINCT)]
    assert make_incident("scan", flows).ports.tally == Tally(MAX_DISTINCT)
    flows.append(make_candidate(0, resp_p=60_000))
    assert make_incident("scan", flows).ports.tally == Tally(MAX_DISTINCT, more=True)


def test_icmp_has_no_ports(make_incident: MakeIncident, make_candidate: MakeCandidate) -> None:
    for proto in ("icmp", "icmp6", "ipv6-icmp"):
        incident = make_incident("scan", [make_candidate(proto=proto, orig_p=8, resp_p=0)])
        assert incident.ports.tally == Tally(0)
    missing = make_incident("scan", [make_candidate(resp_p=None)])
    assert missing.ports.tally == Tally(0)


def test_signatures_are_bounded_and_plain(
    make_tracker: Callable[..., Any], make_candidate: MakeCandidate
) -> None:
    texts = ("a\x1b[2J", "a\x1b[2J", *(f"rule {n}" for n in range(100)))
    notices = run(make_tracker(), [make_candidate(n, signatures=texts) for n in range(4)])
    assert len(notices[-1].signatures) == MAX_TOLD
    assert notices[0].signatures[:2] == ("a\\x1b[2J", "rule 0")


@pytest.mark.parametrize("column", ["names", "agents", "certificates", "contacts"])
def test_what_flows_were_about_is_bounded_and_plain(
    make_tracker: Callable[..., Any], make_candidate: MakeCandidate, column: str
) -> None:
    sets = [{column: (f"x\u202e{n}", f"y{n}")} for n in range(2 * MAX_TOLD)]
    *opened, closed = run(
        make_tracker(), [make_candidate(n / 100, **s) for n, s in enumerate(sets)]
    )
    told = getattr(closed, column)
    assert len(told) == MAX_TOLD
    assert told[:2] == ("x\\u202e0", "y0")
    assert opened[0].signatures == ()


def test_signatures_of_every_flow_are_noticed(
    make_tracker: Callable[..., Any], make_candidate: MakeCandidate
) -> None:
    # more different sets than are remembered, over and over, before one that has something new
    sets = [("a", "b"), ("b", "a"), *((("a",) * n) for n in range(1, MAX_TOLD_SETS + 8))]
    flows = [make_candidate(n / 100, signatures=s) for n, s in enumerate(sets * 3)]
    flows.append(make_candidate(2, signatures=("b", "c")))
    flows.append(make_candidate(3))
    assert run(make_tracker(), flows)[-1].signatures == ("a", "b", "c")
