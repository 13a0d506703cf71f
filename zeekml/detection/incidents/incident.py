"""An incident at the moment of a line: what its flows have in common, how many of everything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from zeekml.detection.incidents.compiled_policy import ORIGINATOR, PORT, RESPONDER
from zeekml.detection.incidents.flow_store import QuotedFlow
from zeekml.detection.notice import Tally
from zeekml.detection.policy import Detector

MAX_SIGNATURES: Final = 16
_ID_BYTES: Final = 12
_GROUP_BYTES: Final = 8

GroupKey = tuple[tuple[str, ...], tuple[str | int | None, ...]]
"""Columns of a group and their values."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Distinct(Generic[T]):
    """Distinct values of one sort in an incident."""

    count: int = 0  # as in Tally
    more: bool = False
    # the value that carries more than half of all weight, if one does; a value weighs as much
    # as its flows speak for the incident's threat
    dominant: T | None = None

    def tally(self) -> Tally:
        """The count so far."""
        return Tally(self.count, self.more)

    def main(self) -> T | None:
        """The value that carries more than half of all weight, if one does."""
        return self.dominant


@dataclass(frozen=True, slots=True)
class Incident:
    """Flows of one group that one detector reported, as far as a line tells of them."""

    detector: Detector
    threshold: float
    flows: int  # how many so far
    named: bool  # whether the bundle could tell any of the flows' threats
    first_ts: float  # earliest and latest start of a flow, and latest end, epoch seconds
    last_ts: float
    end: float
    score: float  # the highest score, and the members' standard deviation on that flow
    spread: float
    src: str | None  # what all flows share; None where they differ
    dst: str | None
    p: int | None
    proto: str | None
    service: str | None
    sent: int | None  # bytes of IP packets from and to the originators; None if no record said
    received: int | None
    sources: Distinct[str]
    destinations: Distinct[str]
    ports: Distinct[tuple[str, int]]


def has_ports(proto: str) -> bool:
    """Whether a flow's ports are ports; sensors put type and code of ICMP in their place."""
    return not proto.startswith(("icmp", "ipv6-icmp"))


def group_key(columns: tuple[str, ...], flow: QuotedFlow) -> GroupKey:
    """The group by these columns that a flow is in."""
    values: dict[str, str | int | None] = {
        ORIGINATOR: flow.orig_h,
        RESPONDER: flow.resp_h,
        PORT: flow.resp_p,
    }
    return columns, tuple(values[column] for column in columns)


def incident_id(note: str, key: GroupKey, first: QuotedFlow) -> str:
    """Name of an incident: the same whenever the same records are read again."""
    columns, values = key
    uid = first.uid
    if uid is None:
        uid = f"{first.orig_h} {first.orig_p} {first.resp_h} {first.resp_p} {first.proto}"
    own = (first.sensor, uid, f"{first.ts:.6f}")
    return _digest(_ID_BYTES, (note, *columns, *map(str, values), *own))


def group_name(note: str, key: GroupKey) -> str:
    """Name that all incidents of one note and group share, whichever sensor's records show them.

    It rests on nothing but what every sensor says of the group, so that each stream's lines stay
    the same whether or not other streams are read beside it. Readers bring addresses into one
    form, so that two spellings of an IPv6 address make no difference here.
    """
    columns, values = key
    return _digest(_GROUP_BYTES, (note, *columns, *map(str, values)))


def _digest(size: int, parts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=size)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()
