from __future__ import annotations

import pytest

from zeekml.datasets.label_columns import parse_port, parse_time


@pytest.mark.parametrize(
    "cell",
    [
        "1795429847.5",
        "1795429847500",
        " 1795429847500000 ",
        "2026-11-23T10:30:47.5Z",
        "2026-11-23 10:30:47.5",
        "2026-11-23 11:30:47.5 +0100",
    ],
)
def test_times_as_readers_of_logs_take_them(cell: str) -> None:
    assert parse_time(cell) == 1795429847.5


@pytest.mark.parametrize("cell", ["noon", "-5", "inf", "1e30", "-", "2026-11"])
def test_what_is_no_time(cell: str) -> None:
    with pytest.raises(ValueError):
        parse_time(cell)


def test_ports() -> None:
    assert [parse_port(cell) for cell in ("53", "53.0", " 53 ")] == [53] * 3
    for cell in ("70000", "-", "dns", "53.5", "inf"):
        with pytest.raises(ValueError):
            parse_port(cell)


def test_a_day_begins_at_midnight() -> None:
    assert parse_time("2026-11-23") == 1795392000.0
