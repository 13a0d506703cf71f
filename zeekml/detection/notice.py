"""What a notice is, before any output gives it a form, and what it is made from.

A `Candidate` is a scored flow that may matter; a `Notice` is one line about an incident. Text in
a candidate comes from a log, and a log may hold anything: `plain` is the one gate through which
such text enters a notice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from zeekml.ensemble.classes import THREATS

if TYPE_CHECKING:
    from zeekml.detection.evidence import Evidence

NOTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "dos": "ZeekML::Denial_Of_Service",
        "scan": "ZeekML::Scan",
        "bruteforce": "ZeekML::Brute_Force",
        "c2": "ZeekML::Command_And_Control",
        "exfil": "ZeekML::Exfiltration",
        "web": "ZeekML::Web_Attack",
        "malware": "ZeekML::Malware_Spread",
    }
)
"""The note of each threat, in the order of `THREATS`. SIEM rules rest on these names."""

UNKNOWN_AS: Final = "malware"
"""The threat a flow counts as when the bundle cannot tell threats apart (binary members only)."""

SEVERITIES: Final = ("low", "medium", "high", "critical")

State = Literal["open", "update", "closed"]


@dataclass(slots=True)
class Candidate:
    """A scored flow that may matter: what scoring hands to the incidents.

    Attributes
    ----------
    clock
        Stream clock when the flow was taken in, epoch seconds; never falls within a stream.
    ts, end
        Start and end of the flow, epoch seconds.
    sensor
        Kind of the sensor that wrote the record.
    orig_ip_bytes, resp_ip_bytes
        Bytes of IP packets in each direction; None if the sensor did not say.
    score
        Calibrated probability that the flow is malicious, 0 to 1.
    threat
        The most likely threat, one of `THREATS`; empty if the bundle cannot tell.
    classes
        P(threat | malicious) for each of `THREATS`; not finite if the bundle cannot tell.
    spread
        Standard deviation of the members' scores.
    members
        Each member's calibrated score.
    row
        The caller's reference to the flow's features; only passed on.
    """

    clock: float
    ts: float
    end: float
    sensor: str
    uid: str | None
    orig_h: str
    orig_p: int | None
    resp_h: str
    resp_p: int | None
    proto: str
    service: str | None
    community_id: str | None
    signatures: tuple[str, ...]
    orig_ip_bytes: int | None
    resp_ip_bytes: int | None
    score: float
    threat: str
    classes: tuple[float, ...]
    spread: float
    members: tuple[float, ...]
    row: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.clock) and math.isfinite(self.ts) and math.isfinite(self.end)):
            raise ValueError(f"times must be finite: {self.clock!r}, {self.ts!r}, {self.end!r}")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"a score must lie in 0..1, not {self.score!r}")
        if len(self.classes) != len(THREATS):
            raise ValueError(f"expected {len(THREATS)} class shares, not {len(self.classes)}")
        if self.threat and self.threat not in NOTES:
            raise ValueError(f"unknown threat {self.threat!r}")


@dataclass(frozen=True, slots=True)
class Flow:
    """The flow that triggered a line; every text is plain."""

    sensor: str
    uid: str | None
    orig_h: str
    orig_p: int | None
    resp_h: str
    resp_p: int | None
    proto: str
    service: str | None
    community_id: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many distinct values were seen; `more` says that counting stopped there."""

    count: int
    more: bool = False

    def __str__(self) -> str:
        return f"more than {self.count:,}" if self.more else f"{self.count:,}"


@dataclass(frozen=True, slots=True)
class Notice:
    """One line about one incident.

    Attributes
    ----------
    state, seq
        Whether the line opens, updates or closes the incident, and its number, from 0.
    id
        Name of the incident, 24 hexadecimal digits; (`id`, `seq`) is unique.
    group
        Name of note and group, 16 hexadecimal digits: the same from every sensor that shows the
        attack, and whenever the group is reported again.
    ts
        Stream clock at writing, epoch seconds.
    flow
        The flow that triggered the line; for a closing line the incident's last flow.
    src, dst, p
        Originator, responder and responder's port, where all flows of the incident share them.
    score, spread
        Highest score in the incident, and the members' standard deviation on that flow (None if
        it is no number).
    threshold
        What the evidence had to reach.
    first_ts, last_ts
        Earliest and latest start of a flow of the incident, epoch seconds.
    sources, destinations, ports
        Distinct originators, responders, and (protocol, responder port) pairs.
    sent_bytes, received_bytes
        Bytes of IP packets from and to the originators; None if no record said.
    why
        The features that made the score, as text, largest first.
    tactic, techniques
        MITRE ATT&CK ids, as the policy gives them.
    suppress_for
        Silence after which the incident closes, seconds.
    bundle, features
        First 12 hexadecimal digits of the bundle's digest and of the feature schema's hash.
    sensor, stream
        What the records came from, as the caller names it.
    evidence
        What an opening or updating line rests on.
    """

    state: State
    seq: int
    id: str
    group: str
    note: str
    threat: str
    ts: float
    flow: Flow
    src: str | None
    dst: str | None
    p: int | None
    msg: str
    sub: str
    score: float
    spread: float | None
    threshold: float
    severity: str
    flows: int
    first_ts: float
    last_ts: float
    sources: Tally
    destinations: Tally
    ports: Tally
    sent_bytes: int | None
    received_bytes: int | None
    signatures: tuple[str, ...]
    why: tuple[str, ...]
    tactic: str
    techniques: tuple[str, ...]
    suppress_for: float
    bundle: str
    features: str
    sensor: str
    stream: str
    evidence: Evidence | None = None
