"""Zeek's conn.log as JSON lines: LogAscii::use_json, json-streaming-logs, and combined logs.

Two spellings of the connection's fields are in use (``id.orig_h`` and ``id_orig_h``), and three
of times: epoch seconds, epoch milliseconds (numbers from 1e11 on) and ISO 8601. Some shippers
put all of Zeek's logs into one file; then a field such as ``_path`` tells the type of each, where
it holds the name of one of Zeek's logs (`zeekml.flows.zeek_logs`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import astuple

from zeekml.flows.columns import (
    CONN_MARKERS,
    COUNTS,
    PORTS,
    RECORD_COLUMNS,
    TIMES,
    BoolArray,
    build_batch,
)
from zeekml.flows.json_columns import PlainLines, Together
from zeekml.flows.json_lines import DECODE_ERRORS, columns_of_values, json_object, line_decoder
from zeekml.flows.json_scan import Keys, make_keys
from zeekml.flows.json_values import NUMBER, TEXT, WHOLE
from zeekml.flows.lines import Block
from zeekml.flows.rejects import BAD_VALUE, SourceAccount
from zeekml.flows.schema import ZEEK
from zeekml.flows.zeek_logs import CONN, ZEEK_LOGS, log_of

TYPE_FIELDS: Final = ("_path", "@path", "@stream", "log_type")
"""Where the type of a record stands when several types share a file."""

_MILLISECONDS_FROM: Final = 1e11
_Number = int | float | None


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
    ts: int | float | str | None = None
    uid: str | None = None
    orig_h: str | None = None
    orig_p: _Number = None
    resp_h: str | None = None
    resp_p: _Number = None
    id_orig_h: str | None = None
    id_orig_p: _Number = None
    id_resp_h: str | None = None
    id_resp_p: _Number = None
    proto: str | None = None
    service: str | list[str] | None = None
    duration: _Number = None
    orig_bytes: _Number = None
    resp_bytes: _Number = None
    conn_state: str | None = None
    missed_bytes: _Number = None
    history: str | None = None
    orig_pkts: _Number = None
    orig_ip_bytes: _Number = None
    resp_pkts: _Number = None
    resp_ip_bytes: _Number = None
    community_id: str | None = None
    path: str | None = None
    at_path: str | None = None
    at_stream: str | None = None
    log_type: str | None = None


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
_UNDERSCORED: Final = {
    name: name.replace(".", "_") for name in RECORD_COLUMNS if name.startswith("id.")
}


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


def epoch_seconds(value: int | float | str) -> float:
    """Read a time as any of Zeek's JSON writers puts it.

    Raises
    ------
    ValueError
        When a text is not ISO 8601; one without a zone is taken as UTC.
    """
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    return value / 1000 if value >= _MILLISECONDS_FROM else float(value)


def _plain_keys() -> tuple[list[str], Keys]:
    rules = dict.fromkeys(RECORD_COLUMNS, TEXT)
    rules |= dict.fromkeys(TIMES, NUMBER) | dict.fromkeys((*PORTS, *COUNTS), WHOLE)
    rules |= {"ts": NUMBER | TEXT} | dict.fromkeys(TYPE_FIELDS, TEXT)
    aliases = {spelled: name for name, spelled in _UNDERSCORED.items()}
    return list(rules), make_keys(rules, aliases=aliases)


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
        bad = np.zeros(len(records.lines), np.bool_)
        if records.lines:
            parsed = self._columns(records, bad)
            columns = {name: together.column(columns[name], parsed[name]) for name in columns}
        return self._batch(columns, together.flags(bad), together)

    def _records(self, lines: Iterable[tuple[int, bytes]], *, complete: bool) -> _Records:
        """Parse lines one by one; all that are no conn records enter the books."""
        found = _Records([], [], [])
        decode = self._decode
        for line, text in lines:
            try:
                record = decode(text)
            except DECODE_ERRORS:
                if text.strip():
                    self._explain(line, text, complete=complete)
                continue
            if (kind := _type_of(record)) != CONN:
                self._account.skip(kind)
                continue
            found.records.append(record)
            found.lines.append(line)
            found.texts.append(text)
        return found

    def _columns(self, found: _Records, bad: BoolArray) -> dict[str, pa.Array]:
        if not found.records:
            return {}
        cells = zip(*map(astuple, found.records), strict=True)
        by_field = dict(zip(_Record.__struct_fields__, cells, strict=True))
        values = {name: list(by_field[field]) for name, field in _FIELDS.items()}
        for name, field in _UNDERSCORED.items():
            if None in by_field[_FIELDS[name]]:
                values[name] = [
                    other if value is None else value
                    for value, other in zip(values[name], by_field[field], strict=True)
                ]
        values["service"] = [
            ",".join(value) if type(value) is list else value for value in values["service"]
        ]
        return columns_of_values(values, bad, self._account, epoch_seconds)

    def _batch(
        self,
        columns: dict[str, pa.Array],
        bad: BoolArray,
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
            bad_rows=bad,
        )
        return [] if batch is None else [batch]

    def _explain(self, line: int, text: bytes, *, complete: bool) -> None:
        """Find out why a line did not fit a conn record, and enter it in the books."""
        record = json_object(self._account, line, text, complete=complete)
        if record is None:
            return
        if (kind := record_type(record)) != CONN:
            # other logs use the same names for other things
            self._account.skip(kind)
        else:
            self._account.reject(line, BAD_VALUE, text)


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
            numbers = plain.numbers(name)
            if name == "ts":
                numbers = np.where(numbers >= _MILLISECONDS_FROM, numbers / 1000, numbers)
            columns[name] = pa.array(numbers, mask=~plain.has(name))
        elif name in PORTS:
            columns[name] = plain.ports(name)
        elif name in COUNTS:
            columns[name] = plain.whole(name)
        else:
            columns[name] = plain.texts(name)
    return columns
