"""Factories that the tests of notices share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zeekml.detection.candidates import CANDIDATE_COLUMNS, Candidates
from zeekml.detection.incidents.candidate_rows import new_secret, number_rows
from zeekml.detection.incidents.compiled_policy import compile_policy
from zeekml.detection.incidents.flow_store import FlowStore
from zeekml.detection.incidents.message import Incident
from zeekml.detection.incidents.notice_builder import IncidentTexts, Line, NoticeBuilder
from zeekml.detection.incidents.open_incidents import new_open_incidents, open_incident
from zeekml.detection.incidents.sliding_windows import new_windows, place_row
from zeekml.detection.incidents.tracker import IncidentTracker
from zeekml.detection.notice import NOTES, Flow, Notice, Tally
from zeekml.detection.policy import Band, Detector, Policy, load_policy
from zeekml.detection.rules import DetectionRules, Limits, Origin
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import EVEN
from zeekml.readers.flow_schema import FLOW_SCHEMA


@dataclass
class Candidate:
    """A row of `Candidates` as an object."""

    # stream clock when the flow was taken in, epoch seconds; never falls within a stream
    clock: float
    ts: float  # start and end of the flow, epoch seconds
    end: float
    sensor: str  # kind of the sensor that wrote the record
    uid: str | None
    orig_h: str
    orig_p: int | None
    resp_h: str
    resp_p: int | None
    proto: str
    service: str | None
    community_id: str | None
    signatures: tuple[str, ...]
    # bytes of IP packets in each direction; None if the sensor did not say
    orig_ip_bytes: int | None
    resp_ip_bytes: int | None
    score: float  # calibrated probability that the flow is malicious, 0 to 1
    threat: str  # the most likely threat, one of THREATS; empty if the bundle cannot tell
    # P(threat | malicious) for each of THREATS; not finite if the bundle cannot tell
    classes: tuple[float, ...]
    spread: float  # standard deviation of the members' scores
    members: tuple[float, ...]  # each member's calibrated score
    row: int  # the caller's reference to the flow's features; only passed on

    def __post_init__(self) -> None:
        if not (math.isfinite(self.clock) and math.isfinite(self.ts) and math.isfinite(self.end)):
            raise ValueError(f"times must be finite: {self.clock!r}, {self.ts!r}, {self.end!r}")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"a score must lie in 0..1, not {self.score!r}")
        if len(self.classes) != len(THREATS):
            raise ValueError(f"expected {len(THREATS)} class shares, not {len(self.classes)}")
        if self.threat and self.threat not in NOTES:
            raise ValueError(f"unknown threat {self.threat!r}")


MakeCandidate = Callable[..., Candidate]
MakeColumns = Callable[[Sequence[Candidate]], Candidates]
MakePolicy = Callable[..., Policy]


Explain = Callable[[Candidate], tuple[str, ...]]


class FlowTracker:
    """A tracker that takes candidates one by one, and gives its lines as explained notices."""

    def __init__(self, tracker: IncidentTracker, explain: Explain | None = None) -> None:
        self.tracker = tracker
        self.explain = explain

    @classmethod
    def load(cls, data: bytes, explain: Explain | None = None) -> FlowTracker:
        return cls(IncidentTracker.load(data), explain)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tracker, name)

    def take(self, *flows: Candidate) -> list[Notice]:
        return self._told(self.tracker.add(columns_of(flows)), flows)

    def advance(self, clock: float) -> list[Notice]:
        return self._told(self.tracker.advance(clock))

    def close(self, *clock: float) -> list[Notice]:
        return self._told(self.tracker.close(*clock))

    def _told(self, lines: Sequence[Line], flows: Sequence[Candidate] = ()) -> list[Notice]:
        return [
            line.explained(
                self.explain(flows[line.row]) if self.explain and line.row >= 0 else None
            )
            for line in lines
        ]


MakeTracker = Callable[..., FlowTracker]


def columns_of(flows: Sequence[Candidate]) -> Candidates:
    fields = [name.replace("id.", "") for name in CANDIDATE_COLUMNS]
    columns = {
        name: pa.array([getattr(flow, field) for flow in flows], FLOW_SCHEMA.field(name).type)
        for name, field in zip(CANDIDATE_COLUMNS, fields, strict=True)
    }
    names = ("", *THREATS)
    return Candidates(
        flows=pa.RecordBatch.from_pydict(columns),
        clock=np.array([f.clock for f in flows], np.float64),
        end=np.array([f.end for f in flows], np.float64),
        score=np.array([f.score for f in flows], np.float64),
        spread=np.array([f.spread for f in flows], np.float64),
        threat=np.array([names.index(f.threat) - 1 for f in flows], np.int8),
        classes=np.array([f.classes for f in flows], np.float32).reshape(len(flows), len(THREATS)),
        members=np.array([f.members for f in flows] or np.empty((0, 5)), np.float32),
        matrix=np.zeros((len(flows), 0), np.float32),
    )


@pytest.fixture(scope="session")
def make_columns() -> MakeColumns:
    """Candidates as the columns that scoring hands over."""
    return columns_of


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


def rules_of(
    policy: Policy,
    thresholds: Mapping[str, float] | None = None,
    base_rate: float = EVEN,
    limits: Limits | None = None,
) -> DetectionRules:
    origin = Origin("office", "conn", "0123456789abcdef" * 4, "fedcba9876543210" * 4)
    return DetectionRules(policy, thresholds or {}, origin, base_rate, limits or Limits())


@pytest.fixture(scope="session")
def make_incident(make_policy: MakePolicy) -> Callable[..., Incident]:
    """The incident of these candidates, whatever groups they are in, as a line would tell of it."""

    def make(threat: str, flows: Sequence[Candidate], values: int = 10_000) -> Incident:
        rules = rules_of(make_policy())
        policy = compile_policy(rules)
        windows, store = new_windows(policy, 8, 8, 8192), FlowStore()
        incidents = new_open_incidents(4, values)
        columns = columns_of(flows)
        batch = number_rows(columns, policy, 0.0, store.append(columns.flows), new_secret())
        rows = np.array([place_row(windows, batch, n) for n in range(len(flows))], np.int32)
        number = THREATS.index(threat)
        place = open_incident(incidents, windows, np.uint64(1), number, rows)
        texts = IncidentTexts(
            number, "0123456789abcdef01234567", place, 0, 1, 0, store.flow(0), 0, [], ()
        )
        return NoticeBuilder(rules, windows, incidents, store).incident(texts)

    return make


@pytest.fixture(scope="session")
def make_tracker(make_policy: MakePolicy) -> MakeTracker:
    def make(
        policy: Policy | None = None,
        limits: Limits | None = None,
        explain: Explain | None = None,
        thresholds: Mapping[str, float] | None = None,
        base_rate: float = EVEN,
    ) -> FlowTracker:
        rules = rules_of(policy or make_policy(), thresholds, base_rate, limits)
        return FlowTracker(IncidentTracker(rules), explain)

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
            group="89abcdef01234567",
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
