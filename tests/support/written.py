"""Notices, and states and outputs that hold them, as a watch and a run would leave them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from made_up_lines import NOTICE

from zeekml.alerts.zeek_notice import encode_json
from zeekml.detection.notice import Flow, Notice, Tally
from zeekml.live.state.database import IncidentLine, State, StreamCommit, StreamState
from zeekml.readers.rejects import ReadCounters

ONE = replace(
    NOTICE,
    id="0" * 24,
    ts=1_700_000_100.0,
    flow=Flow("zeek", "C1", "192.0.2.1", 4000, "10.0.0.1", 22, "tcp", None, "1:abc="),
    src="192.0.2.1",
    p=22,
    msg="192.0.2.1 scanned 9 hosts",
    sub="since then",
    score=0.5,
    spread=0.125,
    threshold=0.25,
    severity="high",
    flows=9,
    first_ts=1_700_000_000.0,
    last_ts=1_700_000_090.0,
    destinations=Tally(9),
    sent_bytes=None,
    signatures=(),
    names=(),
    agents=(),
    certificates=(),
    contacts=(),
    why=("src60_hosts=9 hosts (usual 2) +0.77", "port=admin (usual web) +0.50"),
    bundle="abcdef012345",
    features="fedcba543210",
    sensor="zeek",
)

HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]x[/] [@click=app.quit]y[/] \u202e\x9b31m\r\n\ttab"


def notice(n: int, **changes: Any) -> Notice:
    """The n-th incident's notice."""
    return replace(ONE, **{"id": f"{n:024x}", "group": f"{n:016x}", **changes})


def commit(state: State, notices: Iterable[Notice], records: int = 0) -> None:
    """Commit notices as a watcher does."""
    record = StreamState(
        counters=ReadCounters(records_read=records, accepted=records, last_ts=1.7e9)
    )
    lines = [
        IncidentLine(
            n.id,
            "conn",
            n.note,
            n.state,
            n.severity,
            n.seq,
            n.first_ts,
            n.last_ts,
            encode_json(n),
        )
        for n in notices
    ]
    state.commit([StreamCommit("conn", record.encode())], incidents=lines)


def write_log(directory: Path, notices: Iterable[Notice]) -> None:
    """Append to a notice.log."""
    directory.mkdir(exist_ok=True)
    with (directory / "notice.log").open("ab") as file:
        file.writelines(encode_json(n) for n in notices)
