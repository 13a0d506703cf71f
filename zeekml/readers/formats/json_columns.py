"""JSON lines to columns: the face of the scanner, and what the decoders of both sensors share.

Plain lines (``_json_scanner.pyx``) are read as whole columns; the others go through
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

from zeekml.readers import _texts
from zeekml.readers.batch_builder import BoolArray, build_batch
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats import _json_columns
from zeekml.readers.formats._json_scanner import (
    DECIMAL,
    MICROS,
    NONE,
    NUMBER,
    TEXT,
    WHOLE,
    Keys,
    scan,
    scan_some,
)
from zeekml.readers.formats.envelopes import unwrap
from zeekml.readers.formats.json_parser import DECODE_ERRORS, json_object, line_decoder, record_of
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.values import MAX_PORT, read_time, understood

_ANY_VALUE: Final = 0xFF ^ NONE  # all kinds but this
_MOMENT: Final = pa.timestamp("us", "UTC")
# until the year 2041 rounding to microseconds twice changes nothing
_MOST_SECONDS: Final = (1 << 51) / 1e6

Ints = npt.NDArray[np.int64]
Kinds = npt.NDArray[np.uint8]
"""Of values, as ``_json_scanner.pxd`` names them."""

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
    return Keys(
        keys,
        [rules[name] | NONE for name in names],
        [objects.index(name) + 1 if name in objects else 0 for name in names],
        names.index(type_key) if types else -1,
        (type_key.encode(), type_text.encode(), parsed_type.encode()),
    )


class PlainLines:
    """The plain lines of a block, row by row, and where the others are.

    The last line of a file need not have its newline; `fields` names the rows of `Keys.rules`. Of
    `lines` (n, 3), each with its start, end and number from 0, no other line is looked at.
    """

    def __init__(
        self, block: Block, fields: Sequence[str], keys: Keys, lines: Ints | None = None
    ) -> None:
        data = block.data if block.data.endswith(b"\n") else block.data + b"\n"
        self._data = data
        self._first_line = block.first_line
        self._complete = block.complete
        self._fields = {name: i for i, name in enumerate(fields)}
        count = _texts.newlines(data) if lines is None else len(lines)
        kinds = np.zeros((len(fields), count), np.uint8)
        values = np.empty((len(fields), count), np.int64)
        rows = np.empty((count, 3), np.int64)
        others = np.empty((count, 4), np.int64)
        if lines is None:
            n_rows, n_others = scan(data, keys, kinds, values, rows, others)
        else:
            n_rows, n_others = scan_some(data, keys, lines, kinds, values, rows, others)
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
        return self._data[self._rows[row, 0] : self._rows[row, 1]]

    def others(
        self, doubtful: Callable[[bytes], bool] | None = None
    ) -> Iterator[tuple[int, int, bytes, int]]:
        """Yield of each other line for the parser its place among all, number, text and row.

        The row is the one that follows. The lines between these are of known `types`. Of a line
        that nothing ends no type is known: what stands behind the type has to show that the line is
        whole. Nor of one that is `doubtful`.
        """
        starts, ends, lines, _ = self._others.T
        places = np.flatnonzero(~self._told(doubtful))
        following = np.searchsorted(self._rows[:, 2], lines[places])
        every = (places, lines[places] + self._first_line, starts[places], ends[places], following)
        for at, number, start, end, row in zip(*(a.tolist() for a in every), strict=True):
            yield at, number, self._data[start:end], row

    def of_types(
        self, wanted: frozenset[bytes], doubtful: Callable[[bytes], bool] | None = None
    ) -> Ints:
        """Start, end and number (from 0) of the other lines that are of some types (n, 3)."""
        told = self._told(doubtful)
        places = _json_columns.places_of(self._data, self._others[:, 3], sorted(wanted))
        return np.ascontiguousarray(self._others[told & places.view(np.bool_), :3])

    def _told(self, doubtful: Callable[[bytes], bool] | None) -> BoolArray:
        """Of which of the others the type is all that has to be known."""
        told: BoolArray = (self._others[:, 3] >= 0) & self._complete
        if doubtful is not None:
            for at in np.flatnonzero(told).tolist():
                start, end = self._others[at, :2].tolist()
                told[at] = not doubtful(self._data[start:end])
        return told

    def types(self, begin: int, end: int | None = None) -> dict[bytes, int]:
        """How many of the others, from one place to another, are of which type."""
        return _json_columns.count_texts(self._data, self._others[begin:end, 3])

    def set_aside(self, wanted: BoolArray) -> None:
        """Turn the rows that are not wanted into unusual lines."""
        if wanted.all():
            return
        aside = np.full((int(np.count_nonzero(~wanted)), 4), -1, np.int64)
        aside[:, :3] = self._rows[~wanted]
        others = np.concatenate([self._others, aside])
        self._others = others[np.argsort(others[:, 2], kind="stable")]
        self._rows = self._rows[wanted]
        # not by an index: that would lay the rows out column by column
        self._kinds = self._kinds.compress(wanted, axis=1)
        self._values = self._values.compress(wanted, axis=1)

    @property
    def scanned(self) -> tuple[bytes, Kinds, Ints]:
        """The bytes, and kinds and values (fields, n) as the scanner found them."""
        return self._data, self._kinds, self._values

    def kinds(self, field: str) -> Kinds:
        """Kind of value in each row (n,)."""
        return self._kinds[self._fields[field]]

    def has(self, field: str) -> BoolArray:
        """Rows (n,) in which the field stands with a value."""
        kinds = self.kinds(field)
        return (kinds & _ANY_VALUE) != 0

    def values(self, field: str) -> Ints:
        """Value of each row (n,); whatever where there is none."""
        return self._values[self._fields[field]]

    def whole(self, field: str) -> pa.Array:
        """A field of whole numbers (n,) as int64."""
        return self._array(field, WHOLE, pa.int64(), self.values(field))

    def numbers(self, field: str) -> npt.NDArray[np.float64]:
        """A field of numbers (n,): to the microsecond, or as a parser gives them; NaN for none."""
        kinds, values = self.kinds(field), self.values(field)
        numbers = np.empty(len(self), np.float64)
        if _json_columns.numbers(kinds, values, numbers):
            for row in np.flatnonzero(kinds == DECIMAL).tolist():
                numbers[row] = float(self._cell(int(values[row])))
        return numbers

    def read_moments(self, field: str) -> None:
        """Turn the ISO 8601 times of a field into numbers; texts of another form stay texts."""
        kinds, values = self.kinds(field), self.values(field)
        if not _json_columns.read_moments(self._data, kinds, values):
            return
        texts = self.texts(field)
        try:
            micros = pc.fill_null(texts.cast(_MOMENT).cast(pa.int64()), -1).to_numpy()
        except pa.ArrowInvalid:
            # one time is of another form, which does not let all others wait for the parser
            read = [understood(read_time, text) for text in texts.to_pylist()]
            sound = [type(time) is float and 0.0 <= time < _MOST_SECONDS for time in read]
            pairs = zip(read, sound, strict=True)
            micros = np.array([round(time * 1e6) if good else -1 for time, good in pairs])
        good = (micros >= 0) & (micros < _json_columns.MOST_MICROS)
        kinds[good] = MICROS
        values[good] = micros[good]

    def column(self, field: str, kind: pa.DataType) -> pa.Array:
        """A field (n,) as one of the types that records have."""
        if kind == pa.string():
            return self.texts(field)
        if kind == pa.float64():
            return self._array(field, NUMBER, kind, self.numbers(field))
        if kind == pa.int64():
            return self.whole(field)
        # of ports, any that is too high is 65536
        values = np.minimum(self.values(field), MAX_PORT + 1).astype(np.int32)
        return self._array(field, WHOLE, kind, values)

    def texts(self, field: str) -> pa.StringArray:
        """A field of texts (n,)."""
        kinds, values = self.kinds(field), self.values(field)
        offsets = np.empty(len(self) + 1, np.int32)
        _json_columns.text_offsets(kinds, values, offsets)
        out = np.empty(int(offsets[-1]), np.uint8)
        _json_columns.copy_texts(self._data, kinds, values, offsets, out)
        return self._array(field, TEXT, pa.string(), offsets, out)

    def _array(
        self, field: str, wanted: int, kind: pa.DataType, *data: npt.NDArray[Any]
    ) -> pa.Array:
        """An array (n,) of buffers of its kind; null where no value of a wanted kind stands."""
        n = len(self)
        bits = np.zeros((n + 7) // 8, np.uint8)
        nulls = _json_columns.valid_bits(self.kinds(field), wanted, bits)
        valid = pa.py_buffer(bits) if nulls else None
        return pa.Array.from_buffers(kind, n, [valid, *map(pa.py_buffer, data)], nulls)

    def says(self, field: str, texts: Sequence[bytes]) -> BoolArray:
        """Rows (n,) in which the field is one of some texts."""
        places = np.where(self.kinds(field) == TEXT, self.values(field), -1)
        return _json_columns.places_of(self._data, places, list(texts)).view(np.bool_)

    def text_at(self, field: str, row: int) -> bytes:
        """What stands at the place of a field's value."""
        return self._cell(int(self.values(field)[row]))

    def _cell(self, place: int) -> bytes:
        start = place >> 32
        return self._data[start : start + (place & 0xFFFFFFFF)]


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
