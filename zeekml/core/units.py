"""Amounts in words: counts, lengths of time, sizes of data, and moments in UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND: Final = 253_402_300_799.0  # the end of the year 9999, where calendars here stop

_TIMES: Final = (
    (86_400.0, "days", "day"),
    (3600.0, "h", "hour"),
    (60.0, "min", "minute"),
    (1.0, "s", "second"),
)
_SIZES: Final = ("B", "kB", "MB", "GB", "TB")


def utc(ts: float) -> datetime:
    """The moment of an epoch time, to the microsecond.

    Times outside the years 1970 to 9999, which only a damaged log holds, become the nearest end
    of that range instead of an error.
    """
    bounded = min(max(ts, 0.0), _LAST_SECOND) if math.isfinite(ts) else 0.0
    return _EPOCH + timedelta(microseconds=round(bounded * 1e6))


def when(ts: float) -> str:
    """A moment in UTC, to the second."""
    return f"{utc(ts):%Y-%m-%d %H:%M:%S}"


def counted(number: int, noun: str) -> str:
    """``1 flow``, ``312 flows``, ``1,024 flows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """A length of time in the one unit that suits it, such as ``12 s`` or ``5 min``."""
    if seconds < 1.0:
        return "less than 1 s"
    size, symbol, _ = next(t for t in _TIMES if seconds >= 2.0 * t[0] or t[0] == 1.0)
    return f"{seconds / size:,.0f} {symbol}"


def duration_in_words(seconds: float) -> str:
    """A length of time as a sentence has it, such as ``83 minutes``, ``1 hour`` or ``3 days``."""
    units = (t for t in _TIMES if seconds >= 2.0 * t[0] or seconds == t[0] or t[0] == 1.0)
    size, _, noun = next(units)
    number = f"{seconds / size:.0f}"
    return f"{number} {noun}" if number == "1" else f"{number} {noun}s"


def amount_of_data(size: int) -> str:
    """Bytes in decimal units with two or three telling digits, such as ``4.2 MB``."""
    value, unit = _scaled(size)
    return f"{value:.1f} {unit}" if value < 10.0 and unit != "B" else f"{value:,.0f} {unit}"


def two_digits(value: float) -> str:
    """Two telling digits, and no exponents for the large counts that logs are full of."""
    if abs(value) >= 10 or value == round(value):
        text = f"{value:.0f}"
    elif abs(value) >= 0.01:
        text = f"{value:.2g}"
    else:
        text = "0"
    return "0" if text == "-0" else text


def two_digit_duration(seconds: float) -> str:
    """A length of time in two telling digits, such as ``40 ms``, ``1.5 s`` or ``3 h``."""
    if seconds < 1.0:
        return f"{two_digits(1000 * seconds)} ms"
    for size, symbol, limit in ((1.0, "s", 120.0), (60.0, "min", 7200.0)):
        if seconds < limit:
            return f"{two_digits(seconds / size)} {symbol}"
    return f"{two_digits(seconds / 3600.0)} h"


def two_digit_size(size: float) -> str:
    """Bytes, or their mean or rate, in two telling digits, such as ``0.5 B`` or ``4 MB``."""
    value, unit = _scaled(size)
    return f"{two_digits(value)} {unit}"


def _scaled(size: float) -> tuple[float, str]:
    value = float(size)
    for unit in _SIZES[:-1]:
        if value < 999.5:
            return value, unit
        value /= 1000.0
    return value, _SIZES[-1]
