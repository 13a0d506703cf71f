from __future__ import annotations

import calendar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.readers.files.file_names import natural_key, parse_name


def at(*parts: int) -> float:
    return float(calendar.timegm((*parts, *[0] * (6 - len(parts)))))


TEN = at(2026, 11, 23, 10)


@pytest.mark.parametrize(
    ("name", "directory", "base", "logger", "time", "number"),
    [
        ("conn.log", "", "conn", "", None, None),
        ("conn.2026-11-23-10-00-00.log", "", "conn", "", TEN, None),
        ("conn-26-11-23_10.00.00.log", "", "conn", "", TEN, None),
        ("conn.10:00:00-11:00:00.log.gz", "2026-11-23", "conn", "", TEN, None),
        ("conn.10:00:00-11:00:00-logger-1.log.gz", "2026-11-23", "conn", "logger-1", TEN, None),
        ("conn.2026-11-23.10:00:00-11:00:00.log.gz", "", "conn", "", TEN, None),
        (
            "conn__2026-11-23-10-00-00__2026-11-23-11-00-00__log_suffix=logger-1__.log",
            "",
            "conn",
            "logger-1",
            TEN,
            None,
        ),
        ("conn__2026-11-23-10-00-00__2026-11-23-11-00-00__.log", "", "conn", "", TEN, None),
        ("json_streaming_conn.1.log", "", "json_streaming_conn", "", None, 1),
        ("conn.log.12.gz", "", "conn", "", None, 12),
        ("eve.json", "", "eve", "", None, None),
        ("eve.json.2.gz", "", "eve", "", None, 2),
        ("eve.json-20261123", "", "eve", "", at(2026, 11, 23), None),
        ("eve.json-20261123.gz", "", "eve", "", at(2026, 11, 23), None),
        ("eve-2026-11-23-10:00.json", "", "eve", "", TEN, None),
        ("eve.1795428000.json.zst", "", "eve", "", 1795428000.0, None),
        ("eve.3.json", "", "eve", "3", None, None),
        ("eve.3.json.1.gz", "", "eve", "3", None, 1),
        ("conn-logger-2.log", "", "conn", "logger-2", None, None),
        ("conn.log", "logger-1", "conn", "logger-1", None, None),
        ("proxy_rolling_conn.15-00-00-16-00-00.log.gz", "", "proxy_rolling_conn", "", 54000, None),
        ("conn.2026-13-45-99-00-00.log", "", "conn.2026-13-45-99-00-00", "", None, None),
        ("malicious_conn_(2).log", "", "malicious_conn_(2)", "", None, None),
        (".log", "", ".log", "", None, None),
    ],
)
def test_names(
    name: str, directory: str, base: str, logger: str, time: float | None, number: int | None
) -> None:
    parsed = parse_name(name, [p for p in ["nsm", directory] if p])
    assert (parsed.base, parsed.logger, parsed.time, parsed.number) == (base, logger, time, number)
    assert parsed.directory == ("nsm",)


def test_date_and_current_directories_belong_to_one_place() -> None:
    places = {
        parse_name("conn.log", ["logs", *below]).directory
        for below in ([], ["current"], ["2026-11-23"], ["current", "logger-1"])
    }
    assert places == {("logs",)}


def test_natural_order() -> None:
    names = ["conn.10.log", "conn.2.log", "conn.log", "Conn.1.log"]
    assert sorted(names, key=natural_key) == ["Conn.1.log", "conn.2.log", "conn.10.log", "conn.log"]


@settings(max_examples=200)
@given(st.text(max_size=60), st.lists(st.text(max_size=12), max_size=4))
def test_any_name_is_survived(name: str, directory: list[str]) -> None:
    parsed = parse_name(name, directory)
    rest = iter(directory)
    assert all(part in rest for part in parsed.directory)
    assert parsed.base or not name
    natural_key(name)


FIVE_PAST = at(2026, 4, 7, 23, 5)


@pytest.mark.parametrize(
    ("path", "base", "time"),
    [
        # pfSense, Corelight, logrotate's dateext with hours, collectors
        ("eve.json.2026_0407_2305", "eve", FIVE_PAST),
        ("2026-04-07/conn_20260407_23:05:00-23:10:00+0000.log.gz", "conn", FIVE_PAST),
        ("conn_20260407_23:05:00-23:10:00-0330.log.gz", "conn", FIVE_PAST),
        ("eve.json-2026040723.gz", "eve", at(2026, 4, 7, 23)),
        ("eve.json-20260407-2305", "eve", FIVE_PAST),
        ("conn-2026-04-07T23-05-00Z.log", "conn", FIVE_PAST),
        ("conn.2026-04-07T23:05:00+00:00.log.zst", "conn", FIVE_PAST),
        ("eve_2026-04-07_23-05.json", "eve", FIVE_PAST),
        ("eve-20260407T2305.json", "eve", FIVE_PAST),
        ("conn_2026-04-07_23h05m00.log", "conn", FIVE_PAST),
        ("conn_260407-230500.log", "conn", FIVE_PAST),
        ("conn.2026-04-07 23:05:00.250.log", "conn", FIVE_PAST),
        ("conn_2026-04-07T23:05:00,123Z.log", "conn", FIVE_PAST),
        ("conn-07Apr2026-2305.log", "conn", FIVE_PAST),
        ("conn-2026-Apr-07.log", "conn", at(2026, 4, 7)),
        ("eve-2026-04-07_23.05.00_CEST.json", "eve", FIVE_PAST),
        # the time comes first
        ("2026-04-07_conn.log", "conn", at(2026, 4, 7)),
        ("20260407T230500-eve.json.gz", "eve", FIVE_PAST),
        ("site-2026-04-07-conn.log", "site-conn", at(2026, 4, 7)),
        # both ends of a span
        ("conn_20260407T230500Z-20260407T231000Z.log", "conn", FIVE_PAST),
        ("conn.2026-04-07-23-05-00-2026-04-07-23-10-00.log", "conn", FIVE_PAST),
        ("conn_2305-2310.log", "conn_2305-2310", None),
        ("2026-04-07/conn_2305-2310.log", "conn", FIVE_PAST),
        # seconds, milliseconds and microseconds since 1970
        ("eve.json.1775603100", "eve", FIVE_PAST),
        ("eve.1775603100000.json", "eve", FIVE_PAST),
        ("eve.1775603100.123456.json", "eve", FIVE_PAST),
        ("conn-1775603100-1775603400.log", "conn", FIVE_PAST),
        # days and hours as directories
        ("2026/04/07/conn.23.log", "conn", at(2026, 4, 7, 23)),
        ("2026/04/07/23/conn.log", "conn", at(2026, 4, 7, 23)),
        ("202604/07/conn.23:05:00-23:10:00.log", "conn", FIVE_PAST),
        ("year=2026/month=04/day=07/hour=23/eve.json.gz", "eve", at(2026, 4, 7, 23)),
        ("dt=2026-04-07/conn.log", "conn", at(2026, 4, 7)),
        ("2026-04/conn.2026-04-07-23-05-00.log", "conn", FIVE_PAST),
        ("2026/conn.2026-04-07-23-05-00.log", "conn", FIVE_PAST),
        # which is the month is not said, unless one of the numbers cannot be it
        ("07-04-2026_conn.log", "conn", None),
        ("conn_23.04.2026.log", "conn", at(2026, 4, 23)),
        # no times at all
        ("192.168.20.10_conn.log", "192.168.20.10_conn", None),
        ("conn_2026.log", "conn_2026", None),
        ("2026-02-30_conn.log", "2026-02-30_conn", None),
        ("conn_15min.log", "conn_15min", None),
        # addresses and numbers of sensors and networks
        ("2026-04-07/192.168.20.10_conn.log", "192.168.20.10_conn", at(2026, 4, 7)),
        ("2026-04-07_10.20.30.40-conn.log", "20.30.40-conn", at(2026, 4, 7, 10)),
        ("2026-04-07/sensor-12.conn.log", "sensor-12.conn", at(2026, 4, 7)),
        ("2026-04-07/conn_1001.log", "conn_1001", at(2026, 4, 7)),
        ("2026-04-07/conn_02.log", "conn_02", at(2026, 4, 7)),
        ("2026-04-07/23.conn.log", "conn", at(2026, 4, 7, 23)),
        ("2026-04-07/conn_230500.log", "conn", FIVE_PAST),
    ],
)
def test_times_are_found_wherever_they_stand(path: str, base: str, time: float | None) -> None:
    *above, name = path.split("/")
    parsed = parse_name(name, ["nsm", *above])
    assert (parsed.base, parsed.time, parsed.number, parsed.logger) == (base, time, None, "")
    assert parsed.directory == ("nsm",)


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("conn_20260407_23:05:00-23:10:00+0200.log", 7200.0),
        ("conn_20260407_23:05:00-23:10:00-0500.log", -18000.0),
        ("eve.json.2026-04-07T23:05:00-05:30", -19800.0),
        ("eve-2026-04-07T23-05-00Z.json", 0.0),
        ("eve.1775603100.json", 0.0),
        ("eve-2026-04-07-23:05.json", None),
    ],
)
def test_offsets_from_utc(name: str, offset: float | None) -> None:
    parsed = parse_name(name)
    assert (parsed.time, parsed.offset) == (FIVE_PAST, offset)


@pytest.mark.parametrize(
    ("name", "base", "logger", "number"),
    [
        ("eve.json.20260407.1", "eve", "", 1),
        ("eve.json-20260407.12.gz", "eve", "", 12),
        ("conn.2026-04-07.log.2", "conn", "", 2),
        ("conn.log.gz.3", "conn", "", 3),
        ("conn.log.0", "conn", "", 0),
        ("conn.log.old", "conn", "", 1),
        ("conn.log.bak.gz", "conn", "", 1),
        ("eve.json~", "eve", "", 1),
        ("eve-2026-04-07-23:05.3.json", "eve", "3", None),
        ("eve.3.2026-04-07-23:05.json", "eve", "3", None),
        ("conn-logger-2.2026-04-07-23-05-00.log", "conn", "logger-2", None),
        ("conn.2026-04-07-23-05-00-logger-2.log", "conn", "logger-2", None),
    ],
)
def test_numbers_and_writers(name: str, base: str, logger: str, number: int | None) -> None:
    parsed = parse_name(name)
    assert (parsed.base, parsed.logger, parsed.number) == (base, logger, number)


def test_directories_by_day_above_those_of_sensors() -> None:
    days = [parse_name("conn.log", ["nsm", f"2026-04-0{day}", "dmz"]) for day in (7, 8)]
    assert [name.directory for name in days] == [("nsm", "dmz")] * 2
    assert [name.time for name in days] == [at(2026, 4, 7), at(2026, 4, 8)]


def test_pieces_agree_in_their_family() -> None:
    assert parse_name("conn_part03.log").family == parse_name("conn_part11.log").family
    assert parse_name("conn_a.log").family != parse_name("conn_b.log").family
