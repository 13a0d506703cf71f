"""Long uploads in made-up traffic, and the interim records that packages for Zeek write of them.

Interim records are derived from those of conn.log: cut at the times of zeek-long-connections or
zeek-open-connections, with bytes and packets in proportion.
"""

from __future__ import annotations

import json
from typing import Any, Final

from slow_traffic import BEGIN, slow_traffic

UPLOADS: Final = "10.0.0.16"
STORES: Final = "203.0.113.111"
UPLOAD_LASTS: Final = 7_000.0
LONG: Final = (600.0, 1800.0, 3600.0, 43_200.0, 86_400.0, 259_200.0)
HOUR: Final = 3600.0

_COUNTS: Final = tuple(
    f"{s}_{of}" for s in ("orig", "resp") for of in ("bytes", "pkts", "ip_bytes")
)

Row = dict[str, Any]


def ended(row: Row) -> float:
    return float(row["ts"] + row.get("duration", 0.0))


def with_uploads(count: int = 5) -> list[Row]:
    """Records of a conn.log in the order in which they are logged: uploads for two hours each."""
    rows = [json.loads(line) for line in slow_traffic()]
    for number in range(count):
        upload = dict(rows[0])
        upload |= {
            "ts": BEGIN + 300.0 + number * (UPLOAD_LASTS + 800.0 + 77.0 * (number % 3)),
            "uid": f"Clong{number}",
            "id.orig_h": UPLOADS,
            "id.resp_h": STORES,
            "duration": UPLOAD_LASTS,
            **dict(zip(_COUNTS, (1_250_000, 1000, 1_300_000, 900, 400, 2500), strict=True)),
        }
        rows.append(upload)
    return sorted(rows, key=ended)


def so_far(row: Row, seconds: float) -> Row:
    """The record of a connection when it has lasted so long."""
    share = seconds / row["duration"]
    cut = {name: int(row[name] * share) for name in _COUNTS}
    return row | cut | {"duration": seconds, "conn_state": "S1", "history": "ShADad"}


def conn_long(rows: list[Row]) -> list[Row]:
    """What zeek-long-connections writes, in the order in which it does."""
    return sorted((so_far(r, t) for r in rows for t in LONG if t < r["duration"]), key=ended)


def open_conn(rows: list[Row]) -> list[Row]:
    """What zeek-open-connections writes: after every hour."""
    found = []
    for row in rows:
        hours = int(row["duration"] // HOUR)
        found += [so_far(row, HOUR * i) for i in range(1, hours + 1) if HOUR * i < row["duration"]]
    return sorted(found, key=ended)


def as_json(rows: list[Row]) -> list[bytes]:
    return [json.dumps(row).encode() + b"\n" for row in rows]


def as_tsv(log: str, rows: list[Row]) -> list[bytes]:
    """The header, then the lines."""
    names = list(rows[0])
    head = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-"]
    head += [f"#path\t{log}", "\t".join(["#fields", *names])]
    lines = ["\t".join(str(row.get(name, "-")) for name in names) for row in rows]
    return [line.encode() + b"\n" for line in ("\n".join(head), *lines)]
