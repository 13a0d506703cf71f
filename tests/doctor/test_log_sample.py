"""What the check says of records is what the readers do with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_lines import COLUMNS, NOW, Findings, as_json, as_tsv, conn, event

from zeekml.doctor.access import Account
from zeekml.doctor.finding import Level
from zeekml.doctor.logs import examine_log
from zeekml.live.tail.default_paths import Found
from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import discover
from zeekml.readers.formats.zeek_header import named_columns
from zeekml.readers.rejects import ReadCounters

GOOD = conn(NOW - 20)


def look(path: Path, sensor: str, **more: Any) -> Findings:
    os.utime(path, (NOW - 3, NOW - 3))
    logs = [Found(path, sensor)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zeekml.doctor.record_findings.time", SimpleNamespace(time=lambda: NOW))
        found = examine_log(logs[0], logs, Account.examined(), path.parent / "root", **more)
    return Findings(found)


def test_one_sided_traffic_is_told(tmp_path: Path) -> None:
    half = {**GOOD, "conn_state": "SHR", "history": "^hadf", "orig_pkts": 0}
    scan = {**GOOD, "conn_state": "S0", "history": "S", "orig_pkts": 1, "resp_pkts": 0}
    log = tmp_path / "conn.log"
    log.write_bytes(as_tsv(*[GOOD] * 88, *[half] * 12))
    found = look(log, "zeek")["both_sides"]
    assert found.level is Level.WARN
    assert found.text.startswith("12% of the latest 100 TCP and UDP flows have packets of one side")
    assert "ignore_checksums" in found.remedy
    assert "stream.checksum-validation" in found.remedy
    log.write_bytes(as_tsv(*[GOOD] * 90, *[half] * 10))
    assert look(log, "zeek")["both_sides"].level is Level.OK
    log.write_bytes(as_tsv(*[half] * 99))
    assert look(log, "zeek")["both_sides"].level is Level.UNKNOWN
    log.write_bytes(as_tsv(*[scan] * 1000, *[GOOD] * 10))
    assert look(log, "zeek")["both_sides"].level is Level.OK


def test_one_sided_traffic_of_suricata_is_told(tmp_path: Path) -> None:
    whole = event("flow", tcp={"tcp_flags_ts": "1b", "tcp_flags_tc": "1b"})
    whole["flow"] |= {"pkts_toclient": 5}
    # packets of the server are counted, but their checksums were wrong
    half = {**whole, "tcp": {"tcp_flags_ts": "1b", "tcp_flags_tc": "00"}}
    log = tmp_path / "eve.json"
    log.write_bytes(as_json(*[whole] * 80, *[half] * 20))
    assert look(log, "suricata")["both_sides"].level is Level.WARN
    log.write_bytes(as_json(*[whole] * 100))
    assert look(log, "suricata")["both_sides"].level is Level.OK


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({**GOOD, "id.resp_h": "no address"}, 'id.resp_h is "no address"'),
        ({**GOOD, "ts": "yesterday"}, 'ts is "yesterday"'),
        ({**{k: v for k, v in GOOD.items() if k != "proto"}}, "proto is missing"),
        (
            {**{k.replace("id.", "id_"): v for k, v in GOOD.items()}, "id_orig_h": "x"},
            'id_orig_h is "x"',
        ),
    ],
)
def test_the_field_to_blame_is_named(
    tmp_path: Path, record: dict[str, Any], complaint: str
) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(as_json(*[record] * 3, GOOD))
    found = look(path, "zeek")["lines"]
    assert found.level is Level.FAIL
    assert found.text.endswith(f"such as one where {complaint}")


def test_the_column_to_blame_is_named(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(as_tsv(GOOD, {**GOOD, "id.orig_h": "10.0.0"}, {**GOOD, "id.orig_h": "-"}))
    assert look(path, "zeek")["lines"].text.endswith('where id.orig_h is "10.0.0"')
    path.write_bytes(as_tsv(GOOD, GOOD, {**GOOD, "id.orig_h": "-"}))
    found = look(path, "zeek")["lines"]
    assert found.level is Level.WARN
    assert found.text.endswith("where id.orig_h is missing")


def test_an_event_s_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    path.write_bytes(as_json(*[{**event("flow"), "dest_ip": "10.0.0.300"}] * 30))
    found = look(path, "suricata")
    assert found["lines"].text.endswith('where dest_ip is "10.0.0.300"')
    # they are logged: nobody is told to switch them on
    assert found.level("flow_events") is Level.UNKNOWN


def test_other_spellings_are_columns_as_well(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(as_json(*[{k.replace("id.", "id_"): v for k, v in GOOD.items()}] * 30))
    found = look(path, "zeek")
    assert found.level("lines") is found.level("columns") is Level.OK


def test_values_that_are_taken_for_unknown(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(as_json(*[{**GOOD, "duration": "long", "orig_pkts": -1}] * 30))
    found = look(path, "zeek")
    assert found.level("lines") is Level.OK
    assert found.level("values") is Level.WARN
    assert "duration 30" in found["values"].text


def test_nothing_is_said_of_columns_where_no_flow_could_be_read(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(as_json(*[{**GOOD, "ts": "yesterday"}] * 30))
    assert look(path, "zeek").level("columns") is Level.UNKNOWN


def test_a_log_without_header(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(as_tsv(GOOD, GOOD).split(b"\n", 6)[-1])
    found = look(path, "zeek")["format"]
    assert (found.level, "no header" in found.text) == (Level.FAIL, True)
    assert "include_meta" in found.remedy
    given_columns = look(path, "zeek", columns=named_columns(COLUMNS))
    assert given_columns.level("lines") is Level.OK
    assert given_columns.level("format") is Level.WARN


VALUES = st.none() | st.booleans() | st.integers(-9, 99) | st.sampled_from(["", "x", "5", "::1"])


@settings(max_examples=60)
@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=2), min_size=1))
def test_as_many_lines_as_are_rejected(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("check") / "conn.log"
    path.write_bytes(as_json(GOOD, *({**GOOD, **change} for change in changes)))
    counters = ReadCounters()
    flows_of(discover([path]), counters=counters)
    bad = sum(counters.rejected.values())
    found = look(path, "zeek")["lines"]
    if bad:
        assert found.text.startswith(f"{bad} of the latest {counters.records_read} lines cannot")
    else:
        assert found.text == f"all of the latest {counters.records_read} lines can be read"


def test_hostile_names_and_values_are_inert(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(json.dumps({**GOOD, "id.orig_h": "\x1b[31m\u202e"}).encode() + b"\n")
    assert look(path, "zeek")["lines"].text.isprintable()
