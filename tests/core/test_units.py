"""Counts, lengths of time, sizes and moments in words."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from zeekml.core.units import (
    amount_of_data,
    counted,
    duration,
    duration_in_words,
    two_digit_duration,
    two_digit_size,
    two_digits,
    utc,
    when,
)


def test_utc_keeps_microseconds_and_survives_damaged_times() -> None:
    assert utc(1795430646.123456) == datetime(2026, 11, 23, 10, 44, 6, 123456, tzinfo=UTC)
    assert utc(-5.0).year == 1970
    assert utc(1e300).year == 9999
    assert utc(math.nan).year == 1970
    assert utc(math.inf).year == 1970
    assert when(0.0) == "1970-01-01 00:00:00"


def test_counts() -> None:
    assert [counted(n, "flow") for n in (1, 2, 1024)] == ["1 flow", "2 flows", "1,024 flows"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "less than 1 s"), (1.0, "1 s"), (119.4, "119 s"), (120.0, "2 min"), (7199.0, "120 min"),
     (7200.0, "2 h"), (172_799.0, "48 h"), (172_800.0, "2 days"), (1e12, "11,574,074 days")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 seconds"), (1.0, "1 second"), (60.0, "1 minute"), (100.0, "100 seconds"),
     (120.0, "2 minutes"), (3600.0, "1 hour"), (5000.0, "83 minutes"), (14_400.0, "4 hours"),
     (86_400.0, "1 day"), (90_000.0, "25 hours"), (604_800.0, "7 days")],
)  # fmt: skip
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration_in_words(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (4_210_000, "4.2 MB"), (48_000_000, "48 MB"),
     (999_600, "1.0 MB"), (2**62, "4,611,686 TB")],
)  # fmt: skip
def test_amounts_of_data(size: int, text: str) -> None:
    assert amount_of_data(size) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.001, "0"), (0.014, "0.014"), (0.5, "0.5"), (2.0, "2"), (3.14159, "3.1"),
     (41.6, "42"), (-41.6, "-42"), (1e7, "10000000")],
)  # fmt: skip
def test_two_digits(value: float, text: str) -> None:
    assert two_digits(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.04, "40 ms"), (1.5, "1.5 s"), (119.0, "119 s"), (150.0, "2.5 min"),
     (7200.0, "2 h"), (864_000.0, "240 h")],
)  # fmt: skip
def test_two_digit_durations(seconds: float, text: str) -> None:
    assert two_digit_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0.5, "0.5 B"), (999.6, "1 kB"), (1_234_567.0, "1.2 MB"), (4e6, "4 MB"), (5e15, "5000 TB")],
)  # fmt: skip
def test_two_digit_sizes(size: float, text: str) -> None:
    assert two_digit_size(size) == text
