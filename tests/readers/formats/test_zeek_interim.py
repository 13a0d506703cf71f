"""Interim records of Zeek's packages are read as connections, and count as skipped."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.zeek_interim import InterimDecoder
from zeekml.readers.rejects import ReadCounters, SourceAccount

Make = Callable[..., Any]
RECORD = {
    "ts": 1_795_400_000.25,
    "uid": "C1",
    "id.orig_h": "10.0.0.1",
    "id.orig_p": 4000,
    "id.resp_h": "192.0.2.1",
    "id.resp_p": 443,
    "proto": "tcp",
    "duration": 600.5,
    "conn_state": "S1",
    "orig_ip_bytes": 1000,
    "resp_ip_bytes": 2000,
}


def read(log: str, *blocks: bytes) -> tuple[list[dict[str, Any]], ReadCounters]:
    counters = ReadCounters()
    decoder = InterimDecoder(log, SourceAccount("x.log", counters, None))
    line, rows = 1, []
    for data in blocks:
        for batch in decoder.decode(Block(data, line)):
            rows += batch.to_pylist()
        line += data.count(b"\n")
    return rows, counters


@pytest.mark.parametrize("said", [{}, {"_path": "open_conn"}, {"_path": "conn"}])
def test_json(said: dict[str, str]) -> None:
    lines = [RECORD | said, RECORD | {"uid": "C2"} | said]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    rows, counters = read("open_conn", data)
    assert [(row["uid"], row["duration"], row["resp_ip_bytes"]) for row in rows] == [
        ("C1", 600.5, 2000),
        ("C2", 600.5, 2000),
    ]
    assert dict(counters.skipped) == {"open_conn": 2}
    assert (counters.records_read, counters.accepted, counters.first_ts) == (2, 0, None)


@pytest.mark.parametrize("path", ["conn_long", "conn"])
def test_tab_separated(path: str, conn_tsv: Make, cells: Make) -> None:
    data = conn_tsv([cells(uid="C1"), cells(uid="C2")]).replace(
        b"#path\tconn", b"#path\t%b" % path.encode()
    )
    head, _, last = data.rstrip(b"\n").rpartition(b"\n")
    rows, counters = read("conn_long", head + b"\n", last + b"\n")
    assert [row["uid"] for row in rows] == ["C1", "C2"]
    assert dict(counters.skipped) == {"conn_long": 2}


def test_what_is_of_another_log_or_damaged(conn_tsv: Make, cells: Make) -> None:
    other = json.dumps(RECORD | {"_path": "conn_long"}).encode()
    rows, counters = read("open_conn", other + b"\n", b'{"ts": 1\n', json.dumps(RECORD).encode())
    assert len(rows) == 1
    assert dict(counters.skipped) == {"conn_long": 1, "open_conn": 1}
    assert dict(counters.rejected) == {"bad_json": 1}
    data = conn_tsv([cells()]).replace(b"#path\tconn", b"#path\tdns")
    rows, counters = read("conn_long", data)
    assert rows == []
    assert dict(counters.skipped) == {"dns": 1}
