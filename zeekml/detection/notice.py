"""What a notice is, before any output gives it a form, and the evidence that it rests on.

Text in a notice comes from a log, and a log may hold anything: `zeekml.core.text.printable` is the
one way by which such text enters a `Notice`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Final, Literal

NOTES: Final[Mapping[str, str]] = {
    "dos": "ZeekML::Denial_Of_Service",
    "scan": "ZeekML::Scan",
    "bruteforce": "ZeekML::Brute_Force",
    "c2": "ZeekML::Command_And_Control",
    "exfil": "ZeekML::Exfiltration",
    "web": "ZeekML::Web_Attack",
    "malware": "ZeekML::Malware_Spread",
}
"""The note of each threat, in the order of `THREATS`. SIEM rules rest on these names."""

UNKNOWN_AS: Final = "malware"
"""The threat a flow counts as when the bundle cannot tell threats apart (binary members only)."""

SHORT_DIGEST: Final = 12
"""Digits of a digest that notices carry."""

SEVERITIES: Final = ("low", "medium", "high", "critical")

State = Literal["open", "update", "closed"]


def digest_of(size: int, *parts: str) -> str:
    """BLAKE2b over the parts, each after its length: so many bytes, as hexadecimal digits."""
    digest = blake2b(digest_size=size)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


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

    @property
    def plural(self) -> str:
        """The ending of a noun after it."""
        return "" if self.count == 1 and not self.more else "s"


@dataclass(frozen=True, slots=True)
class QuotedFlow:
    """A flow as its record says; texts may hold anything."""

    ts: float
    sensor: str
    uid: str | None
    orig_h: str
    orig_p: int | None
    resp_h: str
    resp_p: int | None
    proto: str
    service: str | None
    community_id: str | None


QUOTED_COLUMNS: Final[Mapping[str, str]] = {
    field.name: f"id.{field.name}" if field.name[:5] in ("orig_", "resp_") else field.name
    for field in fields(QuotedFlow)
}
"""The column of each field of `QuotedFlow`, in their order."""


@dataclass(frozen=True, slots=True)
class RelatedFlow:
    """A flow that is part of an incident's evidence, and its score."""

    flow: QuotedFlow
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an opening or updating line rests on: kept for `zeekml explain` and for labels."""

    # float32 of the triggering flow, as many as the schema has, in its order, little-endian
    features: bytes
    score: float  # of that flow, calibrated
    members: tuple[float, ...]  # each member's calibrated score of it
    # P(threat | malicious) in the order of THREATS; not finite if the bundle cannot tell
    classes: tuple[float, ...]
    related: tuple[RelatedFlow, ...] = ()  # the strongest flows, of an opening line
    # when the contacts of the pair found at that flow were, as JSON (`zeekml.pairs.pair_timing`)
    timing: bytes | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One line about one incident."""

    state: State  # whether the line opens, updates or closes the incident, and its number, from 0
    seq: int
    id: str  # name of the incident, 24 hexadecimal digits; (id, seq) is unique
    # name of note and group, 16 hexadecimal digits: the same from every sensor that shows the
    # attack, and whenever the group is reported again
    group: str
    note: str
    threat: str
    ts: float  # stream clock at writing, epoch seconds
    flow: Flow  # the flow that triggered the line; for a closing line the incident's last flow
    # originator, responder and responder's port, where all flows of the incident share them
    src: str | None
    dst: str | None
    p: int | None
    msg: str
    sub: str
    # highest score in the incident, and the members' standard deviation on that flow (None if
    # it is no number)
    score: float
    spread: float | None
    threshold: float  # what the evidence had to reach
    # probability of an attack in percent, and how rare such evidence is in benign traffic, in
    # words; None and empty if the bundle tells nothing of it
    confidence: int | None
    rarity: str
    severity: str
    flows: int
    first_ts: float  # earliest and latest start of a flow of the incident, epoch seconds
    last_ts: float
    sources: Tally  # distinct originators, responders, and (protocol, responder port) pairs
    destinations: Tally
    ports: Tally
    # bytes of IP packets from and to the originators; None if no record said
    sent_bytes: int | None
    received_bytes: int | None
    signatures: tuple[str, ...]
    # of the first events of its flows: names asked for, user agents, and servers' certificates
    names: tuple[str, ...]
    agents: tuple[str, ...]
    certificates: tuple[str, ...]
    contacts: tuple[str, ...]  # what its pairs of hosts showed over days
    why: tuple[str, ...]  # the features that made the score, as text, largest first
    tactic: str  # MITRE ATT&CK ids, as the policy gives them
    techniques: tuple[str, ...]
    suppress_for: float  # silence after which the incident closes, seconds
    # first 12 hexadecimal digits of the bundle's digest and of the feature schema's hash
    bundle: str
    features: str
    sensor: str  # what the records came from, as the caller names it
    stream: str
    evidence: Evidence | None = None  # what an opening or updating line rests on
