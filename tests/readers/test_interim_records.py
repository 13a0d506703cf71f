"""Interim records beside archives are read as far as the flows have come, and no further."""

from __future__ import annotations

import json
from pathlib import Path

from zeekml.readers.files.discovery import discover
from zeekml.readers.interim_records import InterimReader, LogClock
from zeekml.readers.record_dates import RecordDates

BEGIN = 1_795_400_000.0
DAY = 86_400.0


def record(ends: float, uid: str) -> bytes:
    """Of a flow that has lasted ten minutes then."""
    addresses = {"id.orig_h": "10.0.0.1", "id.resp_h": "192.0.2.1", "proto": "tcp"}
    flow = {"ts": BEGIN + ends - 600.0, "duration": 600.0, "uid": uid}
    return json.dumps(flow | addresses).encode() + b"\n"


def reader(place: Path, *files: list[float], dates: RecordDates | None = None) -> InterimReader:
    """Of logs whose records end then, each file a batch."""
    (place / "conn.log").write_bytes(record(0.0, "C"))
    for number, ends in enumerate(files):
        lines = b"".join(record(end, f"{number}.{row}") for row, end in enumerate(ends))
        (place / f"conn_long.2026-11-23-{10 + number}.log").write_bytes(lines)
    (stream,) = discover([place]).streams
    return InterimReader(stream, dates)


def read(interim: InterimReader, until: float) -> list[str]:
    batches = interim.read_until(BEGIN + until)
    return [uid for batch in batches for uid in batch.flows.column("uid").to_pylist()]


def test_no_further_than_needed(tmp_path: Path) -> None:
    interim = reader(tmp_path, [10.0, 20.0], [30.0, 40.0], [50.0])
    assert read(interim, 5.0) == ["0.0", "0.1"]
    assert read(interim, 15.0) == []
    # what comes later in the log may have the same time
    assert read(interim, 20.0) == ["1.0", "1.1"]
    assert dict(interim.counters.skipped) == {"conn_long": 4}
    assert read(interim, DAY) == ["2.0"]
    assert read(interim, DAY) == []


def test_one_wrong_time_stops_no_log(tmp_path: Path) -> None:
    far = 1000 * DAY
    interim = reader(tmp_path, [far, 10.0], [20.0, far], [30.0], [40.0])
    assert read(interim, 25.0) == ["0.0", "0.1", "1.0", "1.1", "2.0"]
    assert read(interim, 30.0) == ["3.0"]


def test_a_clock_takes_what_two_records_say() -> None:
    clock, day = LogClock(), int(DAY * 1e6)
    ends = [100, 101, 99, 150, 102, 300, 301, 302, 290]
    assert [clock.tick(end * day) // day for end in ends] == [
        *(100, 101, 101),
        150,  # far ahead, and the next one says otherwise
        102,
        *(300, 301, 302, 302),  # after a long silence
    ]


def test_dates_hold_for_interim_records(tmp_path: Path) -> None:
    dates = RecordDates(BEGIN + 10 * DAY, BEGIN + 11 * DAY)
    interim = reader(tmp_path, [DAY, 10.5 * DAY, 10.0 * DAY - 1800.0, 12 * DAY], dates=dates)
    assert read(interim, 20 * DAY) == ["0.1", "0.2"]
    assert interim.counters.skipped["conn_long"] == 1
