r"""Zeek's tab-separated conn.log, as its ASCII writer makes it.

Format (zeek: src/threading/formatters/Ascii.cc): a header (`zeekml.readers.formats.zeek_header`)
names the separators, the markers of unset and empty fields, and the columns. In values a
backslash is written ``\\`` and anything unprintable ``\xHH``.

Blocks go through Arrow's CSV reader with fixed types. When Arrow refuses a block, its lines are
counted out one by one and only the values that fail are read singly (`zeekml.readers.values`), by
rules that accept all that Arrow accepts: a record is judged the same whatever stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from zeekml.readers import _texts
from zeekml.readers.batch_builder import BoolArray, build_batch
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.flow_schema import ZEEK
from zeekml.readers.formats.zeek_header import CONN, Header, HeaderReader, unescape
from zeekml.readers.rejects import BAD_UTF8, COLUMN_COUNT, TRUNCATED, SourceAccount
from zeekml.readers.values import RAW_TYPES, RECORD_COLUMNS, read_column

_JSON_NUMBER: Final = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_NUMBER_TYPES: Final = frozenset({"time", "interval", "double", "count", "int", "port"})
# Arrow splits at single ASCII characters only; Zeek never leaves this one bare in a value
_STAND_IN: Final = b"\x1f"


class TsvDecoder:
    """Decodes one conn.log in blocks of whole lines; `header` is for those that none stands above.

    `keep_originals` adds the column ``original``: the record as Zeek's JSON writer would put it.
    Records of `log` are taken for connections, too.
    """

    def __init__(
        self,
        account: SourceAccount,
        *,
        keep_originals: bool = False,
        header: Header | None = None,
        log: str = CONN,
    ) -> None:
        self._headers = HeaderReader(header)
        self._account = account
        self._keep_originals = keep_originals
        self._at_start = True
        self._log = log

    def decode(self, block: Block) -> list[pa.RecordBatch]:
        """The flows of a block, in order; batches are never empty."""
        found = (
            self._decode_records(piece, first_line, complete=block.complete)
            for piece, first_line in self._runs(block)
        )
        return [batch for batch in found if batch is not None]

    def pass_over(self, block: Block) -> None:
        """Take in only what later blocks depend on: the headers."""
        for _ in self._runs(block):
            pass

    def _runs(self, block: Block) -> Iterator[tuple[bytes, int]]:
        """Yield the runs of records in a block, each with the number of its first line."""
        data, line = block.data, block.first_line
        if b"\r" in data:
            # Arrow takes a bare carriage return for the end of a row, Zeek does not
            data = data.replace(b"\r\n", b"\n")
            if not block.complete:
                data = data.removesuffix(b"\r")
            data = data.replace(b"\r", b"\\x0d")
        if self._at_start and data:
            self._at_start = False
            first, newline, rest = data.partition(b"\n")
            if self._headers.begin(first):
                data, line = rest, line + len(newline)
        last = 0
        for begin, end in self._headers.runs(data):
            line += data.count(b"\n", last, begin)
            yield data[begin:end], line
            last = begin

    def _decode_records(self, data: bytes, line: int, *, complete: bool) -> pa.RecordBatch | None:
        header = self._headers.header
        refusal = header.refused_as(self._log)
        if refusal is not None:
            if header.fields:
                kind = refusal.removeprefix("zeek_")
                self._account.skip(kind, sum(1 for text in data.split(b"\n") if text))
            else:
                for offset, text in enumerate(data.split(b"\n")):
                    if text:
                        self._account.reject(line + offset, COLUMN_COUNT, text)
            return None
        separator = header.separator
        if len(separator) > 1 or separator[0] > 0x7E:
            data = data.replace(separator, _STAND_IN)
            separator = _STAND_IN
        if not complete and data.count(separator) != len(header.fields) - 1:
            if data:
                self._account.reject(line, TRUNCATED, data)
            return None
        if not data.endswith(b"\n"):
            data += b"\n"
        return _Run(header, separator, data, line, self._account).decode(
            keep_originals=self._keep_originals, complete=complete
        )


@dataclass
class _Run:
    """Consecutive records under one header."""

    header: Header
    separator: bytes
    data: bytes
    first_line: int
    account: SourceAccount

    def decode(self, *, keep_originals: bool, complete: bool) -> pa.RecordBatch | None:
        table = self._typed()
        unread: dict[str, BoolArray] = {}
        if table is not None:
            lines = np.arange(self.first_line, self.first_line + len(table), dtype=np.int64)
            columns = dict(zip(table.column_names, map(_single, table.columns), strict=True))
        else:
            lines = self._drop_unusable_lines(complete=complete)
            if not len(lines):
                return None
            columns, unread = self._singly()
        if b"\\" in self.data:
            for name, column in columns.items():
                columns[name] = _unescaped(column)
        return build_batch(
            columns,
            lines,
            sensor=ZEEK,
            account=self.account,
            excerpt=lambda row: self._texts[row],
            original=self._original if keep_originals else None,
            unread=unread,
            own_marks=True,
        )

    @cached_property
    def _texts(self) -> list[bytes]:
        return self.data.split(b"\n")

    def _read(self, types: dict[str, Any]) -> pa.Table:
        positions = self.header.wanted
        names = [f"c{i}" for i in range(len(self.header.fields))]
        column_names = {name: names[positions[name]] for name in types}
        delimiter = self.separator.decode("ascii")
        block_size = max(len(self.data) + 1, 1024)
        marks = (self.header.unset, self.header.empty, b"")
        table = pa_csv.read_csv(
            pa.BufferReader(self.data),
            pa_csv.ReadOptions(column_names=names, use_threads=False, block_size=block_size),
            pa_csv.ParseOptions(delimiter=delimiter, quote_char=False, escape_char=False),
            pa_csv.ConvertOptions(
                check_utf8=True,
                column_types={column_names[name]: kind for name, kind in types.items()},
                include_columns=list(column_names.values()),
                null_values=[mark.decode("utf-8", "replace") for mark in marks],
                strings_can_be_null=True,
            ),
        )
        return table.rename_columns(list(column_names))

    def _typed(self) -> pa.Table | None:
        """Read all records at once; None when one of them needs a closer look."""
        types: dict[str, Any] = {n: RAW_TYPES[n] for n in RECORD_COLUMNS if n in self.header.wanted}
        # few different texts, each of which is looked at once
        encoded = pa.dictionary(pa.int32(), pa.string())
        types |= dict.fromkeys({"proto", "service"} & types.keys(), encoded)
        try:
            table = self._read(types)
        except pa.ArrowInvalid:
            return None
        # Arrow passes over empty lines without a word; then lines and rows no longer agree
        return table if len(table) == _texts.newlines(self.data) else None

    def _drop_unusable_lines(self, *, complete: bool) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Reject lines that cannot be split into columns; give the numbers of the others."""
        separators = len(self.header.fields) - 1
        kept: list[bytes] = []
        numbers: list[int] = []
        for number, text in enumerate(self.data.split(b"\n"), self.first_line):
            if not text:
                continue
            if text.count(self.separator) != separators:
                self.account.reject(number, COLUMN_COUNT if complete else TRUNCATED, text)
            elif not text.isascii() and not self._is_utf8(text.split(self.separator)):
                self.account.reject(number, BAD_UTF8, text)
            else:
                kept.append(text)
                numbers.append(number)
        self.data = b"".join(text + b"\n" for text in kept)
        self.__dict__["_texts"] = kept
        return np.array(numbers, dtype=np.int64)

    def _is_utf8(self, cells: list[bytes]) -> bool:
        """Check the columns that are read; what stands in others does no harm."""
        try:
            b"".join(cells[position] + b" " for position in self.header.wanted.values()).decode()
        except UnicodeDecodeError:
            return False
        return True

    def _singly(self) -> tuple[dict[str, pa.Array], dict[str, BoolArray]]:
        """Convert column by column; a column that fails is read value by value."""
        wanted = [name for name in RECORD_COLUMNS if name in self.header.wanted]
        table = self._read({name: pa.string() for name in wanted})
        columns: dict[str, pa.Array] = {}
        unread: dict[str, BoolArray] = {}
        for name in wanted:
            texts = _single(table.column(name))
            try:
                columns[name] = texts.cast(RAW_TYPES[name])
            except pa.ArrowInvalid:
                columns[name], unread[name] = read_column(name, texts.to_pylist())
        return columns, unread

    def _original(self, row: int) -> bytes:
        header = self.header
        record: dict[str, Any] = {}
        types = header.types if len(header.types) == len(header.fields) else ()
        for i, cell in enumerate(self._texts[row].split(self.separator)):
            if cell != header.unset:
                kind = types[i] if types else b"string"
                name = header.fields[i].decode("utf-8", "backslashreplace")
                record.setdefault(name, _json_value(cell, kind.decode("latin-1"), header))
        return msgspec.json.encode(record)


def _single(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _unescaped(column: pa.Array) -> pa.Array:
    """Undo escapes in a column of texts; others pass through."""
    encoded = pa.types.is_dictionary(column.type)
    texts = column.dictionary if encoded else column
    if not pa.types.is_string(texts.type):
        return column
    values = texts.to_pylist()
    plain = [
        unescape(v.encode()).decode("utf-8", "backslashreplace") if v and "\\" in v else v
        for v in values
    ]
    if plain == values:
        return column
    changed = pa.array(plain, pa.string())
    return changed.take(column.indices) if encoded else changed


def _json_value(cell: bytes, kind: str, header: Header) -> Any:
    """One cell as Zeek's JSON writer would give it."""
    container, _, inner = kind.partition("[")
    if inner:
        if cell == header.empty:
            return []
        kind = inner.removesuffix("]")
        return [_json_value(item, kind, header) for item in cell.split(header.set_separator)]
    if container in _NUMBER_TYPES and _JSON_NUMBER.fullmatch(cell):
        return msgspec.Raw(cell)
    if container == "bool" and cell in (b"T", b"F"):
        return cell == b"T"
    if cell == header.empty:
        return ""
    return unescape(cell).decode("utf-8", "backslashreplace")
