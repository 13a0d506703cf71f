"""JSON lines to columns: the face of the scanner, and what the decoders of both sensors share.

Plain lines (`zeekml.readers.formats.json_scanner`) are read as whole columns; the others go through
a parser one by one, and their values are put between those of the plain ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, Generic, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.core.jit import COMPILED
from zeekml.readers.batch_builder import BoolArray, build_batch
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats import json_scanner as scanner
from zeekml.readers.formats.envelopes import unwrap
from zeekml.readers.formats.json_parser import DECODE_ERRORS, json_object, line_decoder, record_of
from zeekml.readers.formats.json_scanner import MICROS, NULL, WHOLE, Ints, Keys
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.values import MAX_PORT, read_time, understood

# until the year 2255 a float64 holds every microsecond, and all ways to divide it agree
_MOST_MICROS: Final = 1 << 53
_MOMENT: Final = pa.timestamp("us", "UTC")
# until the year 2041 rounding to microseconds twice changes nothing
_MOST_SECONDS: Final = (1 << 51) / 1e6

Column = tuple[pa.Array, BoolArray | None]
"""Values (n,), null for none, and the rows with one that cannot be read; None for no such row."""

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S", bound=msgspec.Struct)


def make_keys(
    rules: dict[str, int],
    *,
    aliases: dict[str, str] | None = None,
    objects: Sequence[str] = (),
    types: tuple[str, str, str] | None = None,
) -> Keys:
    """Lay out the keys of a format.

    `rules` are, for each field in the order of the rows, the kinds of values that are plain, or-ed;
    null and absence always are. A field within one of `objects` is called ``object/key``. Keys have
    two letters or more; `aliases` are other keys for a field, and a line that has both is not
    plain. `types` are the key that tells a record's type, the wanted type and another one: lines
    of any other than the first are told apart at once; those of the second are not plain.
    """
    names = list(rules)
    type_key, type_text, parsed_type = types or ("", "", "")
    keys = []
    for key, field in [*zip(names, names, strict=True), *(aliases or {}).items()]:
        parent, _, own = key.rpartition("/")
        group = objects.index(parent) + 1 if parent else 0
        keys.append((own.encode(), group, names.index(field)))
    # a seed under which no two keys share a bucket makes every look-up one comparison
    for seed in range(1, 1 << 12):
        # uncompiled, so that importing this costs nothing
        places = [
            int(scanner.key_hash.py_func(list(key), 0, len(key), group, seed))
            for key, group, _ in keys
        ]
        if len(set(places)) == len(keys):
            break
    else:
        raise ValueError("no seed separates the keys")
    buckets = np.full(scanner.BUCKETS, -1, np.int32)
    buckets[places] = np.arange(len(keys))
    return Keys(
        buckets=buckets,
        seed=seed,
        text=np.frombuffer(b"".join(key for key, _, _ in keys), np.uint8),
        offsets=np.cumsum([0] + [len(key) for key, _, _ in keys], dtype=np.int64),
        groups=np.array([group for _, group, _ in keys], np.int64),
        fields=np.array([field for _, _, field in keys], np.int64),
        rules=np.array([rules[name] | NULL for name in names], np.int64),
        opens=np.array([objects.index(n) + 1 if n in objects else 0 for n in names], np.int64),
        type_key=names.index(type_key) if types else -1,
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
            n_rows, n_others = scanner.scan(self.data, ends, keys, kinds, values, rows, others)
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
        return self._rows[:, 2] + self._first_line

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
        return self._kinds[self._fields[field]]

    def has(self, field: str) -> BoolArray:
        """Rows (n,) in which the field stands with a value."""
        kinds = self.kinds(field)
        return (kinds != 0) & (kinds != NULL)

    def values(self, field: str) -> Ints:
        """Value of each row (n,); whatever where there is none."""
        return self._values[self._fields[field]]

    def whole(self, field: str) -> pa.Array:
        """A field of whole numbers (n,) as int64."""
        return pa.array(self.values(field), mask=self.kinds(field) != WHOLE)

    def numbers(self, field: str) -> npt.NDArray[np.float64]:
        """A field of numbers (n,): to the microsecond, or as a parser gives them; NaN for none."""
        kinds, values = self.kinds(field), self.values(field)
        numbers = values.astype(np.float64)
        numbers[kinds == MICROS] /= 1e6
        for row in np.flatnonzero(kinds == scanner.DECIMAL):
            numbers[row] = float(self._cell(int(values[row])))
        numbers[~self.has(field)] = np.nan
        return numbers

    def read_moments(self, field: str) -> None:
        """Turn the ISO 8601 times of a field into numbers; texts of another form stay texts."""
        kinds, values, texts = self.kinds(field), self.values(field), self.texts(field)
        if texts.null_count == len(texts):
            return
        try:
            micros = pc.fill_null(texts.cast(_MOMENT).cast(pa.int64()), -1).to_numpy()
        except pa.ArrowInvalid:
            # one time is of another form, which does not let all others wait for the parser
            read = [understood(read_time, text) for text in texts.to_pylist()]
            sound = [type(time) is float and 0.0 <= time < _MOST_SECONDS for time in read]
            pairs = zip(read, sound, strict=True)
            micros = np.array([round(time * 1e6) if good else -1 for time, good in pairs])
        good = (micros >= 0) & (micros < _MOST_MICROS)
        kinds[good] = MICROS
        values[good] = micros[good]

    def column(self, field: str, kind: pa.DataType) -> pa.Array:
        """A field (n,) as one of the types that records have."""
        if kind == pa.string():
            return self.texts(field)
        if kind == pa.float64():
            return pa.array(self.numbers(field), mask=~self.has(field))
        if kind == pa.int64():
            return self.whole(field)
        # of ports, any that is too high is 65536
        values = np.minimum(self.values(field), MAX_PORT + 1).astype(np.int32)
        return pa.array(values, mask=self.kinds(field) != WHOLE)

    def texts(self, field: str) -> pa.StringArray:
        """A field of texts (n,)."""
        kinds, values = self.kinds(field), self.values(field)
        n = len(self)
        offsets = np.empty(n + 1, np.int32)
        nulls = scanner.text_offsets(kinds, values, offsets)
        out = np.empty(int(offsets[n]), np.uint8)
        scanner.copy_texts(self.data, kinds, values, offsets, out)
        valid = (
            pa.py_buffer(np.packbits(kinds == scanner.TEXT, bitorder="little")) if nulls else None
        )
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
        return np.argsort(self._unordered, kind="stable")

    @property
    def _unordered(self) -> Ints:
        return np.concatenate([self._plain.lines, np.array(self._lines, np.int64)])

    @property
    def lines(self) -> Ints:
        """Line number of each row."""
        return self._unordered[self._order] if self._records else self._plain.lines

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
        behind = at - len(self._plain)
        return self._plain[at] if behind < 0 else self._texts[behind]


class JsonDecoder(Generic[S]):
    """Parses lines one by one, takes them out of their envelopes and builds batches.

    The account gets every record as accepted, rejected or skipped (by its type).
    `keep_originals` adds the column ``original``: the line as it was logged.
    """

    sensor: ClassVar[str]
    telling: ClassVar[str]  # a field of every record; a line without it may be an envelope

    def __init__(self, record: type[S], account: SourceAccount, *, keep_originals: bool) -> None:
        self._account = account
        self._keep_originals = keep_originals
        self._record = record
        self._decode = line_decoder(record)

    def _records(
        self, line: int, text: bytes, *, complete: bool, inside: bool = False
    ) -> Iterator[tuple[bytes, S]]:
        """Yield the record of a line, or those that its line is the envelope of, with their text.

        What is no record is booked.
        """
        try:
            record: S | None = self._decode(text)
        except DECODE_ERRORS:
            record = None
        known = record is not None and getattr(record, self.telling) is not None
        if not known and not inside and (opened := unwrap(text)):
            self._account.unwrap(opened.envelope, len(opened.records))
            for each in opened.records:
                yield from self._records(line, each, complete=complete, inside=True)
            return
        if record is None and text.strip():
            members = json_object(self._account, line, text, complete=complete)
            record = None if members is None else record_of(self._record, members)
        if record is not None:
            yield text, record

    def _batch(
        self, rows: MergedRows[S], columns: dict[str, pa.Array], **more: Any
    ) -> list[pa.RecordBatch]:
        more |= {"sensor": self.sensor, "account": self._account, "excerpt": rows.__getitem__}
        original = (lambda row: rows[row].strip()) if self._keep_originals else None
        batch = build_batch(columns, rows.lines, original=original, **more)
        return [] if batch is None else [batch]
