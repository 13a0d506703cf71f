"""What the two JSON readers share: parsing single lines, and typed columns of their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from zeekml.flows.columns import (
    COUNTS,
    MAX_COUNT,
    MAX_PORT,
    PORTS,
    RAW_TYPES,
    TIMES,
    BoolArray,
)
from zeekml.flows.rejects import BAD_JSON, BAD_UTF8, TRUNCATED, SourceAccount

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a `line_decoder` raises; the last one for brackets in great number that nothing closes."""

MAX_DEPTH: Final = 400
"""Most objects and arrays within each other, far more than any log has."""

_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?')
_ARROW_ERRORS: Final = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeError)


T = TypeVar("T")


def line_decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Make a function that decodes a line, and refuses those nested beyond `MAX_DEPTH`.

    Left to itself, the parser gives up at a depth that hangs on how deep its caller stands.
    """
    decode = msgspec.json.Decoder(kind).decode

    def checked(line: bytes) -> T:
        # few lines are long enough to open and close so many brackets, and fewer have them
        if (
            len(line) > 2 * MAX_DEPTH
            and line.count(b"[") + line.count(b"{") > MAX_DEPTH
            and _depth(line) > MAX_DEPTH
        ):
            raise msgspec.DecodeError("nested too deeply")
        return decode(line)

    return checked


def _depth(line: bytes) -> int:
    """Most brackets open at a time, but for those within texts."""
    bare = np.frombuffer(_TEXT.sub(b"", line), np.uint8)
    opened = np.isin(bare, [ord("["), ord("{")])
    closed = np.isin(bare, [ord("]"), ord("}")])
    return int(np.cumsum(opened.astype(np.int64) - closed).max(initial=0))


_members: Final = line_decoder(dict[str, msgspec.Raw])


def whole_number(value: int | float) -> int:
    """Return an integer that a writer may have put as ``5.0``; ValueError for ``5.5``."""
    if isinstance(value, int):
        return value
    if not value.is_integer():
        raise ValueError(value)
    return int(value)


def json_object(
    account: SourceAccount, line: int, text: bytes, *, complete: bool
) -> dict[str, Any] | None:
    """Read a line that a decoder of records refused; None if it is no object, which is booked.

    The first of these that fails is the reason: it is an object by JSON's grammar, it is UTF-8,
    its values fit. Values are not decoded for that, since no grammar bounds them: a number too
    large for any machine is sound JSON all the same.

    Parameters
    ----------
    complete : bool
        False for the last line of a file when no newline ends it.

    Returns
    -------
    dict of str to object, or None
        Members by name: texts as str, all others as they stand in the line.
    """
    try:
        members = _members(text)
        text.decode()
    except UnicodeDecodeError:
        account.reject(line, BAD_UTF8, text)
    except msgspec.ValidationError:
        # something else than an object, which no further bytes would have made one
        account.reject(line, BAD_JSON, text)
    except (msgspec.DecodeError, RecursionError):
        account.reject(line, BAD_JSON if complete else TRUNCATED, text)
    else:
        return {name: _text(value) for name, value in members.items()}
    return None


def _text(value: msgspec.Raw) -> str | msgspec.Raw:
    return msgspec.json.decode(value, type=str) if bytes(value).startswith(b'"') else value


def columns_of_values(
    values: dict[str, list[Any]],
    bad: BoolArray,
    account: SourceAccount,
    times: Callable[[Any], float] = float,
) -> dict[str, pa.Array]:
    """Make typed columns of decoded values.

    Parameters
    ----------
    values : dict of str to list
        Columns of `zeekml.flows.columns.RECORD_COLUMNS`, each as long as `bad`: numbers as int
        or float, texts as str, None where the record says nothing.
    bad : bool array
        Is set for records with a value that does not fit.
    account : SourceAccount
        Gets the counts that are too large.
    times : callable
        Reads a value of `ts` that is no plain number of seconds; ValueError where it cannot.
    """
    return {name: _column(name, column, bad, account, times) for name, column in values.items()}


def _column(
    name: str,
    values: list[Any],
    bad: BoolArray,
    account: SourceAccount,
    times: Callable[[Any], float],
) -> pa.Array:
    kind = RAW_TYPES[name]
    if _is_plain(name, values):
        try:
            return pa.array(values, kind)
        except _ARROW_ERRORS:
            pass
    fitted: list[Any] = []
    for row, value in enumerate(values):
        try:
            fitted.append(None if value is None else _fitting(name, value, account, times))
        except (ValueError, OverflowError):
            fitted.append(None)
            bad[row] = True
    return pa.array(fitted, kind)


def _is_plain(name: str, values: list[Any]) -> bool:
    """Tell whether Arrow may convert a column without a look at single values."""
    if name == "ts":
        # texts and milliseconds need reading
        return not any(type(v) is str or (v is not None and v >= 1e11) for v in values)
    # Arrow cuts 5.5 down to 5 without a word
    return not (name in PORTS or name in COUNTS) or float not in set(map(type, values))


def _fitting(
    name: str, value: Any, account: SourceAccount, times: Callable[[Any], float]
) -> float | int | str | None:
    if name in TIMES:
        return times(value) if name == "ts" else float(value)
    if name in PORTS:
        number = whole_number(value)
        if not 0 <= number <= MAX_PORT:
            raise ValueError(value)
        return number
    if name in COUNTS:
        number = whole_number(value)
        if number < 0:
            raise ValueError(value)
        if number > MAX_COUNT:
            account.clamp(1)
            return None
        return number
    # a lone surrogate is the only text that Arrow refuses
    return str(value).encode("utf-8", "backslashreplace").decode()
