"""Logs as sensors write them, just now."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from zeekml.doctor.finding import Finding, Level

NOW = 1_800_000_000.0

COLUMNS = [
    *("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service"),
    *("duration", "orig_bytes", "resp_bytes", "conn_state", "history"),
    *("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "community_id"),
]


def conn(ts: float, **changes: Any) -> dict[str, Any]:
    """A record of Zeek's conn.log that ended at `ts` + 1 s."""
    values = [ts, "C1", "10.0.0.1", 50000, "192.0.2.1", 443, "tcp", "ssl", 1.0, 10, 20, "SF"]
    values += ["ShADadFf", 5, 300, 4, 400, "1:yjvPyKPtM8cU69PBDMB/0SWb2Xk="]
    record = {**dict(zip(COLUMNS, values, strict=True)), **changes}
    return {key: value for key, value in record.items() if value is not None}


def as_json(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(r).encode() + b"\n" for r in records)


def as_tsv(*records: dict[str, Any], columns: list[str] = COLUMNS) -> bytes:
    lines = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-"]
    lines += ["#path\tconn", "\t".join(["#fields", *columns])]
    lines += ["\t".join(str(record.get(c, "-")) for c in columns) for record in records]
    return "\n".join(lines).encode() + b"\n"


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")


def event(kind: str, logged: float = NOW - 5, **more: Any) -> dict[str, Any]:
    """An EVE event; flows come with all that Suricata 7 writes of a plain one."""
    record: dict[str, Any] = {"timestamp": moment(logged), "event_type": kind}
    if kind in ("flow", "netflow", "alert"):
        record |= {"flow_id": 1, "src_ip": "10.0.0.1", "src_port": 50000, "dest_ip": "192.0.2.1"}
        record |= {
            "dest_port": 443,
            "proto": "TCP",
            "community_id": "1:yjvPyKPtM8cU69PBDMB/0SWb2Xk=",
        }
    if kind == "flow":
        record["flow"] = {
            "pkts_toserver": 5,
            "start": moment(logged - 60),
            "end": moment(logged - 1),
        }
    return record | more


def stats(drops: int) -> dict[str, Any]:
    return event("stats", stats={"capture": {"kernel_packets": 10_000, "kernel_drops": drops}})


class Findings:
    """Findings by the name of the check."""

    def __init__(self, findings: list[Finding]) -> None:
        self.all = findings

    def __getitem__(self, name: str) -> Finding:
        (found,) = [f for f in self.all if f.check == name]
        return found

    def __contains__(self, name: str) -> bool:
        return any(f.check == name for f in self.all)

    def level(self, name: str) -> Level:
        return self[name].level
