"""One open incident: what its flows have in common, and how many of everything."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from zeekml.notices.notice import Candidate, Tally, plain
from zeekml.notices.policy import Detector
from zeekml.notices.window import GroupKey, Row

MAX_DISTINCT: Final = 1024
MAX_SIGNATURES: Final = 16
_ID_BYTES: Final = 12


class Allowance:
    """How many distinct values all incidents together may still remember."""

    __slots__ = ("left",)

    def __init__(self, values: int) -> None:
        self.left = values


T = TypeVar("T", bound=Hashable)


class Distinct(Generic[T]):
    """Distinct values, up to `MAX_DISTINCT` and as far as the allowance goes, with weights."""

    __slots__ = ("_allowance", "_more", "_total", "_weights")

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._weights: dict[T, float] = {}
        self._total = 0.0
        self._more = False

    def add(self, value: T, weight: float) -> None:
        """Count a value if it is new, and add to its weight."""
        self._total += weight
        if value in self._weights:
            self._weights[value] += weight
        elif self._more or len(self._weights) >= MAX_DISTINCT or self._allowance.left <= 0:
            self._more = True
        else:
            self._weights[value] = weight
            self._allowance.left -= 1

    def tally(self) -> Tally:
        """The count so far."""
        return Tally(len(self._weights), self._more)

    def main(self) -> T | None:
        """The value that carries more than half of all weight, if one does."""
        if not self._weights:
            return None
        value = max(self._weights, key=self._weights.__getitem__)
        return value if self._weights[value] > self._total / 2 else None

    def release(self) -> None:
        """Give back what the values took of the allowance; nothing may be added afterwards."""
        self._allowance.left += len(self._weights)


class Incident:
    """Flows of one group that one detector reported, from opening to closing.

    Attributes
    ----------
    order
        How many incidents were opened before, in this stream.
    seq
        Number of the next line.
    last_clock, line_clock
        Stream clock at the last flow and at the last line, seconds.
    src, dst, p, proto, service
        What all flows share; None where they differ.
    named
        Whether the bundle could tell any of the flows' threats.
    end
        Latest end of a flow, epoch seconds.
    """

    __slots__ = (
        "closed",
        "destinations",
        "detector",
        "dst",
        "end",
        "first_ts",
        "flows",
        "id",
        "key",
        "last",
        "last_clock",
        "last_ts",
        "line_clock",
        "named",
        "order",
        "p",
        "ports",
        "proto",
        "received",
        "score",
        "sent",
        "seq",
        "service",
        "signatures",
        "sources",
        "spread",
        "src",
        "threat",
        "threshold",
        "why",
    )

    def __init__(
        self,
        detector: Detector,
        threat: int,
        threshold: float,
        key: GroupKey,
        order: int,
        first: Candidate,
        allowance: Allowance,
    ) -> None:
        self.detector = detector
        self.threat = threat
        self.threshold = threshold
        self.key = key
        self.order = order
        self.id = incident_id(detector.note, key, first)
        self.closed = False
        self.seq = 0
        self.line_clock = -math.inf
        self.last_clock = -math.inf
        self.why: tuple[str, ...] = ()
        self.last = first
        self.flows = 0
        self.named = False
        self.first_ts = first.ts
        self.last_ts = first.ts
        self.end = first.end
        self.score = first.score
        self.spread = first.spread
        self.src: str | None = first.orig_h
        self.dst: str | None = first.resp_h
        self.p = first.resp_p
        self.proto: str | None = first.proto
        self.service = first.service
        self.sent: int | None = None
        self.received: int | None = None
        self.sources: Distinct[str] = Distinct(allowance)
        self.destinations: Distinct[str] = Distinct(allowance)
        self.ports: Distinct[tuple[str, int]] = Distinct(allowance)
        self.signatures: dict[str, None] = {}

    @property
    def due(self) -> float:
        """Stream clock at which the incident closes unless another flow comes before."""
        return self.last_clock + self.detector.suppress_for

    def take(self, row: Row) -> None:
        """Count a flow; hosts and ports weigh as much as their flows speak for the threat."""
        flow = row.candidate
        weight = row.shares[self.threat]
        self.last = flow
        self.last_clock = row.clock
        self.flows += 1
        self.named = self.named or bool(flow.threat)
        self.first_ts = min(self.first_ts, flow.ts)
        self.last_ts = max(self.last_ts, flow.ts)
        self.end = max(self.end, flow.end, flow.ts)
        if flow.score > self.score:
            self.score, self.spread = flow.score, flow.spread
        if flow.orig_h != self.src:
            self.src = None
        if flow.resp_h != self.dst:
            self.dst = None
        if flow.resp_p != self.p:
            self.p = None
        if flow.proto != self.proto:
            self.proto = None
        if flow.service != self.service:
            self.service = None
        self.sources.add(flow.orig_h, weight)
        self.destinations.add(flow.resp_h, weight)
        if flow.resp_p is not None and has_ports(flow.proto):
            self.ports.add((flow.proto, flow.resp_p), weight)
        if flow.orig_ip_bytes is not None:
            self.sent = (self.sent or 0) + flow.orig_ip_bytes
        if flow.resp_ip_bytes is not None:
            self.received = (self.received or 0) + flow.resp_ip_bytes
        for signature in flow.signatures:
            if len(self.signatures) >= MAX_SIGNATURES:
                break
            self.signatures.setdefault(plain(signature))

    def end_of_life(self) -> None:
        """Mark the incident closed and give back what it remembers."""
        self.closed = True
        self.sources.release()
        self.destinations.release()
        self.ports.release()


def has_ports(proto: str) -> bool:
    """Whether a flow's ports are ports; sensors put type and code of ICMP in their place."""
    return not proto.startswith(("icmp", "ipv6-icmp"))


def incident_id(note: str, key: GroupKey, first: Candidate) -> str:
    """Name of an incident: the same whenever the same records are read again.

    Parameters
    ----------
    note, key
        What is reported, and for which group.
    first
        The incident's first flow; without a uid its addresses and ports stand for it.

    Returns
    -------
    str
        24 hexadecimal digits of BLAKE2b over the parts, each preceded by its length.
    """
    columns, values = key
    uid = first.uid
    if uid is None:
        uid = f"{first.orig_h} {first.orig_p} {first.resp_h} {first.resp_p} {first.proto}"
    digest = hashlib.blake2b(digest_size=_ID_BYTES)
    for part in (note, *columns, *map(str, values), first.sensor, uid, f"{first.ts:.6f}"):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()
