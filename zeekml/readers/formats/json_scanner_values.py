"""Compiled steps from scanned values (`zeekml.readers.formats.json_scanner`) to columns."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.core.jit import njit
from zeekml.readers.formats.json_scanner import MICROS, TEXT, Bytes, Ints

# until the year 2255 a float64 holds every microsecond, and all ways to divide it agree
_MOST_MICROS: Final = 1 << 53
_DAYS_BEFORE: Final = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], np.int64)
_MONTH_DAYS: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


@njit(cache=True, nogil=True)
def text_offsets(kinds: npt.NDArray[np.uint8], values: Ints, offsets: npt.NDArray[np.int32]) -> int:
    """Lay texts out one after the other; give how many are missing."""
    nulls = 0
    end = np.int64(0)
    offsets[0] = 0
    for i in range(len(kinds)):
        if kinds[i] == TEXT:
            end += values[i] & 0xFFFFFFFF
        else:
            nulls += 1
        offsets[i + 1] = end
    return nulls


@njit(cache=True, nogil=True)
def copy_texts(
    data: Bytes,
    kinds: npt.NDArray[np.uint8],
    values: Ints,
    offsets: npt.NDArray[np.int32],
    out: Bytes,
) -> None:
    one = np.uint64(1)
    to = np.uint64(0)
    for i in range(len(kinds)):
        if kinds[i] == TEXT:
            # unsigned indices spare the test for those that count from the end
            at = np.uint64(values[i] >> 32)
            for _ in range(offsets[i + 1] - offsets[i]):
                out[to] = data[at]
                at += one
                to += one


@njit(cache=True)
def _two(data: Bytes, i: int) -> int:
    """Two digits as a number, something very negative for anything else."""
    a, b = int(data[i]) - 48, int(data[i + 1]) - 48
    if a < 0 or a > 9 or b < 0 or b > 9:
        return -1_000_000
    return 10 * a + b


@njit(cache=True)
def _zone(data: Bytes, i: int, end: int) -> int:
    """Minutes east of Greenwich; something huge for what is no zone."""
    if end - i == 1 and data[i] == 90:
        return 0
    sign = 1 if data[i] == 43 else -1
    if data[i] != 43 and data[i] != 45:
        return 1 << 30
    if end - i == 5:
        hours, minutes = _two(data, i + 1), _two(data, i + 3)
    elif end - i == 6 and data[i + 3] == 58:
        hours, minutes = _two(data, i + 1), _two(data, i + 4)
    else:
        return 1 << 30
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return 1 << 30
    return sign * (60 * hours + minutes)


@njit(cache=True, nogil=True)
def read_moments(data: Bytes, kinds: npt.NDArray[np.uint8], values: Ints) -> None:
    """Turn texts (n,) like ``2026-11-23T10:30:48.019698+0000`` into microseconds."""
    for row in range(len(kinds)):
        if kinds[row] != TEXT:
            continue
        i = values[row] >> 32
        end = i + (values[row] & 0xFFFFFFFF)
        if end - i < 27:
            continue
        if data[i + 4] != 45 or data[i + 7] != 45 or data[i + 10] != 84:
            continue
        if data[i + 13] != 58 or data[i + 16] != 58 or data[i + 19] != 46:
            continue
        year = 100 * _two(data, i) + _two(data, i + 2)
        month, day = _two(data, i + 5), _two(data, i + 8)
        hour, minute, second = _two(data, i + 11), _two(data, i + 14), _two(data, i + 17)
        high, middle, low = _two(data, i + 20), _two(data, i + 22), _two(data, i + 24)
        zone = _zone(data, i + 26, end)
        if year < 1970 or month < 1 or month > 12 or day < 1 or zone == 1 << 30:
            continue
        if min(hour, minute, second) < 0 or hour > 23 or minute > 59 or second > 59:
            continue
        if min(high, middle, low) < 0:
            continue
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        if day > _MONTH_DAYS[month - 1] + (1 if leap and month == 2 else 0):
            continue
        before = year - 1
        days = 365 * (year - 1970) + before // 4 - before // 100 + before // 400 - 477
        days += _DAYS_BEFORE[month - 1] + day - 1 + (1 if leap and month > 2 else 0)
        minutes = 24 * 60 * days + 60 * hour + minute - zone
        micros = (60 * minutes + second) * 1_000_000 + 10_000 * high + 100 * middle + low
        if 0 <= micros < _MOST_MICROS:
            kinds[row] = MICROS
            values[row] = micros
