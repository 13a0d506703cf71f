"""Half a day of made-up traffic with a slow beacon and a slow leak in it, as Zeek logs it."""

from __future__ import annotations

import json
import random
from typing import Any, Final

BEGIN: Final = 1_795_400_000
LENGTH: Final = 40_000  # seconds
COMMANDED: Final = "10.0.0.12"
COMMANDS: Final = "203.0.113.7"
LEAKS: Final = "10.0.0.15"
TAKES: Final = "203.0.113.99"


def slow_traffic(flows_of_a_host: int = 60) -> list[bytes]:
    """Lines of a conn.log in JSON, in the order in which they are logged."""
    rng = random.Random(5)
    rows: list[dict[str, Any]] = []

    def flow(at: float, source: str, target: str, sent: int, received: int, lasts: float) -> None:
        rows.append(
            {
                "ts": round(at, 6),
                "uid": f"C{len(rows):08x}",
                "id.orig_h": source,
                "id.orig_p": rng.randint(30_000, 60_000),
                "id.resp_h": target,
                "id.resp_p": 443,
                "proto": "tcp",
                "service": "ssl",
                "duration": round(lasts, 6),
                "orig_bytes": sent,
                "resp_bytes": received,
                "conn_state": "SF",
                "history": "ShADadFf",
                "orig_pkts": 6 + sent // 1400,
                "orig_ip_bytes": sent + 300,
                "resp_pkts": 6 + received // 1400,
                "resp_ip_bytes": received + 300,
            }
        )

    for host in range(20):
        for _ in range(flows_of_a_host):
            site = f"93.184.{rng.randint(1, 40)}.{rng.randint(1, 5)}"
            at, size = BEGIN + rng.uniform(0, LENGTH), rng.randint(500, 90_000)
            flow(at, f"10.0.0.{10 + host}", site, rng.randint(300, 5000), size, rng.uniform(0, 20))
    at = BEGIN + 500.0
    while at < BEGIN + LENGTH:
        flow(at, COMMANDED, COMMANDS, 700 + rng.randint(0, 40), 1500, 0.3)
        at += 600 * rng.uniform(0.8, 1.2)
    at = BEGIN + 900.0
    while at < BEGIN + LENGTH:
        flow(at, LEAKS, TAKES, rng.randint(300_000, 900_000), 2500, 5.0)
        at += 900 * rng.uniform(0.5, 1.5)
    rows.sort(key=lambda row: row["ts"] + row["duration"])
    return [json.dumps(row).encode() + b"\n" for row in rows]
