"""Lines of Zeek's dns.log, http.log and ssl.log as packed events, by the uid of their flow.

A line that opens an object is JSON, any other stands under the header in force, as in conn.log.
Tab-separated records are read column by column; those in which something unusual stands, and JSON,
record by record. What comes of a record does not depend on which way it goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from zeekml.readers.events._packed_events import pack
from zeekml.readers.events._zeek_events import Texts, pack_columns
from zeekml.readers.events.event import event_text
from zeekml.readers.events.event_schema import DNS, HTTP, TLS
from zeekml.readers.events.flow_memory import FlowId, Told
from zeekml.readers.events.zeek_events import LOG_OF_KIND, zeek_event
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.json_parser import DECODE_ERRORS, json_object
from zeekml.readers.formats.zeek_header import Header, HeaderReader, unescape
from zeekml.readers.rejects import COLUMN_COUNT, TRUNCATED, SourceAccount
from zeekml.readers.values import MAX_SECONDS

# in the order of `_zeek_events`
_FIELDS: Final = {
    DNS: ("query", "qtype_name", "rcode_name", "answers", "TTLs"),
    HTTP: (*("host", "method", "uri", "user_agent", "referrer", "resp_mime_types", "status_code"),),
    TLS: ("server_name", "version", "subject", "issuer"),
}
_VECTORS: Final = frozenset({"answers", "TTLs", "resp_mime_types"})
_MICRO: Final = 1e6
_BEFORE_ALL: Final = -(1 << 62)

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode

Record = tuple[FlowId, float | None, bytes]
"""The uid of a flow, the time of an event, and the event packed."""


class ZeekEventDecoder:
    """Decodes one file of a log of events (`KINDS`), block by block.

    What is told has the log's clock in the place of a line's number: the latest time of an event so
    far, in microseconds. `clock` is where it stands after the file before. Every record counts as
    skipped, since it is no flow.
    """

    def __init__(self, kind: str, account: SourceAccount, clock: int | None = None) -> None:
        self._kind = kind
        self._headers = HeaderReader()
        self._account = account
        self._at_start = True
        self.clock = _BEFORE_ALL if clock is None else clock

    def decode(self, block: Block) -> list[Told]:
        """The events of a block, in one piece if there are any."""
        found: list[Record | None] = []
        line = block.first_line
        lines = block.data.split(b"\n")
        for kind, run in groupby(lines, self._line_kind):
            texts = list(run)
            complete = block.complete or line + len(texts) <= block.first_line + len(lines) - 1
            if kind == "json":
                found += self._json(texts, line, complete)
            elif kind == "header":
                for text in texts:
                    self._headers.read(text)
            elif kind == "record":
                found += self._records(texts, line, complete)
            line += len(texts)
        self._account.skip(LOG_OF_KIND[self._kind], len(found))
        told = [record for record in found if record is not None]
        if not told:
            return []
        uids, times, events = (list(each) for each in zip(*told, strict=True))
        micros = [_BEFORE_ALL if ts is None else round(ts * _MICRO) for ts in times]
        clocks = np.maximum.accumulate(np.array([self.clock, *micros], np.int64))[1:]
        self.clock = int(clocks[-1])
        return [Told(clocks, uids, events)]

    def _line_kind(self, line: bytes) -> str:
        text = line.removesuffix(b"\r")
        if not text:
            return ""
        first, self._at_start = self._at_start, False
        if text.startswith(b"{"):
            return "json"
        if first and self._headers.begin(text):
            return "begun"
        return "header" if text.startswith(self._headers.header.prefix) else "record"

    def _json(self, texts: list[bytes], line: int, complete: bool) -> Iterator[Record | None]:
        for number, text in enumerate(texts, line):
            whole = complete or number < line + len(texts) - 1
            try:
                record: dict[str, Any] | None = _decode(text)
            except DECODE_ERRORS:
                record = json_object(self._account, number, text, complete=whole)
            if record is not None:
                yield self._event(record)

    def _records(self, texts: list[bytes], line: int, complete: bool) -> list[Record | None]:
        """Records of tab-separated lines under one header."""
        header = self._headers.header
        data = b"".join(text + b"\n" for text in texts)
        columns = len(header.fields)
        rows: list[Record | None] | None = None
        usual = len(header.separator) == 1 and header.set_separator == b","
        if usual and b"\r" not in data and complete and columns:
            rows = self._as_columns(header, data, len(texts))
        if rows is not None and all(rows):
            return rows
        found: list[Record | None] = []
        for row, text in enumerate(texts):
            if rows is not None and rows[row] is not None:
                found.append(rows[row])
                continue
            cells = text.removesuffix(b"\r").split(header.separator)
            if len(cells) != columns:
                whole = complete or row < len(texts) - 1
                self._account.reject(line + row, COLUMN_COUNT if whole else TRUNCATED, text)
                continue
            found.append(self._event(self._members(cells, header)))
        return found

    def _as_columns(self, header: Header, data: bytes, count: int) -> list[Record | None] | None:
        """Records (count,) read column by column; None where they cannot be, or only so."""
        names = [f"c{i}" for i in range(len(header.fields))]
        wanted = ("ts", "uid", *_FIELDS[self._kind])
        places = _places(header)
        columns = [names[places[name]] for name in wanted if name in places]
        marks = [mark.decode("utf-8", "replace") for mark in (header.unset, header.empty, b"")]
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(data),
                pa_csv.ReadOptions(
                    column_names=names, use_threads=False, block_size=max(len(data) + 1, 1024)
                ),
                pa_csv.ParseOptions(
                    delimiter=header.separator.decode("latin-1"),
                    quote_char=False,
                    escape_char=False,
                ),
                pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.string()),
                    include_columns=columns,
                    null_values=marks,
                    strings_can_be_null=True,
                ),
            )
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None
        if len(table) != count:
            return None
        nothing = pa.nulls(count, pa.string())
        arrays = {
            name: table.column(names[places[name]]).combine_chunks() if name in places else nothing
            for name in wanted
        }
        try:
            times = arrays["ts"].cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            return None
        texts = [_texts(arrays[name]) for name in wanted[2:]]
        events = pack_columns(self._kind[:1].encode(), times, texts)
        uids = arrays["uid"].to_pylist()
        # of other times and uids somebody has to look at
        sound = (times >= 0) & (times < MAX_SECONDS)
        return [
            None
            if event is None or uid is None or not good or not _is_plain(uid)
            else (uid, time, event)
            for uid, time, event, good in zip(uids, times.tolist(), events, sound, strict=True)
        ]

    def _members(self, cells: list[bytes], header: Header) -> dict[str, Any]:
        wanted = ("ts", "uid", *_FIELDS[self._kind])
        return {
            name: _value(cells[place], name, header)
            for name, place in _places(header).items()
            if name in wanted and cells[place] != header.unset
        }

    def _event(self, record: dict[str, Any]) -> Record | None:
        """The event of a record; None of one without a uid."""
        uid = event_text(record.get("uid"))
        event = zeek_event(self._kind, record)
        return None if uid is None else (uid, event.ts, pack(event))


def _places(header: Header) -> dict[str, int]:
    """Where each column stands; the first where a name stands twice."""
    places: dict[str, int] = {}
    for place, name in enumerate(header.fields):
        places.setdefault(name.decode("utf-8", "replace"), place)
    return places


def _is_plain(uid: str) -> bool:
    return len(uid) < 64 and uid.isascii() and uid.isprintable() and "\\" not in uid


def _texts(column: pa.StringArray) -> Texts:
    _, offsets, data = column.buffers()
    starts = np.zeros(1, np.int32) if offsets is None else np.frombuffer(offsets, np.int32)
    starts = starts[column.offset : column.offset + len(column) + 1]
    if offsets is None:
        starts = np.zeros(len(column) + 1, np.int32)
    valid = column.is_valid().to_numpy(zero_copy_only=False).view(np.uint8)
    return Texts(
        np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8), starts, valid
    )


def _value(cell: bytes, name: str, header: Header) -> Any:
    if name in _VECTORS:
        parts = [] if cell == header.empty else cell.split(header.set_separator)
        return [_text(part) for part in parts]
    return "" if cell == header.empty else _text(cell)


def _text(cell: bytes) -> str:
    return (unescape(cell) if b"\\" in cell else cell).decode("utf-8", "backslashreplace")
