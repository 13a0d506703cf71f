"""Logs of events in archives: what is missing, damaged or hostile in them costs no flow."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from zeekml.readers.archive import flows_of
from zeekml.readers.events.event_schema import LONGEST_TEXT
from zeekml.readers.files.discovery import discover
from zeekml.readers.rejects import ReadCounters

DATA = Path(__file__).parent / "data" / "office_events"
LOGS = ("conn", "dns", "http", "ssl")


def copied(place: Path, *logs: str) -> Path:
    place.mkdir()
    for log in logs:
        name = f"{log}.log.gz"
        (place / name).write_bytes((DATA / name).read_bytes())
    return place


def read(place: Path) -> tuple[pa.Table, ReadCounters]:
    counters = ReadCounters()
    return flows_of(discover([place]), counters), counters


def kinds(flows: pa.Table) -> dict[str, int]:
    """How many events of each kind there are."""
    found: dict[str, int] = {}
    for of_flow in flows["events"].to_pylist():
        for event in of_flow or ():
            found[event["kind"]] = found.get(event["kind"], 0) + 1
    return found


def test_what_the_office_was_about(tmp_path: Path) -> None:
    flows, counters = read(copied(tmp_path / "all", *LOGS))
    assert counters.skipped == {"dns": 1435, "http": 260, "ssl": 495}
    assert not counters.rejected
    found = kinds(flows)
    # all but those that nobody would keep so many of for one connection
    assert 1400 < found["dns"] <= 1435
    assert 240 < found["http"] <= 260
    assert 460 < found["tls"] <= 495
    assert counters.with_events == len(flows) - flows["events"].null_count
    assert counters.without_flow == 0
    row = next(r for r in flows.to_pylist() if r["events"] and r["events"][0]["kind"] == "http")
    assert row["service"] == "http"


@pytest.mark.parametrize("missing", LOGS[1:])
def test_a_log_of_events_may_be_missing(tmp_path: Path, missing: str) -> None:
    whole, _ = read(copied(tmp_path / "all", *LOGS))
    flows, _ = read(copied(tmp_path / "some", *(log for log in LOGS if log != missing)))
    assert flows.drop_columns(["events", "source"]) == whole.drop_columns(["events", "source"])
    kind = {"ssl": "tls"}.get(missing, missing)
    assert kinds(flows) == {k: n for k, n in kinds(whole).items() if k != kind}


def test_an_hour_of_a_log_may_be_missing(tmp_path: Path) -> None:
    place = copied(tmp_path / "all", "conn", "dns")
    lines = gzip.decompress((DATA / "http.log.gz").read_bytes()).splitlines(keepends=True)
    header, records = [li for li in lines if li[:1] == b"#"], [li for li in lines if li[:1] != b"#"]
    third = len(records) // 3
    for hour, part in ((10, records[:third]), (12, records[2 * third :])):
        (place / f"http.2026-11-23-{hour}-00-00.log").write_bytes(b"".join([*header, *part]))
    flows, counters = read(place)
    assert counters.skipped["http"] == len(records) - third
    assert 0 < kinds(flows)["http"] <= len(records) - third


def test_a_log_of_events_that_breaks_off(tmp_path: Path) -> None:
    place = copied(tmp_path / "all", *LOGS)
    data = (place / "dns.log.gz").read_bytes()
    (place / "dns.log.gz").write_bytes(data[: len(data) // 2])
    flows, counters = read(place)
    whole, _ = read(copied(tmp_path / "whole", *LOGS))
    assert len(flows) == len(whole)
    assert len(counters.truncated) == 1
    assert 0 < kinds(flows)["dns"] < kinds(whole)["dns"]
    assert kinds(flows)["http"] == kinds(whole)["http"]


HOSTILE = "\x1b]0;x\x07\u202egnp.exe\u2066[bold red]\x9b31m\\x0a\\x09"


@pytest.mark.parametrize("form", ["tsv", "json"])
def test_hostile_texts_are_inert(tmp_path: Path, form: str) -> None:
    place = copied(tmp_path / "all", "conn")
    conn = gzip.decompress((DATA / "conn.log.gz").read_bytes()).splitlines()
    uid = next(line for line in conn if not line.startswith(b"#")).split(b"\t")[1].decode()
    long = "a" * 65_536
    record = {
        "ts": 1795429846.5, "uid": uid, "host": long, "uri": f"/{HOSTILE}", "user_agent": HOSTILE,
    }  # fmt: skip
    lines = [json.dumps(record)]
    if form == "tsv":
        names = "\t".join(["#fields", *record])
        lines = ["#separator \\x09", "#path\thttp", names, "\t".join(map(str, record.values()))]
    (place / "http.log").write_text("".join(f"{line}\n" for line in lines))
    flows, counters = read(place)
    assert counters.skipped == {"http": 1}
    (of_flow,) = [row for row in flows["events"].to_pylist() if row]
    (event,) = of_flow
    for name in ("name", "uri", "user_agent"):
        assert event[name].isprintable()
        assert len(event[name]) <= LONGEST_TEXT
    assert "\\u202e" in event["user_agent"]


def test_an_event_after_its_flow_is_not_used(tmp_path: Path) -> None:
    def record(kind: str, number: int, **more: Any) -> bytes:
        told = {
            "timestamp": "2026-11-23T10:31:00.650568+0000", "event_type": kind, "flow_id": number,
            "src_ip": "10.0.0.1", "src_port": 1, "dest_ip": "10.0.0.2", "dest_port": 80,
            "proto": "TCP",
        }  # fmt: skip
        return json.dumps(told | more).encode() + b"\n"

    about = {"start": "2026-11-23T10:30:48.019698+0000", "end": "2026-11-23T10:30:48.020427+0000"}
    (tmp_path / "eve.json").write_bytes(
        record("http", 1, http={"hostname": "before"})
        + record("flow", 1, flow=about)
        + record("http", 1, http={"hostname": "after"})
        + record("flow", 2, flow=about)
        + record("http", 2, http={"hostname": "late"})
    )
    flows, counters = read(tmp_path / "eve.json")
    names = [[e["name"] for e in row or ()] for row in flows["events"].to_pylist()]
    assert names == [["before"], []]
    assert (counters.with_events, counters.without_flow) == (1, 2)
