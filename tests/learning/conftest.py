"""Small labelled networks, made up here: busy hosts, a resolver, and a scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zeekml.learning.datasets import read_environment
from zeekml.learning.environment import Environment

Table = Callable[..., pa.Table]


@pytest.fixture(scope="session")
def make_table() -> Table:
    """Return a function that makes a labelled flow table."""

    def make(seed: int = 0, benign: int = 500, malicious: int = 80) -> pa.Table:
        rng = np.random.default_rng(seed)
        rows: list[dict[str, Any]] = []
        for _ in range(benign):
            dns = bool(rng.random() < 0.4)
            sent, received = float(rng.integers(30, 900)), float(rng.integers(60, 9000))
            rows.append(
                {
                    "ts": 1e9 + 3600 * float(rng.random()),
                    "uid": f"C{rng.integers(1 << 40):x}",
                    "id.orig_h": f"10.{seed}.0.{rng.integers(2, 12)}",
                    "id.orig_p": int(rng.integers(1025, 65000)),
                    "id.resp_h": f"10.{seed}.1.53" if dns else f"192.0.2.{rng.integers(1, 20)}",
                    "id.resp_p": 53 if dns else 443,
                    "proto": "udp" if dns else "tcp",
                    "service": "dns" if dns else "ssl",
                    "duration": float(rng.random()),
                    "orig_bytes": sent,
                    "resp_bytes": received,
                    "conn_state": "SF",
                    "orig_pkts": 1 if dns else 8,
                    "resp_pkts": 1 if dns else 9,
                    "orig_ip_bytes": sent + (28 if dns else 416),
                    "resp_ip_bytes": received + (28 if dns else 468),
                    "label": "benign",
                }
            )
        for number in range(malicious):
            rows.append(
                {
                    **rows[0],
                    "ts": 1e9 + 600 + 0.05 * number,
                    "uid": f"S{number}",
                    "id.orig_h": f"10.{seed}.0.99",
                    "id.resp_h": f"10.{seed}.2.{number + 1}",
                    "id.resp_p": 445,
                    "proto": "tcp",
                    "service": None,
                    "duration": None,
                    "orig_bytes": None,
                    "resp_bytes": None,
                    "conn_state": "S0",
                    "orig_pkts": 1,
                    "resp_pkts": 0,
                    "orig_ip_bytes": 60,
                    "resp_ip_bytes": 0,
                    "label": "scan",
                }
            )
        return pa.Table.from_pylist(rows)

    return make


@pytest.fixture
def make_environment(make_table: Table, tmp_path: Path) -> Callable[..., Environment]:
    """Return a function that makes an environment from a table (a made-up one by default)."""

    def make(table: pa.Table | None = None, name: str = "here", **options: int) -> Environment:
        path = tmp_path / f"{name}.parquet"
        pq.write_table(make_table(**options) if table is None else table, path)
        return read_environment(path)

    return make


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
