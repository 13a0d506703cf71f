"""Zeek's conn.log as JSON lines: LogAscii::use_json, json-streaming-logs, and combined logs.

Three spellings of the connection's fields are in use: ``id.orig_h``, ``id_orig_h`` and an object
``id`` with ``orig_h``. Some shippers put all of Zeek's logs into one file; then a field such as
``_path`` tells the type of each, where it holds the name of one of Zeek's logs
(`zeekml.readers.formats.zeek_log_kind`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import astuple

from zeekml.readers.batch_builder import CONN_MARKERS, BoolArray, build_batch
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.flow_schema import ZEEK
from zeekml.readers.formats.envelopes import unwrap
from zeekml.readers.formats.json_columns import PlainLines, Together
from zeekml.readers.formats.json_parser import DECODE_ERRORS, json_object, line_decoder, record_of
from zeekml.readers.formats.json_scanner import Keys, make_keys
from zeekml.readers.formats.json_scanner_values import NUMBER, OBJECT, TEXT, WHOLE
from zeekml.readers.formats.zeek_log_kind import CONN, ZEEK_LOGS, log_of
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.values import COUNTS, PORTS, RECORD_COLUMNS, TIMES, read_column

TYPE_FIELDS: Final = ("_path", "@path", "@stream", "log_type")
"""Where the type of a record stands when several types share a file."""

_NESTED: Final = "id"
_SIDES: Final = tuple(name for name in RECORD_COLUMNS if name.startswith("id."))


class _Record(
    msgspec.Struct,
    gc=False,
    rename={
        "orig_h": "id.orig_h",
        "orig_p": "id.orig_p",
        "resp_h": "id.resp_h",
        "resp_p": "id.resp_p",
        "path": "_path",
        "at_path": "@path",
        "at_stream": "@stream",
    },
):
    """A record as it stands: what its values mean is for `zeekml.readers.values` to say."""

    ts: Any = None
    uid: Any = None
    orig_h: Any = None
    orig_p: Any = None
    resp_h: Any = None
    resp_p: Any = None
    id_orig_h: Any = None
    id_orig_p: Any = None
    id_resp_h: Any = None
    id_resp_p: Any = None
    id: Any = None
    proto: Any = None
    service: Any = None
    duration: Any = None
    orig_bytes: Any = None
    resp_bytes: Any = None
    conn_state: Any = None
    missed_bytes: Any = None
    history: Any = None
    orig_pkts: Any = None
    orig_ip_bytes: Any = None
    resp_pkts: Any = None
    resp_ip_bytes: Any = None
    community_id: Any = None
    path: Any = None
    at_path: Any = None
    at_stream: Any = None
    log_type: Any = None


@dataclass(slots=True)
class _Records:
    """Conn records that went through the parser, with line number and raw line of each."""

    records: list[_Record]
    lines: list[int]
    texts: list[bytes]


_NULL: Final = msgspec.Raw(b"null")
# what `log_of` looks for
_TELLING: Final = (*CONN_MARKERS, "proto", "duration", "orig_bytes")
_FIELDS: Final = {name: name.removeprefix("id.") for name in RECORD_COLUMNS}
_UNDERSCORED: Final = {name: name.replace(".", "_") for name in _SIDES}


def record_type(record: dict[str, Any]) -> str:
    """Return the Zeek log that a decoded record belongs to; ``other`` when it does not say."""
    said = (record.get(field) for field in TYPE_FIELDS)
    return log_of([name for name in said if isinstance(name, str)], _set_fields(record))


def _set_fields(record: dict[str, Any]) -> list[str]:
    # null stands for what is not set, in members that are not decoded as well
    return [name for name, value in record.items() if value not in (None, _NULL)]


def _type_of(record: _Record) -> str:
    said = (record.path, record.at_path, record.at_stream, record.log_type)
    fields = [name for name in _TELLING if getattr(record, name) is not None]
    return log_of([name for name in said if isinstance(name, str)], fields)


def _plain_keys() -> tuple[list[str], Keys]:
    rules = dict.fromkeys(RECORD_COLUMNS, TEXT)
    rules |= dict.fromkeys(TIMES, NUMBER) | dict.fromkeys((*PORTS, *COUNTS), WHOLE)
    rules |= {"ts": NUMBER | TEXT} | dict.fromkeys(TYPE_FIELDS, TEXT)
    # an object, unless the name is used for something else that concerns nobody here
    rules |= {_NESTED: OBJECT | TEXT | WHOLE}
    aliases = {spelled: name for name, spelled in _UNDERSCORED.items()}
    aliases |= {name.replace(".", "/"): name for name in _SIDES}
    return list(rules), make_keys(rules, aliases=aliases, objects=[_NESTED])


class ZeekJsonDecoder:
    """Decodes conn records from JSON lines.

    Parameters
    ----------
    account : SourceAccount
        Gets every record as accepted, rejected or skipped (by its type).
    keep_originals : bool
        Adds the column ``original``: the line as it was logged.
    """

    def __init__(self, account: SourceAccount, *, keep_originals: bool = False) -> None:
        self._account = account
        self._keep_originals = keep_originals
        self._decode = line_decoder(_Record)

    def decode(self, block: Block) -> list[pa.RecordBatch]:
        """Return the flows of a block, in order; batches are never empty."""
        # which lines go through the parser is up to each line alone, not to what stands around it
        plain = PlainLines(block, *_PLAIN)
        plain.set_aside(_are_conn(plain))
        columns = _plain_columns(plain)
        others = ((line, text) for line, text, _, _ in plain.others())
        records = self._records(others, complete=block.complete)
        together = Together(plain, records.lines, records.texts)
        unread: dict[str, BoolArray] = {}
        if records.lines:
            for name, values in _values(records.records).items():
                parsed, rows = read_column(name, values)
                columns[name] = together.column(columns[name], parsed)
                unread[name] = together.flags(rows)
        return self._batch(columns, unread, together)

    def _records(self, lines: Iterable[tuple[int, bytes]], *, complete: bool) -> _Records:
        """Parse lines one by one; all that are no conn records enter the books."""
        found = _Records([], [], [])
        for line, text in lines:
            self._read(found, line, text, complete=complete)
        return found

    def _read(
        self, found: _Records, line: int, text: bytes, *, complete: bool, inside: bool = False
    ) -> None:
        """Parse one record, or what its line is the envelope of."""
        try:
            record: _Record | None = self._decode(text)
        except DECODE_ERRORS:
            record = None
        if (record is None or record.ts is None) and not inside and (opened := unwrap(text)):
            self._account.unwrap(opened.envelope, len(opened.records))
            for each in opened.records:
                self._read(found, line, each, complete=complete, inside=True)
            return
        if record is None:
            record = self._value_by_value(line, text, complete=complete)
        if record is None:
            return
        if (kind := _type_of(record)) != CONN:
            self._account.skip(kind)
        else:
            found.records.append(record)
            found.lines.append(line)
            found.texts.append(text)

    def _value_by_value(self, line: int, text: bytes, *, complete: bool) -> _Record | None:
        """Read a line that the decoder refused; None for what is no record, which is booked."""
        if not text.strip():
            return None
        members = json_object(self._account, line, text, complete=complete)
        return None if members is None else record_of(_Record, members)

    def _batch(
        self,
        columns: dict[str, pa.Array],
        unread: dict[str, BoolArray],
        rows: Together,
    ) -> list[pa.RecordBatch]:
        if not len(rows.lines):
            return []
        batch = build_batch(
            columns,
            rows.lines,
            sensor=ZEEK,
            account=self._account,
            excerpt=rows.__getitem__,
            original=(lambda row: rows[row].strip()) if self._keep_originals else None,
            unread=unread,
        )
        return [] if batch is None else [batch]


def _values(records: list[_Record]) -> dict[str, list[Any]]:
    """What stands in each column of some records."""
    cells = zip(*map(astuple, records), strict=True)
    by_field = dict(zip(_Record.__struct_fields__, cells, strict=True))
    values = {name: list(by_field[field]) for name, field in _FIELDS.items()}
    for name, field in _UNDERSCORED.items():
        if None in values[name]:
            values[name] = list(map(_first, values[name], by_field[field]))
        if None in values[name]:
            values[name] = list(map(_first, values[name], _within(by_field[_NESTED], name)))
    return values


def _first(value: Any, other: Any) -> Any:
    return other if value is None else value


def _within(objects: Iterable[Any], name: str) -> Iterator[Any]:
    key = name.removeprefix("id.")
    return (value.get(key) if type(value) is dict else None for value in objects)


_PLAIN: Final = _plain_keys()
_LOG_NAMES: Final = pa.array(sorted(ZEEK_LOGS), pa.string())


def _are_conn(plain: PlainLines) -> BoolArray:
    """Read the times, and tell which plain rows are conn records beyond doubt."""
    markers = [plain.kinds(name) == TEXT for name in TYPE_FIELDS]
    marked = np.logical_or.reduce(markers)
    conn = np.logical_or.reduce([plain.has(name) for name in CONN_MARKERS])
    conn |= plain.has("proto") & (plain.has("duration") | plain.has("orig_bytes"))
    if marked.any():
        for name, marker in zip(TYPE_FIELDS, markers, strict=True):
            # of two markers the first one counts: leave that to the parser
            alone = marker & (np.sum(markers, axis=0) == 1)
            texts = plain.texts(name)
            said = pc.fill_null(pc.equal(texts, CONN), False).to_numpy(zero_copy_only=False)
            known = pc.is_in(texts, _LOG_NAMES).to_numpy(zero_copy_only=False)
            conn = np.where(marker, alone & (said | (conn & ~known)), conn)
    plain.read_moments("ts")
    return conn & (plain.kinds("ts") != TEXT)


def _plain_columns(plain: PlainLines) -> dict[str, pa.Array]:
    columns: dict[str, pa.Array] = {}
    for name in RECORD_COLUMNS:
        if name in TIMES:
            columns[name] = pa.array(plain.numbers(name), mask=~plain.has(name))
        elif name in PORTS:
            columns[name] = plain.ports(name)
        elif name in COUNTS:
            columns[name] = plain.whole(name)
        else:
            columns[name] = plain.texts(name)
    return columns
