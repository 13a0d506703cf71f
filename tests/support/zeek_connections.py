"""Connections and logs of Zeek, made up here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# fmt: off
ZEEK_FIELDS = [
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service",
    "duration", "orig_bytes", "resp_bytes", "conn_state", "local_orig", "local_resp",
    "missed_bytes", "history", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes",
    "tunnel_parents",
]
# fmt: on


def zeek_row(number: int, **values: Any) -> dict[str, Any]:
    """A connection of conn.log; every number is one of its own."""
    return {
        "ts": f"{1_600_000_000 + number}.000000",
        "uid": f"C{number}",
        "id.orig_h": "10.0.0.5",
        "id.orig_p": 40000 + number,
        "id.resp_h": "192.0.2.1",
        "id.resp_p": 443,
        "proto": "tcp",
        "service": "ssl",
        "duration": "0.500000",
        "orig_bytes": 100,
        "resp_bytes": 200,
        "conn_state": "SF",
        "missed_bytes": 0,
        "history": "ShADadFf",
        "orig_pkts": 5,
        "orig_ip_bytes": 360,
        "resp_pkts": 4,
        "resp_ip_bytes": 408,
        **values,
    }


def zeek_tsv(
    rows: list[dict[str, Any]],
    labels: list[tuple[str, ...]] | None = None,
    names: tuple[str, ...] = ("label", "detailed-label"),
    join: str = "   ",
) -> str:
    """conn.log as Zeek writes it; with labels, as Stratosphere's labellers leave it."""
    tail = join + join.join(names) if labels else ""
    types = join + join.join("string" for _ in names) if labels else ""
    lines = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-"]
    lines += ["#path\tconn", "#fields\t" + "\t".join(ZEEK_FIELDS) + tail]
    lines += ["#types\t" + "\t".join(["string"] * len(ZEEK_FIELDS)) + types]
    for number, row in enumerate(rows):
        cells = [str(row.get(name, "-")) for name in ZEEK_FIELDS]
        lines.append("\t".join(cells) + (join + join.join(labels[number]) if labels else ""))
    return "\n".join([*lines, "#close\t2020-09-13-12-26-40"]) + "\n"


@pytest.fixture(scope="session")
def row_of() -> Callable[..., dict[str, Any]]:
    """Return a function that makes a record of conn.log: `row_of(number, **columns)`."""
    return zeek_row


@pytest.fixture(scope="session")
def tsv_of() -> Callable[..., str]:
    """Return a function that makes a conn.log of records, with labels or without."""
    return zeek_tsv
