"""Incidents that one flow alone opens: by a floor, or by a rule for single flows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from notice_fixtures import Candidate, FlowTracker, columns_of, rules_of

from zeekml.detection.flow_conditions import Condition
from zeekml.detection.flow_rules import FlowRule
from zeekml.detection.incidents.tracker import IncidentTracker
from zeekml.detection.notice import Notice
from zeekml.detection.policy import Policy
from zeekml.ensemble.classes import THREATS
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES

MakeCandidate = Callable[..., Candidate]
MakePolicy = Callable[..., Policy]
MakeTracker = Callable[..., FlowTracker]

DOS, SCAN, C2 = (1 << THREATS.index(threat) for threat in ("dos", "scan", "c2"))


def opened(notices: list[Notice]) -> list[tuple[str, float, int]]:
    return [(n.threat, n.ts - 1000.0, n.flows) for n in notices if n.state == "open"]


def closed(notices: list[Notice]) -> list[tuple[str, float, int]]:
    return [(n.threat, n.ts - 1000.0, n.flows) for n in notices if n.state == "closed"]


def test_one_flow_opens_whatever_it_scores(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    quiet: dict[str, Any] = {"score": 0.001, "members": (0.0,) * 5}
    flows = [make_candidate(0, "c2", **quiet), make_candidate(1, "c2", **quiet, enough=SCAN)]
    # further ones keep it open, others that speak for benign do not
    flows += [make_candidate(c, "c2", **quiet, enough=SCAN) for c in (50, 140)]
    flows += [make_candidate(200, "c2", **quiet)]
    notices = make_tracker().take(*flows)
    assert opened(notices) == [("scan", 1.0, 1)]
    assert notices[0].score == 0.001
    assert not closed(notices)
    assert closed(make_tracker().take(*flows, make_candidate(999))) == [("scan", 240.0, 3)]


def test_earlier_flows_of_the_threat_belong_to_it(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    # one scan is not enough for the three flows that are asked for; the web flow is no scan
    flows = [make_candidate(0), make_candidate(1, "web", score=0.6)]
    assert opened(make_tracker().take(*flows)) == []
    assert opened(make_tracker().take(*flows, make_candidate(2, enough=SCAN))) == [("scan", 2.0, 2)]


def test_it_opens_beside_another_incident_of_the_group(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    web = [make_candidate(c, "web") for c in range(3)]
    notices = make_tracker().take(*web, make_candidate(9, "web", enough=SCAN))
    assert opened(notices) == [("web", 2.0, 3), ("scan", 9.0, 1)]


def test_each_threat_is_reported_in_its_own_group(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    both = [make_candidate(c, resp_h="10.1.0.1", enough=DOS | SCAN) for c in range(4)]
    other = make_candidate(4, orig_h="10.9.9.9", resp_h="10.1.0.1", enough=DOS)
    notices = make_tracker().take(*both, other)
    assert sorted(opened(notices)) == [("dos", 0.0, 1), ("scan", 0.0, 1)]
    # all of them keep the flood open although the scan has them too
    notices += make_tracker().take(*both, other, make_candidate(999))
    assert sorted(closed(notices)) == [("dos", 104.0, 5), ("scan", 103.0, 4)]


def test_a_detector_that_is_off_opens_nothing(
    make_tracker: MakeTracker, make_policy: MakePolicy, make_candidate: MakeCandidate
) -> None:
    tracker = make_tracker(make_policy(scan={"enabled": False}))
    assert tracker.take(make_candidate(0, enough=SCAN)) == []


def test_a_resolver_may_have_asked_for_a_client(
    make_policy: MakePolicy, make_candidate: MakeCandidate
) -> None:
    def messages(port: int, asked_by: float, threat: str = "c2") -> list[str]:
        flows = [make_candidate(c, threat, resp_p=port, proto="udp") for c in range(3)]
        matrix = np.full((3, len(FEATURES)), np.nan, np.float32)
        place = FEATURE_INDEX["src_indegree"]
        matrix[:, place] = FEATURES[place].stored(asked_by)
        tracker = IncidentTracker(rules_of(make_policy()))
        lines = [*tracker.add(replace(columns_of(flows), matrix=matrix)), *tracker.close()]
        return [line.notice.msg for line in lines]

    words = "192.0.2.66 (or a client of this resolver, if it is one)"
    assert all(msg.startswith(f"{words} kept in touch") for msg in messages(53, 1))
    assert all(msg.startswith(f"{words} sent") for msg in messages(53, 9, "exfil"))
    for other in (messages(53, 0), messages(443, 1), messages(53, 1, "scan"), messages(53, np.nan)):
        assert not any("resolver" in msg for msg in other)


def test_the_notice_says_so(make_policy: MakePolicy, make_candidate: MakeCandidate) -> None:
    floor = FlowRule((Condition("src60_hosts", ">=", 50.0),))
    alone = FlowRule((Condition("duration", ">=", 600.0),), 0.5)
    rules = rules_of(make_policy(scan={"floor": (floor,)}, c2={"alone": (alone,)}))
    flows = [make_candidate(0, enough=SCAN), make_candidate(1, "c2", enough=C2)]
    matrix = np.full((2, len(FEATURES)), np.nan, np.float32)
    for row, name, value in ((0, "src60_hosts", 99.0), (1, "duration", 3600.0)):
        matrix[row, FEATURE_INDEX[name]] = FEATURES[FEATURE_INDEX[name]].stored(value)
    tracker = IncidentTracker(rules)
    lines = tracker.add(replace(columns_of(flows), matrix=matrix))
    first, second = (line.explained(["src60_hosts=99 …"]) for line in lines)
    words = "floor: 50 or more hosts contacted by the source in 60 s"
    assert first.why == (words, "src60_hosts=99 …")
    assert first.msg == f"192.0.2.66 scanned 10.20.0.10:80 (1 flow; {words})"
    assert words in first.sub.split("; ")
    words = "alone: 10 min or more long and a score of 0.5 or more"
    assert second.why[0] == words
    assert second.msg.endswith("(1 flow; alone: 10 min or more long)")
    # a restart forgets none of it
    lines = IncidentTracker.load(tracker.save()).close(2000.0)
    assert [line.explained().why[0].partition(":")[0] for line in lines] == ["floor", "alone"]
    assert lines[0].notice.msg.endswith(
        "(1 flow, over; floor: 50 or more hosts contacted by the source in 60 s)"
    )
