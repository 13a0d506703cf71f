from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notice_fixtures import Candidate

from zeekml.detection.notice import Notice, Tally
from zeekml.detection.policy import Policy, load_policy
from zeekml.detection.rules import Limits
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import score_of
from zeekml.errors import ConfigError

MakeCandidate = Callable[..., Candidate]
MakeTracker = Callable[..., Any]
MakePolicy = Callable[..., Policy]


def run(tracker: Any, flows: list[Candidate], end: float | None = None) -> list[Notice]:
    return tracker.take(*flows) + tracker.close(flows[-1].clock if end is None else end)


def shape(notices: list[Notice]) -> list[tuple[str, str, int, int]]:
    return [(n.threat, n.state, n.seq, n.flows) for n in notices]


def test_an_incident_from_opening_to_closing(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    tracker = make_tracker(explain=lambda flow: (f"because of {flow.uid}",))
    # opens with the third flow; 100 s later the next line is due, with the flow at 103
    flows = [make_candidate(c, resp_h=f"10.0.0.{c}") for c in (0, 1, 2, 50, 101, 103, 104)]
    notices = run(tracker, flows, 2000.0)
    assert shape(notices) == [
        ("scan", "open", 0, 3),
        ("scan", "update", 1, 6),
        ("scan", "closed", 2, 7),
    ]
    assert [n.ts for n in notices] == [1002.0, 1103.0, 1204.0]
    assert [n.flow.uid for n in notices] == ["C2", "C103", "C104"]
    assert [n.why for n in notices] == [
        ("because of C2",),
        ("because of C103",),
        ("because of C103",),
    ]
    assert len({n.id for n in notices}) == 1
    opening = notices[0]
    assert (opening.src, opening.dst, opening.p) == ("192.0.2.66", None, 80)
    assert (opening.first_ts, opening.last_ts) == (1000.0, 1002.0)
    assert opening.destinations == Tally(3)
    assert (opening.bundle, opening.features) == ("0123456789ab", "fedcba987654")
    assert opening.note == "ZeekML::Scan"
    assert opening.msg == "192.0.2.66 scanned 3 hosts on tcp/80 (3 flows in 2 s)"
    assert opening.flow.community_id is not None
    assert tracker.suppressed == 3  # 50, 101, 104
    assert tracker.opened == {"ZeekML::Scan": 1}
    assert tracker.open_incidents() == 0


def test_too_few_flows_scores_or_members(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    assert run(make_tracker(), [make_candidate(c) for c in (0, 1)]) == []
    # three flows, but never three within the window of 60 s
    assert run(make_tracker(), [make_candidate(c) for c in (0, 30, 60)]) == []
    assert run(make_tracker(), [make_candidate(c, score=0.49) for c in range(9)]) == []
    # the members do not agree, and then they do
    agreed = [make_candidate(c, score=0.5) for c in range(3)]
    alone = [replace(f, members=(0.9, 0.9, 0.1, 0.1, 0.1)) for f in agreed]
    assert run(make_tracker(), alone) == []
    assert shape(run(make_tracker(), agreed)) == [("scan", "open", 0, 3), ("scan", "closed", 1, 3)]
    # the mean is .5, but two of the three speak for benign
    mixed = [replace(f, score=s) for f, s in zip(agreed, (0.2, 0.4, 0.9), strict=True)]
    assert run(make_tracker(), mixed) == []


def test_a_flow_that_speaks_for_benign_extends_no_incident(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    scan = [make_candidate(c, score=0.9) for c in range(5)]
    after = [make_candidate(c, score=0.49) for c in range(5, 100, 5)]
    notices = run(make_tracker(), [*scan, *after])
    assert shape(notices) == [("scan", "open", 0, 3), ("scan", "closed", 1, 5)]
    lone = [make_candidate(c, members=(0.9, 0.9, 0.1, 0.1, 0.1)) for c in range(5)]
    assert run(make_tracker(), lone) == []


def test_missing_flows_count_as_zero(
    make_tracker: MakeTracker, make_policy: MakePolicy, make_candidate: MakeCandidate
) -> None:
    policy = make_policy(minimum_flows=1, top=4)
    flows = [make_candidate(c, score=0.9) for c in range(3)]
    assert len(make_tracker(policy).take(flows[0])) == 0
    # two of .9 make (.9 + .9) / 4 = .45, three make .675
    assert [n.flows for n in run(make_tracker(policy), flows)] == [3, 3]


def test_fewer_members_than_asked_for_must_all_agree(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    agreed = [make_candidate(c, members=(0.9, 0.9)) for c in range(3)]
    assert len(run(make_tracker(), agreed)) == 2
    split = [make_candidate(c, members=(0.9, 0.1)) for c in range(3)]
    assert run(make_tracker(), split) == []


def test_a_wavering_scan_is_one_incident(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    flows = [
        make_candidate(c, threat=("scan", "scan", "bruteforce")[c % 3], share=0.5, score=0.95)
        for c in range(60)
    ]
    assert shape(run(make_tracker(), flows)) == [("scan", "open", 0, 3), ("scan", "closed", 1, 60)]


def test_a_clear_second_threat_opens_its_own(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    scan = [make_candidate(c) for c in range(5)]
    web = [make_candidate(10 + c, threat="web", share=0.97) for c in range(5)]
    notices = run(make_tracker(), scan + web + [make_candidate(20)])
    assert shape(notices) == [
        ("scan", "open", 0, 3),
        ("web", "open", 0, 3),
        # two web flows had come before web opened: those were the scan's, as was the last flow
        ("scan", "closed", 1, 8),
        ("web", "closed", 1, 5),
    ]


def test_flows_that_left_the_window_are_no_evidence_of_a_second_threat(
    make_tracker: MakeTracker, make_policy: MakePolicy, make_candidate: MakeCandidate
) -> None:
    policy = make_policy(top=1)
    flows = [
        make_candidate(c, threat="web" if c in (10, 11, 80, 81, 82) else "scan", share=0.97)
        for c in (0, 1, 2, 10, 11, 50, 80, 81, 82)
    ]
    assert shape(run(make_tracker(policy), flows[:7])) == [
        ("scan", "open", 0, 3),
        ("scan", "closed", 1, 7),
    ]
    # two more make three within a minute
    opened = [n.threat for n in run(make_tracker(policy), flows) if n.state == "open"]
    assert opened == ["scan", "web"]


def test_a_flood_from_forged_sources_is_one_incident(
    make_tracker: MakeTracker, make_candidate: MakeCandidate, make_policy: MakePolicy
) -> None:
    flows = [
        make_candidate(c / 100, "dos", orig_h=f"192.0.2.{c % 128}", score=0.97) for c in range(640)
    ]
    tracker = make_tracker()
    notices = run(tracker, flows)
    assert shape(notices) == [("dos", "open", 0, 3), ("dos", "closed", 1, 640)]
    assert notices[-1].src is None
    assert notices[-1].dst == "10.20.0.10"
    assert notices[-1].sources == Tally(128)
    assert notices[-1].msg == (
        "10.20.0.10:80 was flooded from 128 sources (640 flows in 6 s, over)"
    )
    assert tracker.suppressed == 640 - 3


def test_a_flood_of_a_host_that_is_scanned_meanwhile_is_seen(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    # the scan's scores are higher, so it wins every vote in the group of the host they share
    flows = [
        make_candidate(n / 10, "scan", orig_h="192.0.2.200", score=0.999)
        if n % 3 == 0
        else make_candidate(n / 10, "dos", orig_h=f"192.0.2.{n % 100}", score=0.97)
        for n in range(300)
    ]
    opened = [n for n in run(make_tracker(), flows) if n.seq == 0]
    assert sorted(n.threat for n in opened) == ["dos", "scan"]


def test_wavering_forged_sources_open_no_scans(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    # each source sends ten flows, of which every third looks like a scan
    flows = [
        make_candidate(
            n / 100,
            "scan" if n % 3 == 2 else "dos",
            share=0.6,
            orig_h=f"192.0.2.{n // 10}",
            score=0.97,
        )
        for n in range(500)
    ]
    assert [n.threat for n in run(make_tracker(), flows)] == ["dos", "dos"]


def test_a_long_wavering_flood_wins_no_vote_in_its_sources_group(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    # scores vary, so that now and then most of the highest three look like a scan
    flows = [
        make_candidate(
            n / 100,
            "scan" if n % 3 == 2 else "dos",
            share=0.5,
            score=0.9 + (n * 7919 % 1000) / 10_000,
        )
        for n in range(2000)
    ]
    assert [n.threat for n in run(make_tracker(), flows)] == ["dos", "dos"]


def test_a_flood_opens_although_its_target_was_just_scanned(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    scan = [make_candidate(n / 10, resp_p=n, score=0.6) for n in range(30)]
    flood = [make_candidate(10 + n, "dos", share=0.5, orig_h="192.0.2.9") for n in range(10)]
    notices = run(make_tracker(), scan + flood)
    assert shape(notices) == [
        ("scan", "open", 0, 3),
        ("dos", "open", 0, 3),
        ("scan", "closed", 1, 30),
        ("dos", "closed", 1, 10),
    ]


def test_one_host_that_scans_and_then_floods_is_both(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    scan = [make_candidate(n / 10, resp_p=n, score=0.6) for n in range(8)]
    flood = [make_candidate(10 + n, "dos", share=0.5) for n in range(20)]
    notices = run(make_tracker(), scan + flood)
    # once there are more flows of the flood than of the scan between the two hosts
    assert [(n.threat, n.ts) for n in notices if n.state == "open"] == [
        ("scan", 1000.2),
        ("dos", 1018.0),
    ]


def test_flood_flows_do_not_feed_the_sources_own_incident(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    scan = [make_candidate(c, resp_h=f"10.0.0.{c}") for c in range(3)]
    flood = [make_candidate(10 + c, "dos", share=0.97, resp_h="10.0.0.99") for c in range(20)]
    notices = run(make_tracker(), scan + flood)
    closed = {n.threat: n.flows for n in notices if n.state == "closed"}
    # the flood's flows before its incident opened were the scan's
    assert closed == {"scan": 5, "dos": 20}


def test_flows_of_another_incident_do_not_fill_the_minimum(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    others = [make_candidate(0, "dos", orig_h=f"10.0.0.{n}") for n in range(3)]
    flood = [make_candidate(1, "dos", orig_h="192.0.2.66")]
    web = [make_candidate(2 + c, "web", share=0.99) for c in range(3)]
    notices = run(make_tracker(), others + flood + web)
    assert [n.ts for n in notices if n.state == "open"] == [1000.0, 1004.0]
    assert [(n.threat, n.flows) for n in notices[:2]] == [("dos", 3), ("web", 3)]


def lent(make: MakeCandidate, share: float, **of: Any) -> list[Candidate]:
    """Five flows with a score of 0.6 that look like web attacks, and by this share like scans."""
    classes = tuple({"web": 1 - share, "scan": share}.get(threat, 0.0) for threat in THREATS)
    return [make(c, "web", score=0.6, classes=classes, **of) for c in range(5)]


def test_the_threshold_of_another_likely_threat_lets_the_likeliest_through(
    make_tracker: MakeTracker, make_policy: MakePolicy, make_candidate: MakeCandidate
) -> None:
    web = {"threshold": 0.9}
    tracker = make_tracker(make_policy(web=web))
    notices = run(tracker, lent(make_candidate, 0.25))
    assert shape(notices) == [("web", "open", 0, 3), ("web", "closed", 1, 5)]
    assert run(make_tracker(make_policy(web=web)), lent(make_candidate, 0.24)) == []
    # flows and members are those that the other asks for
    few = make_policy(web=web, scan={"minimum_flows": 4})
    assert shape(run(make_tracker(few), lent(make_candidate, 0.4)))[0][3] == 4
    doubted = lent(make_candidate, 0.4, members=(0.9, 0.9, 0.4, 0.4, 0.4))
    assert run(make_tracker(make_policy(web=web)), doubted) == []
    strict = make_policy(web=web | {"minimum_flows": 99, "minimum_members": 5})
    assert run(make_tracker(strict), lent(make_candidate, 0.4))


def test_a_name_of_another_group_or_one_that_is_off_lends_nothing(
    make_tracker: MakeTracker, make_policy: MakePolicy, make_candidate: MakeCandidate
) -> None:
    for web in ({"enabled": False}, {"threshold": 0.9, "group_by": ("id.resp_h",)}):
        assert run(make_tracker(make_policy(web=web)), lent(make_candidate, 0.4)) == []


def test_a_silenced_threat_is_not_reported_as_another(
    make_tracker: MakeTracker, make_policy: MakePolicy, make_candidate: MakeCandidate
) -> None:
    policy = make_policy(scan={"enabled": False})
    flows = [make_candidate(c, share=0.6) for c in range(20)]
    assert run(make_tracker(policy), flows) == []
    assert run(make_tracker(make_policy(enabled=False)), flows) == []


def test_closing_lines_come_in_order_before_later_flows(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    flows = [make_candidate(0, orig_h=h) for h in ("10.0.0.1", "10.0.0.2") for _ in range(3)]
    flows += [make_candidate(50, orig_h="10.0.0.3") for _ in range(3)]
    # exactly at its due time an incident is over: this flow belongs to a new window
    flows += [make_candidate(100, orig_h="10.0.0.1")]
    tracker = make_tracker()
    notices = [n for flow in flows for n in tracker.take(flow)]
    closed = [n for n in notices if n.state == "closed"]
    assert [n.ts for n in closed] == [1100.0, 1100.0]
    assert [n.id for n in closed] == sorted(n.id for n in closed)
    assert tracker.advance(1149.9) == []
    assert [(n.src, n.ts) for n in tracker.advance(5000.0)] == [("10.0.0.3", 1150.0)]
    assert tracker.advance(9000.0) == []


def test_closing_lines_stay_in_order_when_flows_have_come_since(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    tracker = make_tracker()
    for clock, host in ((0, 1), (0, 1), (0, 1), (5, 2), (5, 2), (5, 2), (90, 1)):
        tracker.take(make_candidate(clock, orig_h=f"10.0.0.{host}"))
    # the first incident was due first until its last flow came
    assert [(n.src, n.ts) for n in tracker.advance(9000.0)] == [
        ("10.0.0.2", 1105.0),
        ("10.0.0.1", 1190.0),
    ]


def test_the_end_of_input_closes_in_order_of_opening(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    tracker = make_tracker()
    for host in ("10.0.0.9", "10.0.0.1", "10.0.0.5"):
        for _ in range(3):
            tracker.take(make_candidate(0, orig_h=host))
    notices = tracker.close(1001.0)
    assert [n.src for n in notices] == ["10.0.0.9", "10.0.0.1", "10.0.0.5"]
    assert {n.ts for n in notices} == {1001.0}
    assert tracker.close(9000.0) == []


def test_an_incident_over_and_done_opens_anew_under_another_name(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    flows = [make_candidate(c) for c in (0, 1, 2, 200, 201, 202)]
    notices = run(make_tracker(), flows)
    assert shape(notices) == [("scan", "open", 0, 3), ("scan", "closed", 1, 3)] * 2
    assert notices[0].id == notices[1].id != notices[2].id == notices[3].id


def test_a_clock_that_falls_is_held(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    flows = [make_candidate(c) for c in (10, 11, 5)]
    assert [n.ts for n in run(make_tracker(), flows)] == [1011.0, 1011.0]


def test_a_bundle_that_cannot_tell_threats(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    nan = float("nan")
    flows = [make_candidate(c, threat="", classes=(nan,) * 7, spread=nan) for c in range(3)]
    notices = run(make_tracker(), flows)
    assert [n.note for n in notices] == ["ZeekML::Malware_Spread"] * 2
    assert notices[0].msg == (
        "192.0.2.66 behaved maliciously towards 10.20.0.10:80, threat unknown (3 flows in 2 s)"
    )
    assert notices[0].spread is None


def test_thresholds_come_from_the_bundle_unless_the_policy_sets_them(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    def tracker(thresholds: dict[str, float]) -> Any:
        return make_tracker(load_policy(), thresholds=thresholds)

    flows = [make_candidate(c, score=0.8) for c in range(9)]
    low = run(tracker(dict.fromkeys(THREATS, 0.7)), flows)
    assert low[0].threshold == 0.7
    assert run(tracker(dict.fromkeys(THREATS, 0.81)), flows) == []
    with pytest.raises(ConfigError, match="auto"):
        tracker({"dos": 0.5})


def test_the_base_rate_of_scores_changes_no_decision(
    make_tracker: MakeTracker, make_policy: MakePolicy, make_candidate: MakeCandidate
) -> None:
    rng = np.random.default_rng(4)
    flows = [
        make_candidate(
            float(10 * i), ("scan", "bruteforce")[i % 2], score=s, resp_h=f"10.0.0.{i % 5}"
        )
        for i, s in enumerate(rng.uniform(0.3, 0.99, 200).tolist())
    ]
    rare = [
        replace(flow, score=score, members=(score,) * 5)
        for flow, score in zip(flows, score_of([f.score for f in flows], 0.01), strict=True)
    ]
    even = run(make_tracker(make_policy(threshold=0.7)), flows)
    threshold = float(score_of(0.7, 0.01))
    low = run(make_tracker(make_policy(threshold=threshold), base_rate=0.01), rare)
    assert [n.state for n in even].count("open") > 1
    assert [(n.id, n.ts, n.flows) for n in low] == [(n.id, n.ts, n.flows) for n in even]
    assert {n.threshold for n in low} == {threshold}


def test_hostile_text_never_reaches_a_notice(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    nasty = "x\t\n\x1b]0;title\x07\x9b2J\u202e[red]" + "y" * 5000
    flows = [
        make_candidate(
            c,
            uid=nasty,
            service=nasty,
            proto=nasty,
            orig_h=nasty,
            resp_h=nasty,
            community_id=nasty,
            signatures=(nasty,),
        )
        for c in range(3)
    ]
    for notice in run(make_tracker(explain=lambda _: (nasty,) * 99), flows):
        texts = [notice.msg, notice.sub, notice.src, notice.dst, *notice.why, *notice.signatures]
        flow = notice.flow
        texts += [flow.uid, flow.orig_h, flow.resp_h, flow.proto, flow.service, flow.community_id]
        for text in texts:
            assert text is not None
            assert text.isprintable()
            assert len(text) <= 400
        assert len(notice.why) == 16


def test_open_incidents_are_bounded(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    tracker = make_tracker(limits=Limits(incidents=2))
    flows = [
        make_candidate(n, orig_h=f"10.0.0.{host}")
        for n, host in enumerate((1, 1, 1, 2, 2, 2, 1, 3, 3, 3, 2))
    ]
    notices = run(tracker, flows)
    # the host heard of least recently makes room, and its old flows do not open it again
    assert [(n.src, n.state, n.ts) for n in notices[:4]] == [
        ("10.0.0.1", "open", 1002.0),
        ("10.0.0.2", "open", 1005.0),
        ("10.0.0.2", "closed", 1009.0),
        ("10.0.0.3", "open", 1009.0),
    ]
    assert [n.state for n in notices[4:]] == ["closed", "closed"]
    assert tracker.cut_short == 1


def test_an_incident_cut_short_does_not_open_again_on_the_same_flows(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    # every flow looks most like something else, all together most like a scan
    looks = [
        ("bruteforce", (0.0, 0.4, 0.6, 0.0, 0.0, 0.0, 0.0)),
        ("web", (0.0, 0.4, 0.0, 0.0, 0.0, 0.6, 0.0)),
        ("malware", (0.0, 0.4, 0.0, 0.0, 0.0, 0.0, 0.6)),
    ]
    mixed = [
        make_candidate(n, threat, classes=classes, orig_h="10.0.0.1")
        for n, (threat, classes) in enumerate([*looks, looks[0]])
    ]
    other = [make_candidate(n, orig_h="10.0.0.2") for n in (2, 2, 2)]
    notices = run(make_tracker(limits=Limits(incidents=1)), mixed[:3] + other + mixed[3:])
    assert [(n.src, n.threat, n.state) for n in notices] == [
        ("10.0.0.1", "scan", "open"),
        ("10.0.0.1", "scan", "closed"),
        ("10.0.0.2", "scan", "open"),
        ("10.0.0.2", "scan", "closed"),
    ]


def test_remembered_values_are_bounded(
    make_tracker: MakeTracker, make_candidate: MakeCandidate
) -> None:
    tracker = make_tracker(limits=Limits(values=20))
    flows = [make_candidate(n / 10, resp_h=f"10.0.{n}.1") for n in range(100)]
    notices = run(tracker, flows)
    assert notices[-1].destinations == Tally(18, more=True)
    # closing gives the room back
    again = [replace(f, clock=f.clock + 500, resp_h="10.9.9.9") for f in flows]
    assert run(tracker, again)[-1].destinations == Tally(1)


moves = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.25, 1.0, 7.0, 30.0, 61.0, 100.0]),  # seconds since the flow before
        st.sampled_from(THREATS[:4]),
        st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        st.sampled_from(["10.1.0.1", "10.1.0.2"]),
        st.sampled_from([0.2, 0.5, 0.8, 0.99]),
        st.sampled_from([0.3, 0.6, 0.97]),
    ),
    min_size=1,
    max_size=80,
)


def flows_of(make: MakeCandidate, drawn: list[Any]) -> list[Candidate]:
    clock = 0.0
    flows: list[Candidate] = []
    for number, (step, threat, orig, resp, score, share) in enumerate(drawn):
        clock += step
        flows.append(
            make(clock, threat, share, orig_h=orig, resp_h=resp, score=score, uid=f"C{number}")
        )
    return flows


@settings(max_examples=60)
@given(moves, st.data())
def test_asking_what_is_due_changes_nothing(
    make_tracker: MakeTracker,
    make_policy: MakePolicy,
    make_candidate: MakeCandidate,
    drawn: list[Any],
    data: st.DataObject,
) -> None:
    flows = flows_of(make_candidate, drawn)
    limits = Limits(groups=4, rows=40, incidents=3, values=12)
    policy = make_policy(scan={"window": 20.0, "top": 2}, dos={"suppress_for": 300.0})
    plain, asked = make_tracker(policy, limits), make_tracker(policy, limits)
    expected = run(plain, flows)
    notices: list[Notice] = []
    for flow, after in zip(flows, [*flows[1:], None], strict=True):
        notices += asked.take(flow)
        latest = flow.clock if after is None else after.clock
        for _ in range(data.draw(st.integers(0, 2))):
            notices += asked.advance(data.draw(st.floats(flow.clock, latest)))
    notices += asked.close(flows[-1].clock)
    assert notices == expected
    assert (asked.suppressed, asked.cut_short, asked.evicted_groups, asked.dropped_rows) == (
        plain.suppressed,
        plain.cut_short,
        plain.evicted_groups,
        plain.dropped_rows,
    )


@settings(max_examples=60)
@given(moves)
def test_what_holds_of_every_incident(
    make_tracker: MakeTracker, make_candidate: MakeCandidate, drawn: list[Any]
) -> None:
    flows = flows_of(make_candidate, drawn)
    tracker = make_tracker()
    notices = run(tracker, flows)
    assert [n.ts for n in notices] == sorted(n.ts for n in notices)
    assert tracker.suppressed + len([n for n in notices if n.state == "update"]) <= len(flows)
    incidents: dict[str, list[Notice]] = defaultdict(list)
    for notice in notices:
        incidents[notice.id].append(notice)
    assert tracker.opened.total() == len(incidents)
    spans: dict[Any, list[tuple[float, float]]] = defaultdict(list)
    for lines in incidents.values():
        assert [n.seq for n in lines] == list(range(len(lines)))
        states = [n.state for n in lines]
        assert states == ["open", *["update"] * (len(lines) - 2), "closed"]
        assert [n.flows for n in lines] == sorted(n.flows for n in lines)
        assert [n.score for n in lines] == sorted(n.score for n in lines)
        written = [n.ts for n in lines[:-1]]
        for earlier, later in itertools.pairwise(written):
            assert later - earlier >= 100.0
        assert lines[0].flows >= 3
        host = lines[0].dst if lines[0].threat == "dos" else lines[0].src
        assert host is not None
        spans[lines[0].note, host].append((lines[0].ts, lines[-1].ts))
    for times in spans.values():
        # one host has one incident of a kind at a time
        for (_, end), (start, _) in itertools.pairwise(times):
            assert end < start
