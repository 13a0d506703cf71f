"""Dates of records: what is read, what is asked for, and how times are given."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zeekml.readers.record_dates import LATE, RecordDates, read_duration, read_moment


def test_the_beginning_is_wanted_and_the_end_is_not() -> None:
    dates = RecordDates(1000.0, 2000.0, warm_up=60.0)
    ends = np.array([999.999999, 1000.0, 1999.999999, 2000.0])
    assert dates.wanted(ends).tolist() == [False, True, True, False]


def test_a_time_is_told_to_the_microsecond_however_it_is_rounded() -> None:
    moment = 1_795_430_648.3
    dates = RecordDates(begin=moment)
    assert dates.wanted(np.array([1_795_430_648.0 + 0.1 + 0.2])).all()
    assert not RecordDates(end=moment).wanted(np.array([moment + 1e-8])).any()


def test_context_is_read_on_both_sides() -> None:
    dates = RecordDates(10_000.0, 20_000.0, warm_up=3600.0)
    ends = np.array([6399.0 - LATE, 6400.0 - LATE, 20_000.0 + LATE - 1, 20_000.0 + LATE])
    assert dates.read(ends).tolist() == [False, True, True, False]


def test_open_sides_take_everything() -> None:
    ends = np.array([0.0, 5e9])
    assert RecordDates().read(ends).all()
    assert RecordDates().wanted(ends).all()
    assert RecordDates(begin=1.0).wanted(ends).tolist() == [False, True]
    assert RecordDates(end=1.0).read(ends).tolist() == [True, False]


@pytest.mark.parametrize(
    ("begin", "end", "warm_up"),
    [(2.0, 2.0, 0.0), (3.0, 2.0, 0.0), (1.0, 2.0, -1.0), (1.0, 2.0, math.inf), (math.nan, 2.0, 0)],
)
def test_no_such_dates(begin: float, end: float, warm_up: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        RecordDates(begin, end, warm_up)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-20", 1_795_132_800.0),
        ("2026-11-20T08:30", 1_795_163_400.0),
        ("2026-11-20 08:30:00.5", 1_795_163_400.5),
        ("2026-11-20T09:30+01:00", 1_795_163_400.0),
        ("2026-11-20T08:30Z", 1_795_163_400.0),
        ("1795163400", 1_795_163_400.0),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    assert read_moment(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "-", "yesterday", "2026-13-01", "20261123", "-5", "1e99", "nan", "\0"]
)
def test_no_moments(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time such as"):
        read_moment(text)


def test_durations() -> None:
    assert [read_duration(text) for text in ("90s", "30m", "12h", "7d", "0s")] == [
        *(90.0, 1800.0, 43_200.0, 604_800.0, 0.0),
    ]
    for text in ("", "7", "d", "-1h", "1.5h", "7 d", "1w", "٣h"):
        with pytest.raises(ValueError, match="must be a duration"):
            read_duration(text)
