"""Factories that the tests of notices share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_up_lines import NOTICE

from zeekml.detection.candidates import CANDIDATE_COLUMNS, Candidates
from zeekml.detection.flow_texts import TEXT_COLUMNS
from zeekml.detection.incidents.message import Incident
from zeekml.detection.incidents.notice_builder import Line
from zeekml.detection.incidents.tracker import IncidentTracker
from zeekml.detection.notice import NOTES, Notice
from zeekml.detection.policy import Band, Detector, Policy, load_policy
from zeekml.detection.rules import DetectionRules, Limits, Origin
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.confidence import Confidence, Curve
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
    names: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()
    timing: bytes | None = None
    pair_members: tuple[float, ...] | None = None
    enough: int = 0  # bit t: the row alone is enough for the threat at place t of THREATS

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

    @property
    def evicted_groups(self) -> int:
        """Groups whose window was dropped early because there were too many."""
        return int(self.tracker._windows.tally["evicted"][0])

    @property
    def dropped_rows(self) -> int:
        """Rows dropped early because their group's window held too many."""
        return int(self.tracker._windows.tally["dropped"][0])

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
    texts = dict.fromkeys((*TEXT_COLUMNS, "contacts"), pa.list_(pa.string()))
    types = {field.name: field.type for field in FLOW_SCHEMA} | texts
    types |= {"timing": pa.binary(), "pair_members": pa.list_(pa.float32())}
    columns = {
        name: pa.array([getattr(flow, field) for flow in flows], types[name])
        for name, field in zip(CANDIDATE_COLUMNS, fields, strict=True)
    }
    names = ("", *THREATS)
    return Candidates(
        flows=pa.RecordBatch.from_pydict(columns),
        row=np.arange(len(flows)),
        clock=np.array([f.clock for f in flows], np.float64),
        end=np.array([f.end for f in flows], np.float64),
        score=np.array([f.score for f in flows], np.float64),
        spread=np.array([f.spread for f in flows], np.float64),
        threat=np.array([names.index(f.threat) - 1 for f in flows], np.int8),
        classes=np.array([f.classes for f in flows], np.float32).reshape(len(flows), len(THREATS)),
        members=np.array([f.members for f in flows] or np.empty((0, 5)), np.float32),
        matrix=np.zeros((len(flows), 0), np.float32),
        enough=np.array([f.enough for f in flows], np.uint8),
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


AS_STRONG = Confidence(
    base_rate=0.5,
    flows=Curve(bars=dict.fromkeys(THREATS, 0.0), slope=1.0, intercept=0.0, benign=(), looked_at=0),
    floor=0.0,
)
"""As sure as the evidence is strong."""


def rules_of(
    policy: Policy,
    thresholds: Mapping[str, float] | None = None,
    base_rate: float = EVEN,
    limits: Limits | None = None,
    confidence: Confidence | None = None,
) -> DetectionRules:
    origin = Origin("office", "conn", "0123456789abcdef" * 4, "fedcba9876543210" * 4)
    return DetectionRules(
        policy, thresholds or {}, origin, base_rate, limits or Limits(), confidence
    )


@pytest.fixture(scope="session")
def make_incident(make_policy: MakePolicy) -> Callable[..., Incident]:
    """The incident that opens with the last of these candidates, as a line would tell of it."""

    def make(threat: str, flows: Sequence[Candidate], values: int = 10_000) -> Incident:
        one_source = len({flow.orig_h for flow in flows}) == 1
        policy = make_policy(
            group_by=("id.orig_h",) if one_source else ("id.resp_h",),
            window=1e6,
            suppress_for=1e6,
            top=1,
            minimum_flows=len(flows),
        )
        tracker = IncidentTracker(rules_of(policy, limits=Limits(8, 8192, 8, values)))
        (line,) = tracker.add(columns_of(flows))
        assert line.notice.threat == threat
        return tracker._builder.incident(line.texts)

    return make


@pytest.fixture(scope="session")
def make_tracker(make_policy: MakePolicy) -> MakeTracker:
    def make(
        policy: Policy | None = None,
        limits: Limits | None = None,
        explain: Explain | None = None,
        thresholds: Mapping[str, float] | None = None,
        base_rate: float = EVEN,
        confidence: Confidence | None = None,
    ) -> FlowTracker:
        rules = rules_of(policy or make_policy(), thresholds, base_rate, limits, confidence)
        return FlowTracker(IncidentTracker(rules), explain)

    return make


@pytest.fixture(scope="session")
def make_notice() -> Callable[..., Notice]:
    def make(**changes: Any) -> Notice:
        flow_changes = changes.pop("flow", {})
        return replace(NOTICE, flow=replace(NOTICE.flow, **flow_changes), **changes)

    return make
