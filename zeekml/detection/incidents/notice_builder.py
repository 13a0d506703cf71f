"""Lines about incidents: from the ledger's numbers and the store's texts to a `Notice`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zeekml.core.text import printable
from zeekml.detection.community_id import community_id
from zeekml.detection.evidence import Evidence
from zeekml.detection.incidents.candidate_rows import NO_SIZE
from zeekml.detection.incidents.flow_store import FlowStore, QuotedFlow
from zeekml.detection.incidents.incident import (
    MAX_SIGNATURES,
    Distinct,
    Incident,
    group_key,
    group_name,
)
from zeekml.detection.incidents.message import detail, message
from zeekml.detection.incidents.open_incidents import DESTINATIONS, PORTS, SOURCES, OpenIncidents
from zeekml.detection.incidents.window_arrays import Windows
from zeekml.detection.notice import Flow, Notice, State
from zeekml.detection.policy import Detector
from zeekml.readers.flow_schema import SURICATA


@dataclass(frozen=True, slots=True)
class Origin:
    """Where notices come from; all texts are plain."""

    sensor: str
    stream: str
    bundle: str
    features: str


@dataclass(slots=True, eq=False)
class Case:
    """What the ledger has no numbers for: an open incident's texts."""

    detector: Detector
    threshold: float
    id: str
    place: int  # where the ledger has it
    order: int  # how many incidents were opened before, in this stream
    key: np.uint64  # the group it is in
    kind: int
    first: QuotedFlow  # its first flow
    seq: int = 0  # number of the next line
    signatures: dict[str, None] = field(default_factory=dict)  # the first different ones, plain
    why: tuple[str, ...] = ()  # what explained its last opening or updating line

    def add_signatures(self, texts: list[str] | None) -> None:
        """Remember signatures, as far as there is room."""
        for text in texts or ():
            if len(self.signatures) >= MAX_SIGNATURES:
                break
            self.signatures.setdefault(printable(text))


class LineWriter:
    """Writes the lines of one stream."""

    def __init__(
        self, origin: Origin, windows: Windows, ledger: OpenIncidents, flows: FlowStore
    ) -> None:
        self._origin = origin
        self._windows = windows
        self._ledger = ledger
        self._flows = flows

    def line(self, case: Case, state: State, ts: float, evidence: Evidence | None = None) -> Notice:
        """The next line of an incident, as of now."""
        incident = self.snapshot(case)
        detector = case.detector
        severity = detector.severity(incident.score, incident.flows)
        seq = case.seq
        case.seq += 1
        return Notice(
            state=state,
            seq=seq,
            id=case.id,
            group=group_name(detector.note, group_key(detector.group_by, case.first)),
            note=detector.note,
            threat=detector.threat,
            ts=ts,
            flow=_plain_flow(self._flows.flow(self._place("last", case))),
            src=_plain_or_none(incident.src),
            dst=_plain_or_none(incident.dst),
            p=incident.p,
            msg=message(incident, state),
            sub=detail(incident, severity, self._signatures(case)),
            score=incident.score,
            spread=incident.spread if math.isfinite(incident.spread) else None,
            threshold=incident.threshold,
            severity=severity,
            flows=incident.flows,
            first_ts=incident.first_ts,
            last_ts=incident.last_ts,
            sources=incident.sources.tally(),
            destinations=incident.destinations.tally(),
            ports=incident.ports.tally(),
            sent_bytes=incident.sent,
            received_bytes=incident.received,
            signatures=tuple(case.signatures),
            why=case.why,
            tactic=detector.tactic,
            techniques=detector.techniques,
            suppress_for=detector.suppress_for,
            bundle=self._origin.bundle,
            features=self._origin.features,
            sensor=self._origin.sensor,
            stream=self._origin.stream,
            evidence=evidence,
        )

    def _signatures(self, case: Case) -> int | None:
        """How many signatures saw it; None where the log is of a sensor that has none."""
        if not case.signatures and case.first.sensor != SURICATA:
            return None
        return len(case.signatures)

    def snapshot(self, case: Case) -> Incident:
        """The incident as it is now."""
        numbers = self._ledger.incidents[case.place]
        first = case.first
        return Incident(
            detector=case.detector,
            threshold=case.threshold,
            flows=int(numbers["flows"]),
            named=bool(numbers["named"]),
            first_ts=float(numbers["first_ts"]),
            last_ts=float(numbers["last_ts"]),
            end=float(numbers["end"]),
            score=float(numbers["score"]),
            spread=float(numbers["spread"]),
            src=first.orig_h if numbers["same_orig"] else None,
            dst=first.resp_h if numbers["same_resp"] else None,
            p=first.resp_p if numbers["same_port"] else None,
            proto=first.proto if numbers["same_proto"] else None,
            service=first.service if numbers["same_service"] else None,
            sent=_size(numbers["sent"]),
            received=_size(numbers["received"]),
            sources=self._distinct(case, SOURCES, "id.orig_h"),
            destinations=self._distinct(case, DESTINATIONS, "id.resp_h"),
            ports=self._distinct(case, PORTS, "proto", "id.resp_p"),
        )

    def _distinct(self, case: Case, sort: int, *columns: str) -> Distinct[Any]:
        numbers = self._ledger.incidents[case.place]
        dominant: Any = None
        main = numbers["main"][sort]
        if main >= 0 and self._ledger.values["weight"][main] > numbers["total"][sort] / 2:
            place = int(self._windows.rows["place"][numbers["main_row"][sort]])
            values = tuple(self._flows.value(place, column) for column in columns)
            dominant = values if len(values) > 1 else values[0]
        return Distinct(int(numbers["count"][sort]), bool(numbers["more"][sort]), dominant)

    def _place(self, row: str, case: Case) -> int:
        return int(self._windows.rows["place"][self._ledger.incidents[row][case.place]])


def _size(number: int) -> int | None:
    return None if number == NO_SIZE else int(number)


def _plain_flow(flow: QuotedFlow) -> Flow:
    return Flow(
        sensor=printable(flow.sensor),
        uid=_plain_or_none(flow.uid),
        orig_h=printable(flow.orig_h),
        orig_p=flow.orig_p,
        resp_h=printable(flow.resp_h),
        resp_p=flow.resp_p,
        proto=printable(flow.proto),
        service=_plain_or_none(flow.service),
        community_id=_plain_or_none(flow.community_id)
        or community_id(flow.orig_h, flow.orig_p, flow.resp_h, flow.resp_p, flow.proto),
    )


def _plain_or_none(text: str | None) -> str | None:
    return None if text is None else printable(text)
