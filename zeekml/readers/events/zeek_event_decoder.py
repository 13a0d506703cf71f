"""Lines of Zeek's dns.log, http.log and ssl.log as packed events, by the uid of their flow.

A line that opens an object is JSON, any other stands under the header in force, as in conn.log.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from zeekml.readers.events._packed_events import pack
from zeekml.readers.events.event import event_text
from zeekml.readers.events.event_schema import DNS, HTTP, TLS
from zeekml.readers.events.flow_memory import Told
from zeekml.readers.events.zeek_events import LOG_OF_KIND, zeek_event
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.json_parser import DECODE_ERRORS, json_object
from zeekml.readers.formats.zeek_header import Header, HeaderReader, unescape
from zeekml.readers.rejects import COLUMN_COUNT, TRUNCATED, SourceAccount

_FIELDS: Final = {
    DNS: ("query", "qtype_name", "rcode_name", "answers", "TTLs"),
    HTTP: (*("host", "method", "uri", "user_agent", "referrer", "resp_mime_types", "status_code"),),
    TLS: ("server_name", "version", "subject", "issuer"),
}
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_VECTORS: Final = frozenset({"answers", "TTLs", "resp_mime_types"})
_MICRO: Final = 1e6
_BEFORE_ALL: Final = -(1 << 62)


class ZeekEventDecoder:
    """Decodes one file of a log of events (`KINDS`), block by block.

    What is told has the log's clock in the place of a line's number: the latest time of an event so
    far, in microseconds. `clock` is where it stands after the file before. Every record counts as
    skipped, since it is no flow.
    """

    def __init__(self, kind: str, account: SourceAccount, clock: int | None = None) -> None:
        self._kind = kind
        self._names = ("ts", "uid", *_FIELDS[kind])
        self._headers = HeaderReader()
        self._columns: tuple[Header, list[tuple[str, int]]] | None = None
        self._account = account
        self._at_start = True
        self.clock = _BEFORE_ALL if clock is None else clock

    def decode(self, block: Block) -> list[Told]:
        """The events of a block, in one piece if there are any."""
        clocks: list[int] = []
        uids: list[int | str] = []
        events: list[bytes] = []
        lines = block.data.split(b"\n")
        last = len(lines) - 1
        for offset, line in enumerate(lines):
            text = line.removesuffix(b"\r")
            if not text:
                continue
            whole = block.complete or offset < last
            record = self._record(block.first_line + offset, text, whole)
            if record is None:
                continue
            self._account.skip(LOG_OF_KIND[self._kind])
            uid = event_text(record.get("uid"))
            if uid is None:
                continue
            event = zeek_event(self._kind, record)
            if event.ts is not None:
                self.clock = max(self.clock, round(event.ts * _MICRO))
            clocks.append(self.clock)
            uids.append(uid)
            events.append(pack(event))
        return [Told(np.array(clocks, np.int64), uids, events)] if events else []

    def _record(self, number: int, text: bytes, whole: bool) -> dict[str, Any] | None:
        """The members of a record that an event takes; None for what is none."""
        first, self._at_start = self._at_start, False
        if text.startswith(b"{"):
            try:
                return _decode(text)
            except DECODE_ERRORS:
                return json_object(self._account, number, text, complete=whole)
        if first and self._headers.begin(text):
            return None
        if text.startswith(self._headers.header.prefix):
            self._headers.read(text)
            return None
        header = self._headers.header
        cells = text.split(header.separator)
        if len(cells) != len(header.fields):
            self._account.reject(number, COLUMN_COUNT if whole else TRUNCATED, text)
            return None
        if self._columns is None or self._columns[0] is not header:
            places = {name.decode("utf-8", "replace"): i for i, name in enumerate(header.fields)}
            known = [(name, places[name]) for name in self._names if name in places]
            self._columns = header, known
        return {
            name: _value(cells[place], name, header)
            for name, place in self._columns[1]
            if cells[place] != header.unset
        }


def _value(cell: bytes, name: str, header: Header) -> Any:
    if name in _VECTORS:
        parts = [] if cell == header.empty else cell.split(header.set_separator)
        return [_text(part) for part in parts]
    return "" if cell == header.empty else _text(cell)


def _text(cell: bytes) -> str:
    return (unescape(cell) if b"\\" in cell else cell).decode("utf-8", "backslashreplace")
