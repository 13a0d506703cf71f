"""The columns of a label file under their many names, and the values of their cells."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from zeekml.datasets.label_names import SHOWN
from zeekml.readers.batch_builder import canonical_address, standard_protocol
from zeekml.readers.values import MAX_TIME, read_port, read_time

LABEL: Final = "label"
ADDRESS_COLUMNS: Final = ("id.orig_h", "id.resp_h")
TIME_COLUMNS: Final = ("ts", "start", "end")
CONDITIONS: Final = (
    "uid",
    "community_id",
    *ADDRESS_COLUMNS,
    "id.orig_p",
    "id.resp_p",
    "proto",
    *TIME_COLUMNS,
    "dns_suffix",
)
_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    LABEL: ("label", "class", "threat", "attack_cat"),
    "detail": ("detailed-label", "detail"),
    "label_quality": ("label_quality",),
    "indirect": ("indirect",),
    "episode": ("episode",),
    "uid": ("uid", "flow_id"),
    "community_id": ("community_id",),
    "id.orig_h": ("id.orig_h", "orig_h", "src_ip", "source ip", "src", "source", "saddr"),
    "id.resp_h": ("id.resp_h", "resp_h", "dst_ip", "dest_ip", "destination ip", "dst", "daddr"),
    "id.orig_p": ("id.orig_p", "orig_p", "src_port", "source port", "sport"),
    "id.resp_p": ("id.resp_p", "resp_p", "dst_port", "dest_port", "destination port", "dport"),
    "proto": ("proto", "protocol"),
    "ts": ("ts", "timestamp", "time"),
    "start": ("start", "first_ts", "start_time", "begin", "first_seen"),
    "end": ("end", "last_ts", "end_time", "last_seen"),
    "dns_suffix": ("dns_suffix",),
}
_ANY: Final = frozenset({"", "*", "-", "any"})


@dataclass(frozen=True, slots=True)
class Hosts:
    """A span of addresses: `first` to `last` as numbers, within IP version 4 or 6.

    `exact` is the address where it is only one.
    """

    version: int
    first: int
    last: int
    exact: str | None = None


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


_BY_NAME: Final = {_plain(alias): name for name, names in _ALIASES.items() for alias in names}


def find_columns(header: Sequence[str]) -> dict[str, int]:
    """Return the position of each column that is understood; the first of several counts."""
    positions: dict[str, int] = {}
    ranks: dict[str, int] = {}
    for position, given in enumerate(header):
        name = _BY_NAME.get(_plain(given))
        if name is None:
            continue
        # `label` goes before `class`, `id.orig_h` before `src`, wherever they stand
        rank = [_plain(alias) for alias in _ALIASES[name]].index(_plain(given))
        if name not in positions or rank < ranks[name]:
            positions[name], ranks[name] = position, rank
    return positions


def is_any(cell: str) -> bool:
    """Tell whether a cell leaves its column open."""
    return cell.strip().lower() in _ANY


def parse_hosts(cell: str) -> Hosts:
    """Read an address, a network (``10.0.0.0/8``) or a span (``10.0.0.1-10.0.0.9``).

    Raises
    ------
    ValueError
        It is none of these.
    """
    return _hosts(cell.strip()[:100])


@lru_cache(maxsize=65536)
def _hosts(text: str) -> Hosts:
    if "/" in text:
        network = ipaddress.ip_network(text, strict=False)
        first, last = int(network.network_address), int(network.broadcast_address)
        return Hosts(network.version, first, last)
    low, dash, high = text.partition("-")
    start = ipaddress.ip_address(low.strip())
    if not dash:
        return Hosts(start.version, int(start), int(start), canonical_address(str(start)))
    stop = ipaddress.ip_address(high.strip())
    if start.version != stop.version or int(stop) < int(start):
        raise ValueError(text)
    return Hosts(start.version, int(start), int(stop))


def parse_port(cell: str) -> int:
    """Read a port as the readers of logs do; ValueError for what is none."""
    port = read_port(cell)
    if port is None:
        raise ValueError(cell)
    return port


def parse_proto(cell: str) -> str:
    """Read a protocol by name or number, in the readers' spelling."""
    return standard_protocol(cell)[:SHOWN]


def parse_time(cell: str) -> float:
    """Read a time as the readers of logs do.

    Raises
    ------
    ValueError
        It is none.
    """
    seconds = read_time(cell.strip())
    if seconds is None or not 0 <= seconds < MAX_TIME:
        raise ValueError(cell)
    return seconds
