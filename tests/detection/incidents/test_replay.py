"""A replay finds the incidents that the tracker finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from drawn_candidates import PLENTY, candidates_of, detectors_drawn, flows_drawn, limits_drawn
from hypothesis import given, settings
from notice_fixtures import AS_STRONG, Candidate, rules_of

from zeekml.detection.candidates import Candidates
from zeekml.detection.incidents.replay import Replay
from zeekml.detection.incidents.tracker import IncidentTracker
from zeekml.detection.policy import Policy
from zeekml.detection.rules import Limits
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.confidence import percent

MakeCandidate = Callable[..., Candidate]
MakeColumns = Callable[..., Candidates]


@settings(max_examples=40)
@given(flows_drawn, detectors_drawn, detectors_drawn, limits_drawn)
def test_the_incidents_are_those_of_the_tracker(
    make_policy: Callable[..., Policy],
    make_candidate: MakeCandidate,
    make_columns: MakeColumns,
    drawn: list[Any],
    of_dos: dict[str, Any],
    of_scan: dict[str, Any],
    limits: Limits,
) -> None:
    policy = make_policy(
        dos=of_dos,
        scan=of_scan,
        malware={"group_by": ("id.orig_h", "id.resp_p"), "suppress_for": 70.0},
    )
    columns = make_columns(candidates_of(make_candidate, drawn))
    replay = Replay(columns, policy, limits=limits)
    # the same replay at other thresholds first: it keeps nothing
    for other in (0.9, 0.5):
        thresholds = {
            d.threat: other if other > 0.5 or d.threshold is None else d.threshold
            for d in policy.detectors
        }
        raised = replace(
            policy, detectors=tuple(replace(d, threshold=None) for d in policy.detectors)
        )
        tracker = IncidentTracker(rules_of(raised, thresholds, limits=limits, confidence=AS_STRONG))
        lines = [*tracker.add(columns), *tracker.close()]
        opened = [(n.threat, row) for n, row, _ in lines if n.state == "open"]
        found = replay.incidents(thresholds)
        assert [(i.threat, i.opener) for i in found] == opened
        sizes = {n.id: n.flows for n, _, _ in lines}
        assert sorted(len(i.rows) for i in found) == sorted(sizes.values())
        sure = {n.id: n.confidence or 0 for n, _, _ in lines}  # of the last line
        assert sorted(percent(i.strength[-1]) for i in found) == sorted(sure.values())
        for incident in found:
            at = incident.rows.tolist().index(incident.opener)
            assert incident.rows.tolist() == sorted(incident.rows)
            assert np.isnan(incident.evidence[:at]).all()
            assert not np.isnan(incident.evidence[at:]).any()
            # another threat's threshold may have let it pass, and by another window
            own = next(d for d in policy.detectors if d.threat == incident.threat)
            rules = {
                (d.window, d.top)
                for d in policy.detectors
                if d.enabled and d.group_by == own.group_by
            }
            least = min(thresholds.values()) if len(rules) == 1 else np.nextafter(0, 1)
            assert incident.alone or incident.evidence[at] >= least
            assert incident.peak == incident.evidence[at:].max()
            assert (np.diff(incident.strength) >= 0).all()
            assert (incident.strength[at:] >= incident.evidence[at:]).all()


def test_no_higher_threshold_finds_an_incident(
    make_policy: Callable[..., Policy], make_candidate: MakeCandidate, make_columns: MakeColumns
) -> None:
    scores = (0.625, 0.75, 0.75, 0.875, 0.625, 0.5)
    columns = make_columns([make_candidate(n, score=s) for n, s in enumerate(scores)])
    replay = Replay(columns, make_policy(top=2, minimum_members=0), limits=PLENTY)
    (incident,) = replay.incidents(dict.fromkeys(THREATS, 0.5))
    assert (incident.threat, incident.opener, incident.rows.tolist()) == ("scan", 2, [*range(6)])
    assert incident.peak == pytest.approx(0.8125)
    assert [i.opener for i in replay.incidents({"scan": incident.peak})] == [3]
    assert replay.incidents({"scan": np.nextafter(incident.peak, 1.0)}) == []
    # a threat without a threshold keeps its vote
    assert replay.incidents({"dos": 0.5}) == []
    assert Replay(columns.take(np.array([], np.intp)), make_policy()).incidents({"scan": 0.5}) == []
