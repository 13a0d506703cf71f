"""Which candidates an allowlist covers, and for which notes.

Entries are bits of whole numbers: for each value of a column there is the number of the entries
that it fits, and a flow is covered by what all its columns fit. Values repeat, so the numbers are
kept for the latest of them.
"""

from __future__ import annotations

import ipaddress
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from zeekml.detection.allowlist import DIRECTIONS, Allowlist, Entry
from zeekml.detection.candidates import Candidates
from zeekml.detection.notice import NOTES
from zeekml.features.addresses import IPNetwork
from zeekml.readers.events.event_schema import MOST_OF_A_FLOW

KEPT: Final = 1 << 16
"""Values whose entries are remembered, of each sort."""

Texts = tuple[str, ...]
Flow = tuple[str, str, int | None, str | None, str | None, Texts, Texts, Texts]
"""Originator, responder, its port, services, uid, names, server names, user agents."""

# of DIRECTIONS, by whether originator and responder are local
_DIRECTION: Final = dict(
    zip(((False, True), (True, False), (True, True), (False, False)), DIRECTIONS, strict=True)
)


class AllowlistMatcher:
    """Knows the entries that cover a flow."""

    def __init__(self, allowlist: Allowlist, local_nets: Iterable[str]) -> None:
        self.entries: tuple[Entry, ...] = allowlist.active
        entries = self.entries
        self.of_note: Mapping[str, int] = {
            note: _bits(not e.notes or note in e.notes for e in entries) for note in NOTES.values()
        }
        self._local = [ipaddress.ip_network(net) for net in local_nets]
        self._either = _Networks([e.cidr for e in entries])
        self._src = _Networks([e.src for e in entries])
        self._dst = _Networks([e.dst for e in entries])
        self._ports = _Values([e.ports for e in entries])
        self._services = _Values([e.services for e in entries])
        self._directions = _Values([e.directions for e in entries])
        self._uids = _Values([e.uids for e in entries])
        self._domains = _Texts([e.domains for e in entries], _suffixes)
        self._server_names = _Texts([e.server_names for e in entries], _suffixes)
        self._agents = _Texts([e.agents for e in entries], _prefixes)
        # columns that few lists ask for, and what stands for them where none does
        self._asked: Mapping[str, object] = {
            "uid": any(e.uids for e in entries),
            "names": any(e.domains for e in entries),
            "server_names": any(e.server_names for e in entries),
            "agents": any(e.agents for e in entries),
        }
        self._ends = sorted({e.expiry for e in entries if not math.isinf(e.expiry)})
        # entries still in force after so many of the ends
        in_force = (_bits(e.expiry > end for e in entries) for end in self._ends)
        self._in_force = [(1 << len(entries)) - 1, *in_force]
        # not on the methods: a cache of the class would keep every allowlist alive
        self._of_host = lru_cache(KEPT)(self._host)
        self._of_flow = lru_cache(KEPT)(self._flow)

    def masks(self, candidates: Candidates) -> list[int]:
        """The entries that cover each candidate, for whatever notes, as bits."""
        always = ("id.orig_h", "id.resp_h", "id.resp_p", "service")
        columns = [candidates.flows.column(name).to_pylist() for name in always]
        for name, asked in self._asked.items():
            values: list[Any] = [None if name == "uid" else ()] * len(candidates)
            if asked:
                values = candidates.flows.column(name).to_pylist()
                if name != "uid":
                    values = [tuple(texts) for texts in values]
            columns.append(values)
        found = [self._of_flow(flow) for flow in zip(*columns, strict=True)]
        if not self._ends or not any(found):
            return found
        ends_before = np.searchsorted(self._ends, candidates.clock, "right")
        return [mask & self._in_force[past] for mask, past in zip(found, ends_before, strict=True)]

    def of_hosts(self, src: str, dst: str, now: float) -> int:
        """The entries that cover any flow from one host to another at a time (epoch seconds)."""
        mask = self._of_flow((src, dst, None, None, None, (), (), ()))
        return mask & self._in_force[bisect_right(self._ends, now)] if mask else 0

    def entry_for(self, mask: int, note: str) -> Entry | None:
        """The first of the entries that cover a candidate (of `masks`), for a note; or None."""
        mask &= self.of_note[note]
        return self.entries[(mask & -mask).bit_length() - 1] if mask else None

    def _flow(self, flow: Flow) -> int:
        orig, resp, port, services, uid, names, server_names, agents = flow
        src, either_src, _, orig_local = self._of_host(orig)
        _, either_dst, dst, resp_local = self._of_host(resp)
        mask = src & dst & (either_src | either_dst)
        if not mask:
            return 0
        told = services.lower().split(",") if services else ()
        mask &= self._ports.fits((port,)) & self._services.fits(told) & self._uids.fits((uid,))
        mask &= self._domains.fit(names) & self._server_names.fit(server_names)
        mask &= self._agents.fit(agents)
        return mask & self._directions.fits((_DIRECTION[orig_local, resp_local],))

    def _host(self, host: str) -> tuple[int, int, int, bool]:
        """Entries that a host fits as originator, as either, as responder; whether it is local."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return self._src.open, self._either.open, self._dst.open, False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        version, number = address.version, int(address)
        return (
            self._src.fits(version, number),
            self._either.fits(version, number),
            self._dst.fits(version, number),
            any(address in net for net in self._local),
        )


def _bits(flags: Iterable[bool]) -> int:
    """A number with a bit for each flag, the first being the lowest."""
    return sum(1 << place for place, flag in enumerate(flags) if flag)


class _Values:
    """Entries by the values that a scope of theirs names."""

    def __init__(self, scopes: Sequence[Collection[object]]) -> None:
        self._open = _bits(not scope for scope in scopes)
        of_value: dict[object, int] = defaultdict(int)
        for place, scope in enumerate(scopes):
            for value in scope:
                of_value[value] |= 1 << place
        self._of_value = dict(of_value)

    def fits(self, values: Iterable[object]) -> int:
        """Entries without the scope, and those that name one of the values."""
        mask = self._open
        for value in values:
            mask |= self._of_value.get(value, 0)
        return mask


def _suffixes(name: str) -> Iterator[str]:
    """A name, and all domains that it is in."""
    while name:
        yield name
        name = name.partition(".")[2]


def _prefixes(text: str) -> Iterator[str]:
    """A text, and all its beginnings with an asterisk."""
    yield text
    for end in range(len(text) + 1):
        yield f"{text[:end]}*"


class _Texts:
    """Entries by texts of which a flow has several, all of which an entry must name."""

    def __init__(
        self, scopes: Sequence[Collection[str]], ways: Callable[[str], Iterable[str]]
    ) -> None:
        self._values = _Values(scopes)
        self._open = self._values.fits(())
        self._ways = ways

    def fit(self, texts: Texts) -> int:
        """Entries without the scope, and those that name each of the texts.

        Of none, no entry names all; nor of so many that there may be more, which nobody kept.
        """
        if not texts or len(texts) >= MOST_OF_A_FLOW:
            return self._open
        mask = -1
        for text in texts:
            mask &= self._values.fits(self._ways(text))
        return mask


class _Networks:
    """Entries by the networks that a scope of theirs names."""

    def __init__(self, scopes: Sequence[Sequence[IPNetwork]]) -> None:
        self.open = _bits(not scope for scope in scopes)
        tables: dict[tuple[int, int], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for place, scope in enumerate(scopes):
            for net in scope:
                host_bits = net.max_prefixlen - net.prefixlen
                tables[net.version, host_bits][int(net.network_address) >> host_bits] |= 1 << place
        self._tables = [(*key, dict(table)) for key, table in tables.items()]

    def fits(self, version: int, number: int) -> int:
        """Entries without the scope, and those with a network that an address lies in."""
        mask = self.open
        for of_version, host_bits, table in self._tables:
            if of_version == version:
                mask |= table.get(number >> host_bits, 0)
        return mask
