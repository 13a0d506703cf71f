from __future__ import annotations

import calendar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.flows.naming import natural_key, parse_name


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
    assert parsed.directory == tuple(directory[: len(parsed.directory)])
    natural_key(name)
