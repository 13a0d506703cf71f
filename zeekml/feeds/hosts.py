"""The hosts that incidents name, while that is news: who attacks, who serves, who of ours is in it.

What an incident says is what its latest line says, so the list is the same whether lines come one
by one or are gone through again. Only hosts that all flows of an incident share are named by it:
the sources of a flood, which may be forged, are not.
"""

from __future__ import annotations

import ipaddress
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import nsmallest
from typing import Final, Literal, Self, get_args

from zeekml.alerts.formats import Values
from zeekml.config import Config
from zeekml.detection.allowlist import EMPTY, Allowlist, Entry
from zeekml.detection.allowlist_matcher import AllowlistMatcher
from zeekml.detection.notice import SEVERITIES

Role = Literal["attacker", "server", "host"]
"""What a listed host is: a remote originator, a remote responder, or a local originator."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)

MOST_INCIDENTS: Final = 10_000
"""So many incidents are kept, each with one host of a role at most, so a role has no more hosts."""

_ATTACKS: Final = frozenset({"dos", "scan", "bruteforce", "web", "malware"})
_SERVED: Final = frozenset({"c2", "exfil", "malware"})
_NAMED_IDS: Final = 16  # incidents that are named of a host: the latest

_NEVER: Final = (math.inf, -math.inf)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class ListedHost:
    """A host in one role, and what is known of it from all its incidents."""

    address: str
    role: Role
    threats: tuple[str, ...]  # in alphabetical order
    severity: str  # the highest
    confidence: int | None  # likewise, in percent; None where no bundle told any
    incidents: tuple[str, ...]  # ids of the latest ones, the latest first
    last_ts: float  # of the latest line, epoch seconds
    expires: float  # when the host leaves the list if nothing more comes, epoch seconds


@dataclass(frozen=True, slots=True)
class _Sighting:
    """The latest line of an incident."""

    id: str
    seq: int
    ts: float
    keep: float  # seconds for which it counts
    note: str
    threat: str
    severity: int
    confidence: int | None
    src: str
    dst: str
    hosts: tuple[tuple[Role, _Address], ...]


class HostList:
    """The hosts that notices name.

    Parameters
    ----------
    local_nets
        Networks in CIDR notation that are the site's own.
    expire
        Seconds from an incident's last line until its hosts leave the list; the incident's
        `suppress_for`, if that is longer.
    least_severity
        Incidents below it name no host.
    allowlist
        What is known; see `allow`.
    most
        Incidents that are kept. Beyond them, the least severe are given up, of these the oldest.

    Attributes
    ----------
    dropped
        Incidents that were given up before their time because there were too many.
    """

    def __init__(
        self,
        local_nets: Iterable[str] = Config().local_nets,
        *,
        expire: float = Config().feed_expire,
        least_severity: str = Config().feed_severity,
        allowlist: Allowlist = EMPTY,
        most: int = MOST_INCIDENTS,
    ) -> None:
        self._local = [ipaddress.ip_network(net) for net in local_nets]
        self._expire = expire
        self._least = SEVERITIES.index(least_severity)
        self._most = most
        self._sightings: dict[str, _Sighting] = {}
        self._dismissed: frozenset[str] = frozenset()
        self.dropped = 0
        self._now = -math.inf  # when somebody asked last
        # what was listed last, and from when to when that holds
        self._listed: tuple[ListedHost, ...] = ()
        self._holds = _NEVER
        self.allow(allowlist)

    @classmethod
    def of(cls, config: Config, allowlist: Allowlist) -> Self:
        """The list that a configuration asks for."""
        return cls(
            config.local_nets,
            expire=config.feed_expire,
            least_severity=config.feed_severity,
            allowlist=allowlist,
        )

    def add(self, values: Values) -> None:
        """Take in a line of notice.log, parsed; lines that are there already change nothing."""
        incident, seq = values.get("zeekml_id"), values.get("zeekml_seq")
        if not isinstance(incident, str) or not isinstance(seq, int):
            return
        known = self._sightings.get(incident)
        if known is not None and known.seq >= seq:
            return
        sighting = self._sighting(incident, seq, values)
        if sighting is not None:
            self._sightings[incident] = sighting
            if len(self._sightings) > self._most:
                self._give_up()
        elif known is not None:
            # it says less than it did: a host that not all flows share after all
            del self._sightings[incident]
        else:
            return
        self._forget_listed()

    def allow(self, allowlist: Allowlist) -> None:
        """Go by another allowlist from now on.

        An address that an entry names by itself is never listed, whatever else the entry asks for.
        An entry with networks and no further scope than notes keeps out all hosts of the
        incidents whose hosts lie in them.
        """
        self._single: dict[_Address, float] = {}  # until when each is known
        for entry in allowlist.active:
            for net in (*entry.cidr, *entry.src, *entry.dst):
                if net.num_addresses == 1:
                    address, until = _plain(net.network_address), entry.expiry
                    self._single[address] = max(self._single.get(address, until), until)
        wide = tuple(entry for entry in allowlist.active if _by_networks_alone(entry))
        self._networks = AllowlistMatcher(replace(allowlist, entries=wide), ())
        self._ends = sorted({entry.expiry for entry in allowlist.active})
        self._forget_listed()

    def dismiss(self, incidents: Collection[str]) -> None:
        """Leave out these incidents from now on, and no others: somebody called them false."""
        chosen = frozenset(incidents)
        if chosen != self._dismissed:
            self._dismissed = chosen
            self._forget_listed()

    def hosts(self, now: float) -> tuple[ListedHost, ...]:
        """Whoever is on the list at a time (epoch seconds), by role and address."""
        self._now = now
        begin, end = self._holds
        if not begin <= now < end:
            self._list(now)
        return self._listed

    def wanted(self, now: float) -> dict[Role, frozenset[str]]:
        """The addresses of each role at a time; all roles are there."""
        listed = self.hosts(now)
        return {role: frozenset(h.address for h in listed if h.role == role) for role in ROLES}

    # -- lines -----------------------------------------------------------------------------------

    def _sighting(self, incident: str, seq: int, values: Values) -> _Sighting | None:
        """What a line says of hosts; None if nothing."""
        threat, severity = values.get("zeekml_threat"), values.get("zeekml_severity")
        if threat is None or severity not in SEVERITIES[self._least :]:
            return None
        src, dst = _address(values.get("src")), _address(values.get("dst"))
        hosts: list[tuple[Role, _Address]] = []
        if src is not None and self._listable(src):
            if self._is_local(src):
                hosts.append(("host", src))
            elif threat in _ATTACKS:
                hosts.append(("attacker", src))
        serves = dst is not None and threat in _SERVED and self._listable(dst)
        if dst is not None and serves and not self._is_local(dst):
            hosts.append(("server", dst))
        if not hosts:
            return None
        keep = max(self._expire, float(values.get("suppress_for") or 0.0))
        return _Sighting(
            id=incident,
            seq=seq,
            ts=float(values["ts"]),
            keep=keep,
            note=str(values["note"]),
            threat=threat,
            severity=SEVERITIES.index(severity),
            confidence=values.get("zeekml_confidence"),
            src="" if src is None else str(src),
            dst="" if dst is None else str(dst),
            hosts=tuple(hosts),
        )

    def _give_up(self) -> None:
        """Make room: what is over goes first, then the least severe, of these the oldest."""

        def rank(s: _Sighting) -> tuple[bool, int, float, str]:
            return s.ts + s.keep > self._now, s.severity, s.ts, s.id

        # some more than need be, so that a flood of incidents does not look through all each time
        for sighting in nsmallest(1 + self._most // 100, self._sightings.values(), key=rank):
            del self._sightings[sighting.id]
            self.dropped += sighting.ts + sighting.keep > self._now

    def _is_local(self, address: _Address) -> bool:
        return any(address in net for net in self._local)

    def _listable(self, address: _Address) -> bool:
        """Whether it can be the address of one host that is somewhere else."""
        if address.is_unspecified or address.is_loopback or address.is_multicast:
            return False
        if address.version == 6:
            return True
        # 0.0.0.0/8 is this network, 240.0.0.0/4 nobody's, with the broadcast address
        if address.is_reserved or not int(address) >> 24:
            return False
        nets = (net for net in self._local if net.prefixlen < 31)
        return all(address != net.broadcast_address for net in nets)

    # -- the list --------------------------------------------------------------------------------

    def _forget_listed(self) -> None:
        self._holds = _NEVER

    def _list(self, now: float) -> None:
        found: dict[tuple[Role, _Address], list[_Sighting]] = defaultdict(list)
        until = min((end for end in self._ends if end > now), default=math.inf)
        for sighting in self._sightings.values():
            # a time that far ahead is a clock's mistake, and would not expire for ever
            begin, end = sighting.ts - sighting.keep, sighting.ts + sighting.keep
            if not begin <= now < end:
                until = min(until, begin) if now < begin else until
                continue
            until = min(until, end)
            for named in self._named(sighting, now):
                found[named].append(sighting)
        order = sorted(found, key=lambda n: (ROLES.index(n[0]), n[1].version, int(n[1])))
        self._listed = tuple(_merged(*named, found[named]) for named in order)
        self._holds = (now, until)

    def _named(self, sighting: _Sighting, now: float) -> Iterator[tuple[Role, _Address]]:
        """The hosts of an incident that may be listed."""
        if sighting.id in self._dismissed:
            return
        mask = self._networks.of_hosts(sighting.src, sighting.dst, now)
        if self._networks.entry_for(mask, sighting.note) is None:
            for role, address in sighting.hosts:
                if self._single.get(address, -math.inf) <= now:
                    yield role, address


def _merged(role: Role, address: _Address, sightings: list[_Sighting]) -> ListedHost:
    sightings.sort(key=lambda s: (s.ts, s.id), reverse=True)
    told = [s.confidence for s in sightings if s.confidence is not None]
    return ListedHost(
        address=str(address),
        role=role,
        threats=tuple(sorted({s.threat for s in sightings})),
        severity=SEVERITIES[max(s.severity for s in sightings)],
        confidence=max(told, default=None),
        incidents=tuple(s.id for s in sightings[:_NAMED_IDS]),
        last_ts=sightings[0].ts,
        expires=max(s.ts + s.keep for s in sightings),
    )


def _by_networks_alone(entry: Entry) -> bool:
    """Whether an entry has no other scopes than networks and notes."""
    narrower = entry.ports, entry.services, entry.directions, entry.uids
    texts = entry.domains, entry.server_names, entry.agents
    return not any((*narrower, *texts)) and bool(entry.cidr or entry.src or entry.dst)


def _address(text: object) -> _Address | None:
    """The address that a notice names, without a zone; None if it names none."""
    if not isinstance(text, str):
        return None
    try:
        return _plain(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _plain(address: _Address) -> _Address:
    """An IPv4 address as such, also where it is written as one of IPv6."""
    return getattr(address, "ipv4_mapped", None) or address
