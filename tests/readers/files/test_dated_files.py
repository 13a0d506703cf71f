"""Files are left out by dates only where nothing of these dates can be in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from zeekml.readers.files.dated_files import on_dates
from zeekml.readers.files.discovery import Discovery, discover
from zeekml.readers.record_dates import RecordDates

DAY = 86_400.0
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = 20


def record(moment: datetime) -> str:
    values = {
        "ts": moment.timestamp(),
        "uid": f"C{moment.timestamp():.0f}",
        "id.orig_h": "10.0.0.1",
        "id.orig_p": 1234,
        "id.resp_h": "10.0.0.2",
        "id.resp_p": 80,
        "proto": "tcp",
        "duration": 1.0,
        "conn_state": "SF",
    }
    return json.dumps(values) + "\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for number in range(DAYS):
        day = BEGIN + timedelta(days=number)
        directory = tmp_path / day.date().isoformat()
        directory.mkdir()
        lines = "".join(record(day + timedelta(hours=hour)) for hour in range(24))
        (directory / "conn.00:00:00-00:00:00.log").write_text(lines)
        beside = {"ts": day.timestamp(), "uid": "C1", "id.orig_h": "10.0.0.1", "query": "a.example"}
        beside |= {"id.orig_p": 1, "id.resp_h": "10.0.0.2", "id.resp_p": 53, "proto": "udp"}
        (directory / "dns.00:00:00-00:00:00.log").write_text(json.dumps(beside) + "\n")
    return tmp_path


def days(found: Discovery) -> list[int]:
    names = [file.path for stream in found.streams for file in stream.files]
    return [int(path.parent.name[-2:]) for path in names if path is not None]


def test_files_of_other_dates_are_left_out_with_days_to_spare(archive: Path) -> None:
    begin = (BEGIN + timedelta(days=9)).timestamp()  # the tenth
    found = on_dates(discover([archive]), RecordDates(begin, begin + DAY, warm_up=3600.0))
    assert days(found) == list(range(7, 15))
    assert found.files_skipped["outside_dates"] == 2 * DAYS - 16
    beside = found.streams[0].beside["dns"]
    assert {int(f.path.parent.name[-2:]) for f in beside if f.path is not None} == set(range(7, 15))


def test_logs_of_interim_records_are_chosen_likewise(archive: Path) -> None:
    for directory in archive.iterdir():
        log = directory / "conn.00:00:00-00:00:00.log"
        (directory / "conn_long.00:00:00-00:00:00.log").write_text(log.read_text())
    begin = (BEGIN + timedelta(days=9)).timestamp()
    found = on_dates(discover([archive]), RecordDates(begin, begin + DAY, warm_up=3600.0))
    kept = found.streams[0].interim["conn_long"]
    assert {int(f.path.parent.name[-2:]) for f in kept if f.path is not None} == set(range(7, 15))


def test_a_longer_warm_up_reads_more_files(archive: Path) -> None:
    begin = (BEGIN + timedelta(days=9)).timestamp()
    found = on_dates(discover([archive]), RecordDates(begin, begin + DAY, warm_up=7 * DAY))
    assert days(found) == list(range(1, 15))


def test_without_dates_all_are_read(archive: Path) -> None:
    found = discover([archive])
    assert on_dates(found, None) is found


def test_nothing_of_these_dates(archive: Path) -> None:
    late = (BEGIN + timedelta(days=100)).timestamp()
    early = (BEGIN - timedelta(days=100)).timestamp()
    # the last file may go on for ever, as far as anybody knows
    assert days(on_dates(discover([archive]), RecordDates(late))) == [DAYS]
    assert days(on_dates(discover([archive]), RecordDates(end=early))) == [1]


def test_a_gap_hides_nothing(archive: Path) -> None:
    for number in range(5, 15):
        for path in (archive / (BEGIN + timedelta(days=number)).date().isoformat()).iterdir():
            path.unlink()
    begin = (BEGIN + timedelta(days=9)).timestamp()
    found = on_dates(discover([archive]), RecordDates(begin, begin + DAY))
    # a flow that ended within the gap may be in the file before it, or in the one after it
    assert days(found) == [5, 16]


def test_a_sensor_without_a_clock_at_first_hides_nothing(archive: Path) -> None:
    path = archive / "2026-11-11" / "conn.00:00:00-00:00:00.log"
    boot = datetime(2023, 1, 1, tzinfo=UTC)
    wrong = "".join(record(boot + timedelta(seconds=number)) for number in range(40))
    path.write_text(wrong + path.read_text())
    for day in (10, 11):
        begin = (BEGIN + timedelta(days=day - 1)).timestamp()
        found = on_dates(discover([archive]), RecordDates(begin, begin + DAY))
        assert day in days(found)


def test_names_may_be_of_the_end(tmp_path: Path) -> None:
    for week in range(1, 5):
        end = BEGIN + timedelta(days=7 * week)
        first = end - timedelta(days=7)
        lines = "".join(record(first + timedelta(hours=hour)) for hour in range(7 * 24))
        (tmp_path / f"conn.log-{end:%Y%m%d}").write_text(lines)
        beside = {
            "ts": first.timestamp(),
            "uid": "C1",
            "id.orig_h": "10.0.0.1",
            "query": "a.example",
        }
        beside |= {"id.orig_p": 1, "id.resp_h": "10.0.0.2", "id.resp_p": 53, "proto": "udp"}
        (tmp_path / f"dns.log-{end:%Y%m%d}").write_text(json.dumps(beside) + "\n")
    for day in range(1, 28):
        begin = (BEGIN + timedelta(days=day - 1)).timestamp()
        stream = on_dates(discover([tmp_path]), RecordDates(begin, begin + DAY)).streams[0]
        end = BEGIN + timedelta(days=7 * ((day + 6) // 7))
        for files in (stream.files, stream.beside["dns"]):
            assert any(file.path and file.path.name.endswith(f"{end:%Y%m%d}") for file in files)
