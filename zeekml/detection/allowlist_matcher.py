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
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from zeekml.detection.allowlist import DIRECTIONS, Allowlist, Entry
from zeekml.detection.candidates import Candidates
from zeekml.detection.notice import NOTES, Notice
from zeekml.features.addresses import IPNetwork

KEPT: Final = 1 << 16
"""Values whose entries are remembered, of each sort."""

Flow = tuple[str, str, int | None, str | None, str | None]
"""Originator, responder, responder's port, services, uid."""

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
        self._by_uid = any(e.uids for e in entries)
        self._ends = sorted({e.expiry for e in entries if not math.isinf(e.expiry)})
        # entries still in force after so many of the ends
        in_force = (_bits(e.expiry > end for e in entries) for end in self._ends)
        self._in_force = [(1 << len(entries)) - 1, *in_force]
        # not on the methods: a cache of the class would keep every allowlist alive
        self._of_host = lru_cache(KEPT)(self._host)
        self._of_flow = lru_cache(KEPT)(self._flow)

    def masks(self, candidates: Candidates) -> list[int]:
        """The entries that cover each candidate, for whatever notes, as bits."""
        names = ("id.orig_h", "id.resp_h", "id.resp_p", "service", "uid")
        columns = [candidates.flows.column(name).to_pylist() for name in names[: 4 + self._by_uid]]
        if not self._by_uid:
            columns.append([None] * len(candidates))
        found = [self._of_flow(flow) for flow in zip(*columns, strict=True)]
        if not self._ends or not any(found):
            return found
        ends_before = np.searchsorted(self._ends, candidates.clock, "right")
        return [mask & self._in_force[past] for mask, past in zip(found, ends_before, strict=True)]

    def entry_for(self, notice: Notice) -> Entry | None:
        """The first entry that covers the flow of a line for the line's note; None if none does."""
        flow = notice.flow
        mask = self._flow((flow.orig_h, flow.resp_h, flow.resp_p, flow.service, flow.uid))
        mask &= self._in_force[bisect_right(self._ends, notice.ts)] & self.of_note[notice.note]
        return self.entries[(mask & -mask).bit_length() - 1] if mask else None

    def _flow(self, flow: Flow) -> int:
        orig, resp, port, services, uid = flow
        src, either_src, _, orig_local = self._of_host(orig)
        _, either_dst, dst, resp_local = self._of_host(resp)
        mask = src & dst & (either_src | either_dst)
        if not mask:
            return 0
        names = services.lower().split(",") if services else ()
        mask &= self._ports.fits((port,)) & self._services.fits(names) & self._uids.fits((uid,))
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
