"""How a single value of a record is read, whatever format it stands in.

Writers, shippers and spreadsheets put the same value in many ways: numbers as text, whole numbers
as ``443.0``, times as ISO 8601 or as epoch seconds, milliseconds and so on. All readers take all of
them, and by the functions here; what a reader takes in whole columns means the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import NoneType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.readers.flow_schema import FLOW_SCHEMA

MAX_COUNT: Final = 2**63 - 1
MAX_PORT: Final = 65535
MAX_TIME: Final = 253_402_300_800
"""Seconds from 1970 to the year 10000: no calendar goes further, nor do times in features."""

MAX_SECONDS: Final = 1e11
"""No time in seconds goes beyond (the year 5138): a larger number counts smaller units."""

TIMES: Final = ("ts", "duration")
PORTS: Final = ("id.orig_p", "id.resp_p")
_PAYLOAD: Final = ("orig_bytes", "resp_bytes", "missed_bytes")
COUNTS: Final = (*_PAYLOAD, "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes")
HIGHEST: Final = dict.fromkeys(PORTS, MAX_PORT) | dict.fromkeys(COUNTS, MAX_COUNT)
"""By column of whole numbers, the highest one that can be."""

ADDRESSES: Final = ("id.orig_h", "id.resp_h")
TEXTS: Final = ("uid", "conn_state", "history", "community_id")
RECORD_COLUMNS: Final = (*TIMES, *PORTS, *COUNTS, *ADDRESSES, *TEXTS, "proto", "service")
"""The columns that a record itself can carry; the others say where it came from."""

RAW_TYPES: Final[dict[str, Any]] = {name: FLOW_SCHEMA.field(name).type for name in RECORD_COLUMNS}

# what Arrow converts by itself; it would cut 5.5 down to 5 without a word
_NATIVE: Final[dict[Any, frozenset[type]]] = {
    pa.float64(): frozenset({int, float, NoneType}),
    **dict.fromkeys((pa.int32(), pa.int64()), frozenset({int, NoneType})),
    pa.string(): frozenset({str, NoneType}),
}

UNREADABLE: Final = object()
"""Stands for a value that is there and cannot be understood; no function here takes it."""

# as Arrow reads them: ASCII digits, and no digit that could be matched in two ways
_DECIMAL: Final = re.compile(r"(-?)0*+([0-9]*+)")
_HEX: Final = re.compile(r"0[xX][0-9A-Fa-f]{1,16}")
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]+)?")
_EXACT_DIGITS: Final = 19
_MOMENT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"|(\d{4}-?\d\d-?\d\d[T ]\d[\d:.,]*) ?(?:Z|UTC|GMT|([+-]\d\d(?::?\d\d)?))?",
    re.ASCII | re.IGNORECASE,
)
_LONGEST_MOMENT: Final = 64
UNSET: Final = frozenset({"", "-", "(empty)"})
"""What a writer that knows texts alone puts for a value it does not have."""


def epoch_seconds(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Epoch times in seconds that may count milli-, micro- or nanoseconds."""
    large = times >= MAX_SECONDS
    if not large.any():
        return times
    seconds = times.copy()
    for unit in (1e3, 1e6, 1e9):
        # a thousand times as many are of the next smaller unit
        here = large & (times < unit * MAX_SECONDS)
        seconds[here] /= unit
        large &= ~here
    seconds[large] = np.inf
    return seconds


def read_time(value: Any) -> float | None:
    """Read an epoch time or one in ISO 8601 (UTC where it names no zone) as epoch seconds."""
    is_text = type(value) is str and len(value) <= _LONGEST_MOMENT
    if is_text and (match := _MOMENT.fullmatch(value.strip())):
        day, clock, zone = match.groups()
        moment = datetime.fromisoformat(day or clock + (zone or ""))
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        if seconds >= MAX_SECONDS:
            raise ValueError("no time goes so far")
        return seconds
    number = read_interval(value)
    if number is None or number < MAX_SECONDS:
        return number
    return float(epoch_seconds(np.array([number], np.float64))[0])


def read_interval(value: Any) -> float | None:
    """Read seconds."""
    number = read_number(value)
    return None if number is None else float(number)


def read_number(value: Any) -> int | float | None:
    """Read a number or a text that spells one; None for a text that says there is none."""
    kind = type(value)
    if kind is int or kind is float:
        return value
    if kind is Decimal:
        return float(value)
    if kind is not str:
        raise ValueError(value)
    text = value.strip(" \t")
    if text in UNSET:
        return None
    if (match := _DECIMAL.fullmatch(text)) is not None and len(match[2]) <= _EXACT_DIGITS:
        return int(match[1] + (match[2] or "0"))
    # whatever else Arrow and Python take for one (infinities, NaN) is no number here
    if not _FLOAT.fullmatch(text):
        raise ValueError("no number")
    return float(text)


def _whole(value: Any, highest: int) -> int | None:
    is_hex = type(value) is str and _HEX.fullmatch(value.strip(" \t"))
    number = int(value, 16) if is_hex else read_number(value)
    if number is None:
        return None
    if not 0 <= number <= highest or number != int(number):
        raise ValueError("no whole number in range")
    return int(number)


read_port: Final = partial(_whole, highest=MAX_PORT)  # or what an ICMP record has in its place
read_count: Final = partial(_whole, highest=MAX_COUNT)  # of bytes or packets


def read_text(value: Any) -> str:
    """Read a text; a number that stands for one is spelled out."""
    if type(value) is str:
        # a lone surrogate is the only text that Arrow refuses
        return value.encode("utf-8", "backslashreplace").decode()
    if type(value) is int or (type(value) is float and value.is_integer() and abs(value) < 2**63):
        return str(int(value))
    raise ValueError("no text")


def read_set(value: Any) -> str:
    """Read a set of names as a text in which commas part them."""
    if isinstance(value, list):
        return ",".join(map(read_text, value))
    return read_text(value)


READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "ts": read_time,
    "duration": read_interval,
    **dict.fromkeys(PORTS, read_port),
    **dict.fromkeys(COUNTS, read_count),
    **dict.fromkeys((*ADDRESSES, *TEXTS, "proto"), read_text),
    "service": read_set,
}
"""By column, what reads a value; each raises ValueError or OverflowError for what it cannot."""


def understood(read: Callable[[Any], Any], value: Any) -> Any:
    """What `read` makes of a value: None where there is none, else `UNREADABLE`."""
    if value is None:
        return None
    try:
        return read(value)
    except (ValueError, OverflowError):
        return UNREADABLE


def read_column(name: str, values: Sequence[Any]) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Read the values of one of `RECORD_COLUMNS`: see `read_values`."""
    kind = RAW_TYPES[name]
    if set(map(type, values)) <= _NATIVE[kind]:
        with suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeError):
            return pa.array(values, kind), np.zeros(len(values), np.bool_)
    return read_values(READERS[name], kind, values)


def read_values(
    read: Callable[[Any], Any], kind: pa.DataType, values: Sequence[Any]
) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Read numbers, texts and whatever else stood in a column; None is where nothing did.

    What comes is a column with null for all that is no value, and the rows (n,) with something
    that could not be read.
    """
    known = [understood(read, value) for value in values]
    unread = np.array([value is UNREADABLE for value in known], np.bool_)
    return pa.array([None if value is UNREADABLE else value for value in known], kind), unread
