"""From scanned JSON lines (`zeekml.readers.formats.json_scanner`) to Arrow columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.core.jit import COMPILED, njit
from zeekml.readers.batch_builder import BoolArray
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.json_scanner import Keys, scan
from zeekml.readers.formats.json_scanner_values import (
    DECIMAL,
    MICROS,
    NULL,
    TEXT,
    WHOLE,
    Bytes,
    Ints,
)
from zeekml.readers.values import MAX_PORT

# until the year 2255 a float64 holds every microsecond, and all ways to divide it agree
_MOST_MICROS: Final = 1 << 53
_DAYS_BEFORE: Final = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], np.int64)
_MONTH_DAYS: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


class PlainLines:
    """The plain lines of a block, row by row, and where the others are.

    Parameters
    ----------
    block : Block
        Whole lines; the last one of a file need not have its newline.
    fields : sequence of str
        Names of the rows of `Keys.rules`, in their order.
    keys : Keys
        What to look for.
    """

    def __init__(self, block: Block, fields: Sequence[str], keys: Keys) -> None:
        text = block.data
        if not text.endswith(b"\n"):
            text += b"\n"
        self.data = np.frombuffer(text, np.uint8)
        self._text = text
        self._first_line = block.first_line
        self._complete = block.complete
        self._fields = {name: i for i, name in enumerate(fields)}
        lines = int(np.count_nonzero(self.data == 10))
        kinds = np.zeros((len(fields), lines), np.uint8)
        values = np.empty((len(fields), lines), np.int64)
        rows = np.empty((lines, 3), np.int64)
        others = np.empty((lines, 4), np.int64)
        words = np.frombuffer(text, np.uint64, len(text) // 8)
        search = scan if COMPILED else find_no_plain_line
        n_rows, n_others = search(self.data, words, keys, kinds, values, rows, others)
        self._kinds = kinds[:, :n_rows]
        self._values = values[:, :n_rows]
        self._rows = rows[:n_rows]
        self._others = others[:n_others]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def lines(self) -> Ints:
        """Line number of each row (n,)."""
        lines: Ints = self._rows[:, 2] + self._first_line
        return lines

    def __getitem__(self, row: int) -> bytes:
        """The raw line of a row."""
        return self._text[self._rows[row, 0] : self._rows[row, 1]]

    def others(
        self, doubtful: Callable[[bytes], bool] | None = None
    ) -> Iterator[tuple[int, bytes, bytes | None, int]]:
        """Yield of each other line its number, text, type if known, and the row that follows.

        Where the type is known there is no text. Of a line that nothing ends no type is known:
        what stands behind the type has to show that the line is whole. Nor of one that is
        `doubtful`.
        """
        following = np.searchsorted(self._rows[:, 2], self._others[:, 2])
        starts, ends, lines, kinds = self._others.T
        for start, end, number, kind, row in zip(
            starts.tolist(),
            ends.tolist(),
            (lines + self._first_line).tolist(),
            kinds.tolist(),
            following.tolist(),
            strict=True,
        ):
            if kind < 0 or not self._complete or (doubtful and doubtful(self._text[start:end])):
                yield number, self._text[start:end], None, row
            else:
                at = kind >> 32
                yield number, b"", self._text[at : at + (kind & 0xFFFFFFFF)], row

    def set_aside(self, wanted: BoolArray) -> None:
        """Turn the rows that are not wanted into unusual lines."""
        if wanted.all():
            return
        aside = np.full((int(np.count_nonzero(~wanted)), 4), -1, np.int64)
        aside[:, :3] = self._rows[~wanted]
        others = np.concatenate([self._others, aside])
        self._others = others[np.argsort(others[:, 2], kind="stable")]
        self._rows = self._rows[wanted]
        self._kinds = self._kinds[:, wanted]
        self._values = self._values[:, wanted]

    def kinds(self, field: str) -> npt.NDArray[np.uint8]:
        """Kind of value in each row (n,)."""
        kinds: npt.NDArray[np.uint8] = self._kinds[self._fields[field]]
        return kinds

    def has(self, field: str) -> BoolArray:
        """Rows (n,) in which the field stands with a value."""
        kinds = self.kinds(field)
        has: BoolArray = (kinds != 0) & (kinds != NULL)
        return has

    def values(self, field: str) -> Ints:
        """Value of each row (n,); whatever where there is none."""
        values: Ints = self._values[self._fields[field]]
        return values

    def swap(self, one: str, other: str, rows: BoolArray) -> None:
        """Exchange the values of two fields in some rows (n,)."""
        a, b = self._fields[one], self._fields[other]
        for array in (self._kinds, self._values):
            kept = array[a, rows]
            array[a, rows] = array[b, rows]
            array[b, rows] = kept

    def replace(self, field: str, by: str, rows: BoolArray) -> None:
        """Put the values of one field into another in some rows (n,)."""
        for array in (self._kinds, self._values):
            array[self._fields[field], rows] = array[self._fields[by], rows]

    def whole(self, field: str) -> pa.Array:
        """A field of whole numbers (n,) as int64."""
        return pa.array(self.values(field), mask=self.kinds(field) != WHOLE)

    def ports(self, field: str) -> pa.Array:
        """A field of port numbers (n,) as int32; any that is too high is 65536."""
        values = np.minimum(self.values(field), MAX_PORT + 1).astype(np.int32)
        return pa.array(values, mask=self.kinds(field) != WHOLE)

    def numbers(self, field: str) -> npt.NDArray[np.float64]:
        """A field of numbers (n,): to the microsecond, or as a parser gives them; NaN for none."""
        kinds, values = self.kinds(field), self.values(field)
        numbers = values.astype(np.float64)
        numbers[kinds == MICROS] /= 1e6
        for row in np.flatnonzero(kinds == DECIMAL):
            numbers[row] = float(self._cell(int(values[row])))
        numbers[~self.has(field)] = np.nan
        return numbers

    def read_moments(self, field: str) -> None:
        """Turn the ISO 8601 times of a field into numbers; texts of another form stay texts."""
        at = self._fields[field]
        _moments(self.data, self._kinds[at], self._values[at], _DAYS_BEFORE, _MONTH_DAYS)

    def texts(self, field: str) -> pa.StringArray:
        """A field of texts (n,)."""
        kinds, values = self.kinds(field), self.values(field)
        n = len(self)
        offsets = np.empty(n + 1, np.int32)
        nulls = _offsets(kinds, values, offsets)
        out = np.empty(int(offsets[n]), np.uint8)
        _copy_texts(self.data, kinds, values, offsets, out)
        valid = pa.py_buffer(np.packbits(kinds == TEXT, bitorder="little")) if nulls else None
        return pa.StringArray.from_buffers(
            n, pa.py_buffer(offsets), pa.py_buffer(out), valid, nulls
        )

    def _cell(self, place: int) -> bytes:
        start = place >> 32
        return self._text[start : start + (place & 0xFFFFFFFF)]


def find_no_plain_line(
    data: Bytes,
    words: npt.NDArray[np.uint64],
    keys: Keys,
    kinds: npt.NDArray[np.uint8],
    values: Ints,
    rows: Ints,
    others: Ints,
) -> tuple[int, int]:
    """Leave all lines to the parser, where `scan` is not compiled; called as that is."""
    ends = np.flatnonzero(data == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    full = [
        n for n, (a, b) in enumerate(zip(starts, ends, strict=True)) if bytes(data[a:b]).strip()
    ]
    others[: len(full)] = np.column_stack([starts[full], ends[full], full, np.full(len(full), -1)])
    return 0, len(full)


@njit(cache=True, nogil=True)
def _offsets(kinds: npt.NDArray[np.uint8], values: Ints, offsets: npt.NDArray[np.int32]) -> int:
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
def _copy_texts(
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
def _moments(
    data: Bytes,
    kinds: npt.NDArray[np.uint8],
    values: Ints,
    days_before: Ints,
    month_days: Ints,
) -> None:
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
        if day > month_days[month - 1] + (1 if leap and month == 2 else 0):
            continue
        before = year - 1
        days = 365 * (year - 1970) + before // 4 - before // 100 + before // 400 - 477
        days += days_before[month - 1] + day - 1 + (1 if leap and month > 2 else 0)
        minutes = 24 * 60 * days + 60 * hour + minute - zone
        micros = (60 * minutes + second) * 1_000_000 + 10_000 * high + 100 * middle + low
        if 0 <= micros < _MOST_MICROS:
            kinds[row] = MICROS
            values[row] = micros


T = TypeVar("T")


class Together:
    """The rows of plain lines and of those that went through a parser, in order of the lines.

    Parameters
    ----------
    plain : PlainLines
        The plain rows.
    lines : list of int
        Line number of each other row.
    texts : list of bytes
        The raw line of each other row.
    """

    def __init__(self, plain: PlainLines, lines: list[int], texts: list[bytes]) -> None:
        self._plain = plain
        self._texts = texts
        self._order: Ints | None = None
        self.lines: Ints = plain.lines
        if lines:
            both = np.concatenate([plain.lines, np.array(lines, np.int64)])
            self._order = np.argsort(both, kind="stable")
            self.lines = both[self._order]

    def column(self, plain: pa.Array, parsed: pa.Array) -> pa.Array:
        """One column of all rows."""
        if self._order is None:
            return plain
        if plain.type != parsed.type:  # one of them is encoded as a dictionary
            plain = plain.cast(parsed.type)
        return pa.concat_arrays([plain, parsed]).take(pa.array(self._order))

    def values(self, plain: list[T], parsed: list[T]) -> list[T]:
        """One value per row, of all rows."""
        both = [*plain, *parsed]
        return both if self._order is None else [both[i] for i in self._order.tolist()]

    def flags(self, parsed: BoolArray, plain: BoolArray | None = None) -> BoolArray:
        """Flags of all rows; without `plain`, those of plain rows are not set."""
        if plain is None:
            plain = np.zeros(len(self._plain), np.bool_)
        both = np.concatenate([plain, parsed])
        return both if self._order is None else both[self._order]

    def __getitem__(self, row: int) -> bytes:
        """The raw line of a row."""
        at = row if self._order is None else int(self._order[row])
        n = len(self._plain)
        return self._plain[at] if at < n else self._texts[at - n]
