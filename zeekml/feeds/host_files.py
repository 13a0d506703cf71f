"""The host list as files: Zeek's Intel framework, and Suricata's datasets and IP reputation.

Every file is made of the list alone, in the order of its addresses, so that the same list is the
same bytes and a file is replaced only when its hosts change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from zeekml.feeds.hosts import ListedHost, Role
from zeekml.feeds.zeek_lines import table_cell, zeek_table

INTEL: Final = "intel.dat"
CATEGORIES: Final = "categories.txt"
REPUTATION: Final = "reputation.list"

DATASETS: Final[Mapping[Role, str]] = MappingProxyType(
    {"attacker": "zeekml-attackers", "server": "zeekml-servers", "host": "zeekml-hosts"}
)
"""Suricata's dataset of each role; its file has the same name and ends in ``.lst``."""


class Category(NamedTuple):
    """A category of Suricata's IP reputation."""

    number: int  # apart from those that a site may have already, and less than 60
    name: str
    description: str


REPUTATION_CATEGORIES: Final[Mapping[Role, Category]] = MappingProxyType(
    {
        "attacker": Category(51, "ZeekMLAttacker", "Remote hosts that attack"),
        "server": Category(52, "ZeekMLServer", "Remote hosts that command malware or take data"),
        "host": Category(53, "ZeekMLHost", "Hosts of our own that seem infected or attack"),
    }
)

HOST_FILES: Final = (
    INTEL,
    *(f"{name}.lst" for name in DATASETS.values()),
    CATEGORIES,
    REPUTATION,
)

_INTEL_COLUMNS: Final = (
    *("indicator", "indicator_type", "meta.source", "meta.desc", "meta.do_notice"),
)
_INTEL_ADDRESS: Final = "Intel::ADDR"
_SOURCE: Final = "zeekml"
_UNKNOWN_REPUTATION: Final = 50  # where no bundle told how sure it is
_AS: Final[Mapping[Role, str]] = MappingProxyType(
    {"attacker": "attacks", "server": "serves", "host": "is in it"}
)


def host_files(hosts: Sequence[ListedHost]) -> dict[str, bytes]:
    """The contents of all files, by name."""
    files = {INTEL: _intel(hosts)}
    for role, name in DATASETS.items():
        addresses = (host.address for host in hosts if host.role == role)
        files[f"{name}.lst"] = "".join(f"{address}\n" for address in addresses).encode()
    files[CATEGORIES] = "".join(
        f"{c.number},{c.name},{c.description}\n" for c in REPUTATION_CATEGORIES.values()
    ).encode()
    files[REPUTATION] = "".join(map(_reputation, hosts)).encode()
    return files


def _intel(hosts: Sequence[ListedHost]) -> bytes:
    """Remote hosts, one line for each: the same indicator twice would be one to Zeek."""
    remote: dict[str, list[ListedHost]] = {}
    for host in hosts:
        if host.role != "host":
            remote.setdefault(host.address, []).append(host)
    rows = []
    for address, roles in remote.items():
        told = "; ".join(map(_described, roles))
        cells = (address, _INTEL_ADDRESS, _SOURCE, told, "T")
        rows.append([table_cell("string", cell) for cell in cells])
    return zeek_table(_INTEL_COLUMNS, rows)


def _described(host: ListedHost) -> str:
    sure = "" if host.confidence is None else f", confidence {host.confidence} %"
    return f"{_AS[host.role]}: {', '.join(host.threats)} ({host.severity}{sure})"


def _reputation(host: ListedHost) -> str:
    score = _UNKNOWN_REPUTATION if host.confidence is None else host.confidence
    number = REPUTATION_CATEGORIES[host.role].number
    return f"{host.address},{number},{min(max(score, 1), 127)}\n"
