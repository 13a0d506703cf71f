"""What an incident says to a person: who did what to whom, how much, in what time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from zeekml.core.text import printable
from zeekml.core.units import amount_of_data, counted, duration, when
from zeekml.detection.flow_rules import FlowRule
from zeekml.detection.notice import State, Tally
from zeekml.detection.policy import Detector
from zeekml.ensemble.confidence import Certainty
from zeekml.features.name_shapes import registered_domain
from zeekml.readers.batch_builder import canonical_address

_ENDINGS: Final[Mapping[State, str]] = {"open": "", "update": ", going on", "closed": ", over"}

DNS_PORT: Final = 53

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Distinct(Generic[T]):
    """Distinct values of one sort in an incident."""

    tally: Tally
    # the value that carries more than half of all weight, if one does; a value weighs as much
    # as its flows speak for the incident's threat
    main: T | None


@dataclass(frozen=True, slots=True)
class Incident:
    """Flows of one group that one detector reported, as far as a line tells of them."""

    detector: Detector
    threshold: float
    certainty: Certainty | None  # None if the bundle tells nothing of it
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
    rule: FlowRule | None = None  # by which one flow alone opened it; None if others had to
    relays: bool = False  # whether the source may be a resolver that asks for its clients
    names: Sequence[str] = ()  # asked for by its flows, the first different ones
    contacts: Sequence[str] = ()  # what its pairs of hosts showed over days, likewise


def has_ports(proto: str) -> bool:
    """Whether a flow's ports are ports; sensors put type and code of ICMP in their place."""
    return not proto.startswith(("icmp", "ipv6-icmp"))


def message(incident: Incident, state: State) -> str:
    """One sentence, such as ``10.0.0.7 scanned 41 hosts on tcp/445 (312 flows in 12 s)``."""
    amount = counted(incident.flows, "flow")
    if incident.flows > 1 or incident.end - incident.first_ts >= 1.0:
        amount += f" in {duration(incident.end - incident.first_ts)}"
    by = f"; {incident.rule.brief()}" if incident.rule else ""
    if incident.contacts:
        by += f"; {incident.contacts[-1]}"
    return printable(f"{_deed(incident)} ({amount}{_ENDINGS[state]}{by})", 400)


def detail(incident: Incident, severity: str, signatures: int | None = None) -> str:
    """What stands beside the message: since when, how much, how sure, and how bad.

    `signatures` says how many different alerts there were; None if its log can hold none.
    """
    spread = f" (spread {incident.spread:.3f})" if math.isfinite(incident.spread) else ""
    tallies = incident.sources.tally, incident.destinations.tally, incident.ports.tally
    told = zip(tallies, ("source", "target", "port"), strict=True)
    extent = [f"{tally} {noun}{tally.plural}" for tally, noun in told if tally.count]
    sizes = ((incident.sent, "sent"), (incident.received, "received"))
    extent += [f"{amount_of_data(size)} {way}" for size, way in sizes if size is not None]
    parts = [
        _sureness(incident.certainty),
        f"since {when(incident.first_ts)} UTC",
        ", ".join(extent),
        f"highest score {incident.score:.3f}{spread}, threshold {incident.threshold:.3f}",
        f"severity {severity}",
    ]
    if incident.rule:
        parts.insert(4, incident.rule.text())
    if incident.detector.techniques:
        parts.append(f"ATT&CK {' '.join(incident.detector.techniques)}")
    if signatures is not None:
        # all that a log can say: Suricata may have been told not to write its alerts into it
        saw = f"{counted(signatures, 'Suricata signature')} saw it"
        parts.append(saw if signatures else "no Suricata alert on its flows in this log")
    return "; ".join(part for part in parts if part)


def _sureness(certainty: Certainty | None) -> str:
    if certainty is None:
        return ""
    told = f" ({certainty.rarity})" if certainty.rarity else ""
    return f"confidence {certainty.percent} %{told}"


def _hosts(common: str | None, seen: Distinct[str]) -> str:
    """One host by its address, many by their number; the one that matters most by both."""
    if common is not None:
        return common
    if seen.main is None:
        return f"{seen.tally} hosts"
    others = Tally(seen.tally.count - 1, seen.tally.more)
    return f"{seen.main} and {others} other host{others.plural}"


def _target(incident: Incident) -> str:
    """The responders, and the port or ports."""
    if incident.dst is not None and incident.proto == "tcp" and incident.p is not None:
        host = incident.dst
        where = f"[{host}]:{incident.p}" if ":" in host else f"{host}:{incident.p}"
        return where + _called(incident)
    hosts = _hosts(incident.dst, incident.destinations)
    tally, main = incident.ports.tally, incident.ports.main
    if tally.count == 0:
        return hosts
    if main is None:
        return f"{hosts} on {tally} ports" + _called(incident)
    mostly = " mostly" if tally.plural else ""
    return f"{hosts}{mostly} on {main[0]}/{main[1]}" + _called(incident)


def _called(incident: Incident) -> str:
    """What was asked for there: one name, what several have in common, or the first of them."""
    names = [name for name in incident.names if canonical_address(name.strip("[]")) is None]
    if not names:
        return ""
    domains = {registered_domain(name) for name in names}
    if len(names) == 1:
        told = names[0]
    elif len(domains) == 1:
        told = f"names under {domains.pop()}"
    else:
        told = f"{names[0]} and others"
    asked = "asking for " if incident.p == DNS_PORT else ""
    return f" ({asked}{told})"


_DEEDS: Final[Mapping[str, str]] = {
    "dos": "{who} flooded {target}{by_protocol}",
    "scan": "{who} scanned {target}{by_protocol}",
    "bruteforce": "{who} guessed logins at {target}{service}",
    "c2": "{who} kept in touch, as with a command server, with {target}",
    "exfil": "{who} sent {sent} to {target}",
    "web": "{who} probed the web service at {target}",
    "malware": "{who} reached out, as spreading malware does, to {target}",
    "": "{who} behaved maliciously towards {target}{by_protocol}, threat unknown",
}


def _deed(incident: Incident) -> str:
    threat = incident.detector.threat if incident.named else ""
    who = _hosts(incident.src, incident.sources)
    target = _target(incident)
    if incident.relays and incident.src is not None and incident.p == DNS_PORT:
        # others contact it, perhaps not to ask
        who += " (or a client of this resolver, if it is one)"
    proto, ports = incident.proto, incident.ports.tally
    by_protocol = f" by {proto}" if proto is not None and not has_ports(proto) else ""
    if threat == "dos" and incident.src is None and incident.sources.main is None:
        be = "was" if incident.dst is not None else "were"
        return f"{target} {be} flooded from {incident.sources.tally} sources{by_protocol}"
    if threat == "scan" and incident.dst is not None and (ports.count > 1 or ports.more):
        return f"{who} scanned {ports} ports of {incident.dst}"
    service = f" ({incident.service})" if incident.service else ""
    sent = "data" if incident.sent is None else amount_of_data(incident.sent)
    return _DEEDS[threat].format(
        who=who, target=target, service=service, sent=sent, by_protocol=by_protocol
    )
