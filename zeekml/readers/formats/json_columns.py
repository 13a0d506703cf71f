"""The face of the JSON scanner (`zeekml.readers.formats.json_scanner`): lines in, columns out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.core.jit import COMPILED
from zeekml.readers.batch_builder import BoolArray
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.json_scanner import (
    BUCKETS,
    DECIMAL,
    MICROS,
    NULL,
    TEXT,
    WHOLE,
    Ints,
    Keys,
    key_hash,
    scan,
)
from zeekml.readers.formats.json_scanner_values import copy_texts, read_moments, text_offsets
from zeekml.readers.values import MAX_PORT

Column = tuple[pa.Array, BoolArray | None]
"""Values (n,), null for none, and the rows with one that cannot be read; None for no such row."""

T = TypeVar("T")
R = TypeVar("R")


def make_keys(
    rules: dict[str, int],
    *,
    aliases: dict[str, str] | None = None,
    objects: Sequence[str] = (),
    type_key: str | None = None,
    type_text: str = "",
    parsed_type: str = "",
) -> Keys:
    """Lay out the keys of a format.

    `rules` are, for each field in the order of the rows, the kinds of values that are plain, or-ed;
    null and absence always are. A field within one of `objects` is called ``object/key``. Keys have
    two letters or more; `aliases` are other keys for a field, and a line that has both is not
    plain. Lines whose text in `type_key` is not `type_text` are told apart at once; those whose
    text there is `parsed_type` are not plain.
    """
    names = list(rules)
    spelled = [(name, name) for name in names] + list((aliases or {}).items())
    keys = []
    for key, field in spelled:
        parent, _, own = key.rpartition("/")
        group = objects.index(parent) + 1 if parent else 0
        keys.append((own.encode(), group, names.index(field)))
    text = b"".join(key for key, _, _ in keys)
    offsets = np.cumsum([0] + [len(key) for key, _, _ in keys])
    # a seed under which no two keys share a bucket makes every look-up one comparison
    for seed in range(1, 1 << 12):
        # uncompiled, so that importing this costs nothing
        places = [
            int(key_hash.py_func(list(key), 0, len(key), group, seed)) for key, group, _ in keys
        ]
        if len(set(places)) == len(keys):
            break
    else:
        raise ValueError("no seed separates the keys")
    buckets = np.full(BUCKETS, -1, np.int32)
    buckets[places] = np.arange(len(keys))
    return Keys(
        buckets=buckets,
        seed=seed,
        text=np.frombuffer(text, np.uint8),
        offsets=offsets.astype(np.int64),
        groups=np.array([group for _, group, _ in keys], np.int64),
        fields=np.array([field for _, _, field in keys], np.int64),
        rules=np.array([rules[name] | NULL for name in names], np.int64),
        opens=np.array([objects.index(n) + 1 if n in objects else 0 for n in names], np.int64),
        type_key=-1 if type_key is None else names.index(type_key),
        type_text=np.frombuffer(type_text.encode(), np.uint8),
        parsed_type=np.frombuffer(parsed_type.encode(), np.uint8),
    )


class PlainLines:
    """The plain lines of a block, row by row, and where the others are.

    The last line of a file need not have its newline; `fields` names the rows of `Keys.rules`.
    """

    def __init__(self, block: Block, fields: Sequence[str], keys: Keys) -> None:
        text = block.data if block.data.endswith(b"\n") else block.data + b"\n"
        self.data = np.frombuffer(text, np.uint8)
        self._text = text
        self._first_line = block.first_line
        self._complete = block.complete
        self._fields = {name: i for i, name in enumerate(fields)}
        ends = np.flatnonzero(self.data == ord("\n"))
        kinds = np.zeros((len(fields), len(ends)), np.uint8)
        values = np.empty((len(fields), len(ends)), np.int64)
        rows = np.empty((len(ends), 3), np.int64)
        others = np.empty((len(ends), 4), np.int64)
        if COMPILED:
            n_rows, n_others = scan(self.data, ends, keys, kinds, values, rows, others)
        else:
            n_rows, n_others = 0, _leave_to_parser(text, ends, others)
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
        every = (starts, ends, lines + self._first_line, kinds, following)
        for start, end, number, kind, row in zip(*(a.tolist() for a in every), strict=True):
            if kind < 0 or not self._complete or (doubtful and doubtful(self._text[start:end])):
                yield number, self._text[start:end], None, row
            else:
                yield number, b"", self._cell(kind), row

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
        read_moments(self.data, self._kinds[at], self._values[at])

    def column(self, field: str, kind: pa.DataType) -> pa.Array:
        """A field (n,) as one of the types that records have."""
        if kind == pa.string():
            return self.texts(field)
        if kind == pa.float64():
            return pa.array(self.numbers(field), mask=~self.has(field))
        return self.ports(field) if kind == pa.int32() else self.whole(field)

    def texts(self, field: str) -> pa.StringArray:
        """A field of texts (n,)."""
        kinds, values = self.kinds(field), self.values(field)
        n = len(self)
        offsets = np.empty(n + 1, np.int32)
        nulls = text_offsets(kinds, values, offsets)
        out = np.empty(int(offsets[n]), np.uint8)
        copy_texts(self.data, kinds, values, offsets, out)
        valid = pa.py_buffer(np.packbits(kinds == TEXT, bitorder="little")) if nulls else None
        return pa.StringArray.from_buffers(
            n, pa.py_buffer(offsets), pa.py_buffer(out), valid, nulls
        )

    def _cell(self, place: int) -> bytes:
        start = place >> 32
        return self._text[start : start + (place & 0xFFFFFFFF)]


def _leave_to_parser(text: bytes, ends: Ints, others: Ints) -> int:
    """Take no line for plain, where the scanner is not compiled; give how many are not empty."""
    start = n = 0
    for number, end in enumerate(ends.tolist()):
        if text[start:end].strip():
            others[n] = start, end, number, -1
            n += 1
        start = end + 1
    return n


class MergedRows(Generic[R]):
    """The rows of plain lines and the records that a parser read, in order of their lines."""

    def __init__(self, plain: PlainLines) -> None:
        self._plain = plain
        self._records: list[R] = []
        self._lines: list[int] = []
        self._texts: list[bytes] = []

    def __len__(self) -> int:
        return len(self._plain) + len(self._records)

    def add(self, line: int, text: bytes, record: R) -> None:
        """Take the next record that was parsed, with its raw line."""
        self._records.append(record)
        self._lines.append(line)
        self._texts.append(text)

    @cached_property
    def _order(self) -> Ints:
        both = np.concatenate([self._plain.lines, np.array(self._lines, np.int64)])
        return np.argsort(both, kind="stable")

    @property
    def lines(self) -> Ints:
        """Line number of each row."""
        if not self._records:
            return self._plain.lines
        return np.concatenate([self._plain.lines, np.array(self._lines, np.int64)])[self._order]

    def columns(
        self, plain: dict[str, Column], parse: Callable[[list[R]], Mapping[str, Column]]
    ) -> tuple[dict[str, pa.Array], dict[str, BoolArray]]:
        """Columns of all rows, and by column the rows with a value that could not be read."""
        if not self._records:
            columns = {name: column for name, (column, _) in plain.items()}
            return columns, {name: rows for name, (_, rows) in plain.items() if rows is not None}
        columns, unread = {}, {}
        order = pa.array(self._order)
        for name, (values, rows) in parse(self._records).items():
            scanned, marked = plain[name]
            columns[name] = pa.concat_arrays([scanned, values]).take(order)
            before = np.zeros(len(scanned), np.bool_) if marked is None else marked
            after = np.zeros(len(values), np.bool_) if rows is None else rows
            unread[name] = np.concatenate([before, after])[self._order]
        return columns, unread

    def values(self, plain: list[T], parsed: list[T]) -> list[T]:
        """One value for each row."""
        both = [*plain, *parsed]
        return [both[i] for i in self._order.tolist()] if self._records else both

    def __getitem__(self, row: int) -> bytes:
        """The raw line of a row."""
        at = int(self._order[row]) if self._records else row
        n = len(self._plain)
        return self._plain[at] if at < n else self._texts[at - n]
