"""What the two JSON readers share: from lists of decoded values to a checked batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

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
    build_batch,
)
from zeekml.flows.rejects import BAD_JSON, BAD_UTF8, TRUNCATED, SourceAccount

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a line; the last one for thousands of nested brackets."""

_ARROW_ERRORS: Final = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeError)


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
    """Decode one line that is to be a JSON object; None if it is not, which enters the books.

    Parameters
    ----------
    complete : bool
        False for the last line of a file when no newline ends it.
    """
    try:
        value = msgspec.json.decode(text)
    except UnicodeDecodeError:
        account.reject(line, BAD_UTF8, text)
        return None
    except (msgspec.DecodeError, RecursionError):
        account.reject(line, BAD_JSON if complete else TRUNCATED, text)
        return None
    if not isinstance(value, dict):
        account.reject(line, BAD_JSON, text)
        return None
    return value


def batch_of_values(
    values: dict[str, list[Any]],
    lines: Sequence[int],
    texts: Sequence[bytes],
    *,
    sensor: str,
    account: SourceAccount,
    keep_originals: bool,
    signatures: list[list[str] | None] | None = None,
    times: Callable[[Any], float] = float,
) -> pa.RecordBatch | None:
    """Make a batch of decoded records; those with bad values go to the books.

    Parameters
    ----------
    values : dict of str to list
        Columns of `zeekml.flows.columns.RECORD_COLUMNS`: numbers as int or float, texts as str,
        None where the record says nothing.
    lines, texts : sequence
        Line number and raw line of each record.
    sensor, account, keep_originals
        As for `zeekml.flows.columns.build_batch`; originals are the raw lines.
    signatures : list, optional
        Alerts on the flow of each record.
    times : callable
        Reads a value of `ts` that is no plain number of seconds; ValueError where it cannot.

    Returns
    -------
    RecordBatch or None
        None when no record is good.
    """
    if not lines:
        return None
    bad = np.zeros(len(lines), np.bool_)
    columns = {name: _column(name, column, bad, account, times) for name, column in values.items()}

    def original(row: int) -> bytes:
        return texts[row].strip()

    return build_batch(
        columns,
        np.array(lines, dtype=np.int64),
        sensor=sensor,
        account=account,
        excerpt=texts.__getitem__,
        original=original if keep_originals else None,
        signatures=pa.array(signatures, pa.list_(pa.string())) if signatures else None,
        bad_rows=bad,
    )


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
