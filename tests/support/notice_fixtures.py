"""Factories that the tests of notices share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_up_lines import NOTICE

from zeekml.detection.candidates import CANDIDATE_COLUMNS, Candidates
from zeekml.detection.incidents.candidate_rows import number_rows
from zeekml.detection.incidents.compiled_policy import make_plan
from zeekml.detection.incidents.flow_store import FlowStore
from zeekml.detection.incidents.incident import Incident
from zeekml.detection.incidents.notice_builder import Case, LineWriter, Origin
from zeekml.detection.incidents.open_incidents import new_ledger, open_incident
from zeekml.detection.incidents.sliding_windows import place_row
from zeekml.detection.incidents.text_hash import new_secret
from zeekml.detection.incidents.tracker import IncidentTracker, Limits
from zeekml.detection.incidents.window_arrays import new_windows
from zeekml.detection.notice import Candidate, Notice
from zeekml.detection.policy import Band, Detector, Policy, load_policy
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import EVEN
from zeekml.readers.flow_schema import FLOW_SCHEMA

MakeCandidate = Callable[..., Candidate]
MakeColumns = Callable[[Sequence[Candidate]], Candidates]
MakePolicy = Callable[..., Policy]


class FlowTracker(IncidentTracker):
    """A tracker that can be handed candidates one by one."""

    def take(self, *flows: Candidate) -> list[Notice]:
        return self.add(columns_of(flows))


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


@pytest.fixture(scope="session")
def make_incident(make_policy: MakePolicy) -> Callable[..., Incident]:
    """The incident of these candidates, whatever groups they are in, as a line would tell of it."""

    def make(threat: str, flows: Sequence[Candidate], values: int = 10_000) -> Incident:
        policy = make_policy()
        plan = make_plan(policy, {})
        windows, ledger, store = new_windows(plan, 8, 8, 8192), new_ledger(4, values), FlowStore()
        columns = columns_of(flows)
        batch = number_rows(columns, plan, 0.0, store.append(columns.flows), new_secret())
        rows = np.array([place_row(windows, batch, n) for n in range(len(flows))], np.int32)
        number = THREATS.index(threat)
        place = open_incident(ledger, windows, np.uint64(1), number, rows)
        case = Case(
            detector=policy.detectors[number],
            threshold=plan.thresholds[number],
            id="0123456789abcdef01234567",
            place=place,
            order=0,
            key=np.uint64(1),
            kind=0,
            first=store.flow(0),
        )
        return LineWriter(Origin("office", "conn", "", ""), windows, ledger, store).snapshot(case)

    return make


@pytest.fixture(scope="session")
def make_tracker(make_policy: MakePolicy) -> MakeTracker:
    def make(
        policy: Policy | None = None,
        limits: Limits | None = None,
        explain: Any = None,
        thresholds: Mapping[str, float] | None = None,
        base_rate: float = EVEN,
    ) -> FlowTracker:
        return FlowTracker(
            make_policy() if policy is None else policy,
            thresholds or {},
            sensor="office",
            stream="conn",
            bundle="0123456789abcdef" * 4,
            features="fedcba9876543210" * 4,
            base_rate=base_rate,
            explain=explain,
            limits=limits,
        )

    return make


@pytest.fixture(scope="session")
def make_notice() -> Callable[..., Notice]:
    def make(**changes: Any) -> Notice:
        flow_changes = changes.pop("flow", {})
        return replace(NOTICE, flow=replace(NOTICE.flow, **flow_changes), **changes)

    return make
