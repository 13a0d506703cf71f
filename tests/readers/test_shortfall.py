from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import discover
from zeekml.readers.files.file_type import Kind
from zeekml.readers.formats.zeek_header import conn_header
from zeekml.readers.rejects import ReadCounters
from zeekml.readers.shortfall import culprit, shortfall

Make = Callable[..., Any]

GOOD = {"ts": 1.0, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "proto": "tcp", "history": "S"}
BAD = {**GOOD, "id.orig_h": "a host"}


def judged(path: Path, **more: Any) -> str | None:
    found, counters = discover([path]), ReadCounters()
    flows_of(found, counters=counters)
    return shortfall(counters, found.streams, **more)


def conn_json(tmp_path: Path, *records: Any) -> Path:
    path = tmp_path / "conn.log"
    path.write_bytes(b"".join(json.dumps(r).encode() + b"\n" for r in records))
    return path


@pytest.mark.parametrize(
    ("good", "bad", "short"), [(9, 0, False), (5, 5, False), (5, 6, True), (1, 2, True)]
)
def test_less_than_half(tmp_path: Path, good: int, bad: int, short: bool) -> None:
    text = judged(conn_json(tmp_path, *[GOOD] * good, *[BAD] * bad), rejects="R")
    if not short:
        assert text is None
        return
    assert text is not None
    assert text.startswith(f"only {good} of {good + bad} records could be read and scored")
    assert f'line {good + 1}, where id.orig_h is "a host"' in text
    assert text.endswith("; see R")


def test_other_records_are_no_loss(tmp_path: Path) -> None:
    dns = {"_path": "dns", "ts": 1.0, "query": "a.test"}
    assert judged(conn_json(tmp_path, GOOD, *[dns] * 50)) is None
    assert judged(conn_json(tmp_path, *[GOOD] * 2, BAD, *[dns] * 50)) is None


def test_nothing_at_all(tmp_path: Path, conn_tsv: Make, cells: Make) -> None:
    dns = {"_path": "dns", "ts": 1.0, "query": "a.test"}
    text = judged(conn_json(tmp_path, *[dns] * 3), rejects="R", done="written")
    assert text is not None
    assert text.startswith("nothing could be written: none of 3 records read is a flow (dns 3)")
    # no pointer to a file that is empty, and no word of the other sensor
    assert "see R" not in text
    assert "Suricata" not in text
    path = tmp_path / "conn.log"
    path.write_bytes(conn_tsv([]))
    assert judged(path) == "nothing could be scored: there is no record in the input"
    path.write_bytes(conn_tsv([cells(ts="noon")]))
    text = judged(path, rejects="R")
    assert text is not None
    assert 'conn.log line 9, where ts is "noon"' in text
    assert text.endswith("see R")


@pytest.mark.parametrize(
    ("kind", "says"), [("alert", "has to log flow events"), ("netflow", "one record per direction")]
)
def test_suricata_without_flows(tmp_path: Path, kind: str, says: str) -> None:
    event = {"event_type": kind, "timestamp": "2026-11-23T10:31:00.650568+0000", "flow_id": 1}
    text = judged(conn_json(tmp_path, *[event] * 4))
    assert text is not None
    assert says in text
    assert "`- flow`" in text


def test_a_file_that_breaks_off(tmp_path: Path) -> None:
    path = conn_json(tmp_path, *[GOOD] * 4)
    path.write_bytes(path.read_bytes()[:-20])
    text = judged(path)
    assert text is not None
    assert text.endswith("conn.log: the file ends too early; what could be read was scored")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    found = discover([conn_json(tmp_path, GOOD)])
    for unreadable, short in ((1, False), (2, True)):
        counters = ReadCounters()
        flows_of(found, counters=counters)
        counters.files_skipped["unreadable"] = unreadable
        text = shortfall(counters, found.streams)
        assert (text == "only 1 of 3 files could be opened") is short


def test_texts_of_a_log_are_inert(tmp_path: Path) -> None:
    text = judged(conn_json(tmp_path, {**GOOD, "id.orig_h": "\x1b[31m\u202e"}))
    assert text is not None
    assert text.isprintable()


FLOW = {
    "event_type": "flow",
    "timestamp": "2026-11-23T10:31:00.650568+0000",
    "src_ip": "10.0.0.1",
    "dest_ip": "10.0.0.2",
    "proto": "TCP",
    "flow": {"start": "2026-11-23T10:30:00.650568+0000"},
}


def blame(kind: Kind, record: Any) -> str | None:
    return culprit(kind, json.dumps(record).encode())


@pytest.mark.parametrize(
    ("kind", "record", "field", "value"),
    [
        (Kind.ZEEK_JSON, {**GOOD, "ts": "noon"}, "ts", '"noon"'),
        (Kind.ZEEK_JSON, {**GOOD, "id.resp_h": "a.test"}, "id.resp_h", '"a.test"'),
        # of two, the first
        (Kind.ZEEK_JSON, {**GOOD, "id.resp_h": "b", "ts": "noon"}, "ts", '"noon"'),
        (Kind.ZEEK_JSON, {k: v for k, v in GOOD.items() if k != "id.orig_h"}, "id.orig_h", None),
        (Kind.EVE, {**FLOW, "src_ip": "10.0.0"}, "src_ip", '"10.0.0"'),
        (Kind.EVE, {**FLOW, "flow": {"start": "noon"}}, "flow.start", '"noon"'),
        (Kind.EVE, {k: v for k, v in FLOW.items() if k != "dest_ip"}, "dest_ip", None),
    ],
)
def test_the_first_field_that_makes_it_unreadable(
    kind: Kind, record: dict[str, Any], field: str, value: str | None
) -> None:
    assert blame(kind, record) == f"{field} is {value or 'missing'}"


def test_no_field_is_to_blame() -> None:
    assert blame(Kind.ZEEK_JSON, GOOD) is None
    assert blame(Kind.EVE, FLOW) is None
    assert culprit(Kind.EVE, b"no json") is None
    assert culprit(Kind.ZEEK_TSV, b"a\tb") is None


def test_columns(conn_tsv: Make, cells: Make) -> None:
    header = conn_header(conn_tsv([]))
    row = cells(id_resp_h="10.0.0.999")
    found = culprit(Kind.ZEEK_TSV, "\t".join(row).encode(), header)
    assert found == 'id.resp_h is "10.0.0.999"'
    unset = culprit(Kind.ZEEK_TSV, "\t".join(cells(proto="-")).encode(), header)
    assert unset == "proto is missing"
    assert culprit(Kind.ZEEK_TSV, b"1\t2", header) is None


def test_what_is_shown_is_inert() -> None:
    assert str(blame(Kind.ZEEK_JSON, {**GOOD, "ts": "\x1b]0;x\x07" * 99})).isprintable()
