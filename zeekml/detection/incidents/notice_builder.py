"""Notices about incidents, made from numbers of the compiled store and texts of its flows."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields, replace
from itertools import islice
from typing import Any, Final, NamedTuple

import communityid
import msgspec
from communityid.error import Error as CommunityIdError

from zeekml.core.text import printable
from zeekml.detection.flow_rules import FlowRule
from zeekml.detection.incidents._incidents import DESTINATIONS, NO_SIZE, PORTS, SOURCES
from zeekml.detection.incidents.compiled_policy import ORIGINATOR, PORT, RESPONDER
from zeekml.detection.incidents.flow_store import FlowStore
from zeekml.detection.incidents.message import Distinct, Incident, detail, message
from zeekml.detection.incidents.open_incidents import OpenIncidents
from zeekml.detection.incidents.sliding_windows import Windows
from zeekml.detection.notice import Evidence, Flow, Notice, QuotedFlow, State, Tally, digest_of
from zeekml.detection.rules import DetectionRules
from zeekml.ensemble.confidence import Certainty
from zeekml.readers.flow_schema import SURICATA

MAX_TOLD: Final = 16
"""Different texts of one column that an incident remembers."""

_ID_BYTES: Final = 12
_GROUP_BYTES: Final = 8
_MAX_WHY: Final = 16

_ICMP, _ICMP6 = 1, 58
_PROTOCOLS: Final = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": _ICMP} | dict.fromkeys(
    ("icmp6", "ipv6-icmp"), _ICMP6
)
_COMMUNITY_ID: Final = communityid.CommunityID()  # version 1, seed 0

GroupKey = tuple[tuple[str, ...], tuple[str | int | None, ...]]
"""Columns of a group and their values."""


class IncidentTexts(msgspec.Struct):
    """What an open incident has besides its numbers; stored as it is."""

    threat: int  # place in THREATS
    id: str
    place: int  # in `OpenIncidents.entries`
    order: int  # how many incidents were opened before, in this stream
    key: int  # of its group
    kind: int
    first: QuotedFlow
    seq: int  # of the next line
    told: dict[str, list[str]]  # by column of TOLD_COLUMNS the first different texts, plain
    why: tuple[str, ...]  # what explained its last opening or updating line
    rule: FlowRule | None  # by which one flow alone opened it; None if others had to
    relays: bool  # whether the flow that opened it is a look-up by a host that others contact

    def add(self, column: str, texts: list[str] | None) -> None:
        """Remember texts of a column, as far as there is room."""
        if not texts:
            return
        known = self.told.setdefault(column, [])
        for text in map(printable, texts):
            if len(known) < MAX_TOLD and text not in known:
                known.append(text)

    def of(self, column: str) -> tuple[str, ...]:
        """What is remembered of a column."""
        return tuple(self.told.get(column, ()))


class Line(NamedTuple):
    """A line about an incident that its caller, who has the batch, may explain."""

    notice: Notice
    row: int  # the candidate that caused it; negative if it was due
    texts: IncidentTexts

    def explained(self, why: Iterable[str] | None = None) -> Notice:
        """The notice with an explanation; without, with that of the incident's line before it."""
        if why is not None:
            told = (self.texts.rule.text(), *why) if self.texts.rule else why
            self.texts.why = tuple(printable(text) for text in islice(told, _MAX_WHY))
        return replace(self.notice, why=self.texts.why)


class NoticeBuilder:
    """Makes the notices of one stream from numbers of its open incidents and stored flows."""

    def __init__(
        self, rules: DetectionRules, windows: Windows, incidents: OpenIncidents, flows: FlowStore
    ) -> None:
        self._rules = rules
        self._windows = windows
        self._incidents = incidents
        self._flows = flows

    def line(
        self,
        texts: IncidentTexts,
        state: State,
        ts: float,
        row: int = -1,
        evidence: Evidence | None = None,
    ) -> Line:
        """The next line of an incident, as of now."""
        incident = self.incident(texts)
        detector = incident.detector
        sure = incident.certainty
        confidence = sure.percent if sure else None
        severity = detector.severity(incident.score, incident.flows, confidence)
        origin = self._rules.origin
        last = self._windows.rows["place"][self._incidents.entries["last"][texts.place]]
        # how many signatures saw it; None where the log is of a sensor that has none
        sensor_has_some = texts.of("signatures") or texts.first.sensor == SURICATA
        signatures = len(texts.of("signatures")) if sensor_has_some else None
        notice = Notice(
            state=state,
            seq=texts.seq,
            id=texts.id,
            group=group_name(detector.note, group_key(detector.group_by, texts.first)),
            note=detector.note,
            threat=detector.threat,
            ts=ts,
            flow=_plain_flow(self._flows.flow(int(last))),
            src=None if incident.src is None else printable(incident.src),
            dst=None if incident.dst is None else printable(incident.dst),
            p=incident.p,
            msg=message(incident, state),
            sub=detail(incident, severity, signatures),
            score=incident.score,
            spread=incident.spread if math.isfinite(incident.spread) else None,
            threshold=incident.threshold,
            confidence=confidence,
            rarity=sure.rarity if sure else "",
            severity=severity,
            flows=incident.flows,
            first_ts=incident.first_ts,
            last_ts=incident.last_ts,
            sources=incident.sources.tally,
            destinations=incident.destinations.tally,
            ports=incident.ports.tally,
            sent_bytes=incident.sent,
            received_bytes=incident.received,
            signatures=texts.of("signatures"),
            names=texts.of("names"),
            agents=texts.of("agents"),
            certificates=texts.of("certificates"),
            contacts=texts.of("contacts"),
            why=texts.why,
            tactic=detector.tactic,
            techniques=detector.techniques,
            suppress_for=detector.suppress_for,
            bundle=origin.bundle,
            features=origin.features,
            sensor=origin.sensor,
            stream=origin.stream,
            evidence=evidence,
        )
        texts.seq += 1
        return Line(notice, row, texts)

    def incident(self, texts: IncidentTexts) -> Incident:
        """An incident as it is now."""
        numbers = self._incidents.entries[texts.place]
        first = texts.first
        detector = self._rules.policy.detectors[texts.threat]
        sizes = int(numbers["sent"]), int(numbers["received"])
        sent, received = (None if size == NO_SIZE else size for size in sizes)
        return Incident(
            detector=detector,
            threshold=self._rules.thresholds[detector.threat],
            certainty=self._certainty(texts),
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
            sent=sent,
            received=received,
            sources=self._distinct(texts, SOURCES, "id.orig_h"),
            destinations=self._distinct(texts, DESTINATIONS, "id.resp_h"),
            ports=self._distinct(texts, PORTS, "proto", "id.resp_p"),
            rule=texts.rule,
            names=texts.of("names"),
            contacts=texts.of("contacts"),
            relays=texts.relays,
        )

    def _certainty(self, texts: IncidentTexts) -> Certainty | None:
        model = self._rules.confidence
        if model is None:
            return None
        numbers = self._incidents.entries[texts.place]
        threat = self._rules.policy.detectors[texts.threat].threat
        if texts.of("contacts"):
            of_pair = model.of_pair(threat, float(numbers["score"]))
            if of_pair is not None:
                return of_pair
        floor = texts.rule is not None and texts.rule.threshold is None
        return model.of_flows(threat, float(numbers["strength"]), floor=floor)

    def _distinct(self, texts: IncidentTexts, sort: int, *columns: str) -> Distinct[Any]:
        numbers = self._incidents.entries[texts.place]
        dominant: Any = None
        main = numbers["main"][sort]
        if main >= 0 and self._incidents.values["weight"][main] > numbers["total"][sort] / 2:
            place = int(self._windows.rows["place"][numbers["main_row"][sort]])
            values = tuple(self._flows.value(place, column) for column in columns)
            dominant = values if len(values) > 1 else values[0]
        return Distinct(Tally(int(numbers["count"][sort]), bool(numbers["more"][sort])), dominant)


def _plain_flow(flow: QuotedFlow) -> Flow:
    told: dict[str, Any] = {field.name: getattr(flow, field.name) for field in fields(Flow)}
    if not flow.community_id:
        ends = flow.orig_h, flow.orig_p, flow.resp_h, flow.resp_p
        told["community_id"] = community_id(*ends, flow.proto)
    told |= {name: printable(text) for name, text in told.items() if isinstance(text, str)}
    return Flow(**told)


def community_id(
    orig_h: str, orig_p: int | None, resp_h: str, resp_p: int | None, proto: str
) -> str | None:
    """Community id of a flow whose sensor did not log one.

    None where its protocol has none, or an address or port is unusable. Ports are type and code of
    ICMP there; sensors call both kinds of ICMP ``icmp``.
    """
    number = _PROTOCOLS.get(proto)
    if number is None or orig_p is None or resp_p is None or "%" in orig_h + resp_h:
        return None
    with suppress(ValueError, CommunityIdError):
        orig, resp = ipaddress.ip_address(orig_h), ipaddress.ip_address(resp_h)
        if orig.version != resp.version or (number == _ICMP6 and orig.version == 4):
            return None
        number = _ICMP6 if number == _ICMP and orig.version == 6 else number
        flow = communityid.FlowTuple(number, str(orig), str(resp), orig_p, resp_p)
        return str(_COMMUNITY_ID.calc(flow))
    return None


def group_key(columns: tuple[str, ...], flow: QuotedFlow) -> GroupKey:
    """The group by these columns that a flow is in."""
    values = {ORIGINATOR: flow.orig_h, RESPONDER: flow.resp_h, PORT: flow.resp_p}
    return columns, tuple(values[column] for column in columns)


def incident_id(note: str, key: GroupKey, first: QuotedFlow) -> str:
    """Name of an incident: the same whenever the same records are read again."""
    columns, values = key
    uid = first.uid
    if uid is None:
        uid = f"{first.orig_h} {first.orig_p} {first.resp_h} {first.resp_p} {first.proto}"
    own = (first.sensor, uid, f"{first.ts:.6f}")
    return digest_of(_ID_BYTES, note, *columns, *map(str, values), *own)


def group_name(note: str, key: GroupKey) -> str:
    """Name that all incidents of one note and group share, whichever sensor's records show them.

    It rests on nothing but what every sensor says of the group, so that each stream's lines stay
    the same whether or not other streams are read beside it. Readers bring addresses into one
    form, so that two spellings of an IPv6 address make no difference here.
    """
    columns, values = key
    return digest_of(_GROUP_BYTES, note, *columns, *map(str, values))
