"""What the two JSON readers share: rows collected one by one, checked together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from zeekml.flows.columns import (
    COUNTS,
    MAX_COUNT,
    MAX_PORT,
    PORTS,
    RAW_TYPES,
    TIMES,
    build_batch,
)
from zeekml.flows.lines import Block
from zeekml.flows.rejects import SourceAccount

_BLANK: Final = b" \t\r"


def numbered_lines(block: Block) -> Iterator[tuple[int, bytes]]:
    """Yield the non-empty lines of a block with their 1-based numbers."""
    for number, text in enumerate(block.data.split(b"\n"), block.first_line):
        line = text.strip(_BLANK)
        if line:
            yield number, line


def whole_number(value: int | float | None) -> int | None:
    """Return an integer that a writer may have put as ``5.0``; ValueError for ``5.5``."""
    if value is None or isinstance(value, int):
        return value
    if not value.is_integer():
        raise ValueError(value)
    return int(value)


class RowCollector:
    """Decoded values of one block, column by column, until they are made a batch.

    Parameters
    ----------
    names : tuple of str
        Columns of `zeekml.flows.columns.RECORD_COLUMNS`, in the order `add` gets them.
    """

    def __init__(self, names: tuple[str, ...], sensor: str, account: SourceAccount) -> None:
        self._names = names
        self._sensor = sensor
        self._account = account
        self._rows: list[tuple[Any, ...]] = []
        self._lines: list[int] = []
        self._texts: list[bytes] = []
        self._signatures: list[list[str] | None] = []

    def add(
        self,
        line: int,
        text: bytes,
        values: tuple[Any, ...],
        signatures: list[str] | None = None,
    ) -> None:
        """Add one record: numbers as int or float, texts as str, None where unknown."""
        self._rows.append(values)
        self._lines.append(line)
        self._texts.append(text)
        self._signatures.append(signatures)

    def batch(self, *, keep_originals: bool) -> pa.RecordBatch | None:
        """Return the good rows as flows; the others go to the books."""
        if not self._rows:
            return None
        bad = np.zeros(len(self._rows), np.bool_)
        columns = {
            name: self._column(name, list(values), bad)
            for name, values in zip(self._names, zip(*self._rows, strict=True), strict=True)
        }
        signatures = None
        if any(self._signatures):
            signatures = pa.array(self._signatures, pa.list_(pa.string()))
        return build_batch(
            columns,
            np.array(self._lines, dtype=np.int64),
            sensor=self._sensor,
            account=self._account,
            excerpt=self._texts.__getitem__,
            original=self._texts.__getitem__ if keep_originals else None,
            signatures=signatures,
            bad_rows=bad,
        )

    def _column(self, name: str, values: list[Any], bad: np.ndarray[Any, Any]) -> pa.Array:
        kind = RAW_TYPES[name]
        # Arrow cuts 5.5 down to 5 without a word, so only real integers take the short way
        if name in TIMES or float not in set(map(type, values)):
            try:
                return pa.array(values, kind)
            except (pa.ArrowInvalid, OverflowError, UnicodeError):
                pass
        for row, value in enumerate(values):
            if value is None:
                continue
            try:
                values[row] = self._fitting(name, value)
            except (ValueError, OverflowError):
                values[row] = None
                bad[row] = True
        return pa.array(values, kind)

    def _fitting(self, name: str, value: Any) -> Any:
        if name in TIMES:
            return float(value)
        if name in PORTS:
            number = whole_number(value)
            if number is None or not 0 <= number <= MAX_PORT:
                raise ValueError(value)
            return number
        if name in COUNTS:
            number = whole_number(value)
            if number is None or number < 0:
                raise ValueError(value)
            if number > MAX_COUNT:
                self._account.clamp(1)
                return None
            return number
        # a lone surrogate is the only text that Arrow refuses
        return str(value).encode("utf-8", "backslashreplace").decode()
