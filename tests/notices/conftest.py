"""Factories that the tests of notices share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from zeekml.ensemble.classes import THREATS
from zeekml.notices.incidents import IncidentTracker, Limits
from zeekml.notices.notice import Candidate, Flow, Notice, Tally
from zeekml.notices.policy import Band, Detector, Policy, load_policy

MakeCandidate = Callable[..., Candidate]
MakeTracker = Callable[..., IncidentTracker]
MakePolicy = Callable[..., Policy]


@pytest.fixture(scope="session")
def make_candidate() -> MakeCandidate:
    """Candidate of a scan at second `clock`; `share` is what its own threat gets of the classes."""

    def make(clock: float = 0.0, threat: str = "scan", share: float = 0.94, **changes: Any) -> Any:
        score = changes.get("score", 0.9)
        rest = (1.0 - share) / (len(THREATS) - 1)
        values: dict[str, Any] = {
            "clock": 1000.0 + clock,
            "ts": 1000.0 + clock,
            "end": 1000.0 + clock,
            "sensor": "zeek",
            "uid": f"C{clock:g}",
            "orig_h": "192.0.2.66",
            "orig_p": 40000,
            "resp_h": "10.20.0.10",
            "resp_p": 80,
            "proto": "tcp",
            "service": None,
            "community_id": None,
            "signatures": (),
            "orig_ip_bytes": 100,
            "resp_ip_bytes": 40,
            "score": score,
            "threat": threat,
            "classes": tuple(share if t == threat else rest for t in THREATS),
            "spread": 0.02,
            "members": (score,) * 5,
            "row": 0,
        }
        return Candidate(**(values | changes))

    return make


@pytest.fixture(scope="session")
def make_policy() -> MakePolicy:
    """The shipped policy with quick detectors; `changes` apply to all, or to one threat."""

    def make(**changes: Any) -> Policy:
        shipped = load_policy()
        quick: dict[str, Any] = {
            "threshold": 0.5,
            "window": 60.0,
            "top": 3,
            "minimum_flows": 3,
            "minimum_members": 3,
            "suppress_for": 100.0,
            "bands": (Band(0.0, 1, "medium"), Band(0.95, 1, "high")),
        }
        for_all = {k: v for k, v in changes.items() if k not in THREATS}
        detectors: list[Detector] = [
            replace(d, **(quick | for_all | changes.get(d.threat, {}))) for d in shipped.detectors
        ]
        return Policy("policy.yaml", tuple(detectors))

    return make


@pytest.fixture(scope="session")
def make_tracker(make_policy: MakePolicy) -> MakeTracker:
    def make(
        policy: Policy | None = None, limits: Limits | None = None, explain: Any = None
    ) -> IncidentTracker:
        return IncidentTracker(
            make_policy() if policy is None else policy,
            {},
            sensor="office",
            stream="conn",
            bundle="0123456789abcdef" * 4,
            features="fedcba9876543210" * 4,
            explain=explain,
            limits=limits,
        )

    return make


@pytest.fixture(scope="session")
def make_notice() -> Callable[..., Notice]:
    def make(**changes: Any) -> Notice:
        flow = Flow(
            sensor="zeek",
            uid="CmvrSS1wIiuOGYCbfi",
            orig_h="10.20.5.67",
            orig_p=40112,
            resp_h="10.20.1.33",
            resp_p=445,
            proto="tcp",
            service=None,
            community_id="1:wCb3OG7yAFWelaUydu0D+125CLM=",
        )
        notice = Notice(
            state="open",
            seq=0,
            id="0123456789abcdef01234567",
            note="ZeekML::Scan",
            threat="scan",
            ts=1795430487.5,
            flow=flow,
            src="10.20.5.67",
            dst=None,
            p=445,
            msg="10.20.5.67 scanned 41 hosts on tcp/445 (312 flows in 12 s)",
            sub="since 2026-11-23 10:41:25 UTC",
            score=0.9876543210,
            spread=0.0000004,
            threshold=0.75,
            severity="medium",
            flows=312,
            first_ts=1795430485.947001,
            last_ts=1795430487.1,
            sources=Tally(1),
            destinations=Tally(41),
            ports=Tally(1),
            sent_bytes=12480,
            received_bytes=None,
            signatures=("ET SCAN SMB, sweep",),
            why=("src60_hosts=41 (usual 2) +1.83",),
            tactic="TA0043",
            techniques=("T1595", "T1046"),
            suppress_for=900.0,
            bundle="0123456789ab",
            features="fedcba987654",
            sensor="office",
            stream="conn",
        )
        flow_changes = changes.pop("flow", {})
        return replace(notice, flow=replace(flow, **flow_changes), **changes)

    return make
