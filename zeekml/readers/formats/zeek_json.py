"""Zeek's conn.log as JSON lines: LogAscii::use_json, json-streaming-logs, and combined logs.

Three spellings of the connection's fields are in use: ``id.orig_h``, ``id_orig_h`` and an object
``id`` with ``orig_h``. Some shippers put all of Zeek's logs into one file; then a field such as
``_path`` tells the type of each, where it holds the name of one of Zeek's logs
(`zeekml.readers.formats.zeek_header`).
"""

from __future__ import annotations

import re
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import astuple

from zeekml.readers.batch_builder import CONN_MARKERS, BoolArray
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.flow_schema import ZEEK
from zeekml.readers.formats._json_scanner import NUMBER, OBJECT, TEXT, WHOLE
from zeekml.readers.formats.json_columns import JsonDecoder, MergedRows, PlainLines, make_keys
from zeekml.readers.formats.zeek_header import CONN, ZEEK_LOGS, log_of
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.values import COUNTS, PORTS, RAW_TYPES, RECORD_COLUMNS, TIMES, read_column

TYPE_FIELDS: Final = ("_path", "@path", "@stream", "log_type")
"""Where the type of a record stands when several types share a file."""

_NESTED: Final = "id"
_SIDES: Final = tuple(name for name in RECORD_COLUMNS if name.startswith("id."))
_SIDES_UNDERSCORED: Final = tuple(name.replace(".", "_") for name in _SIDES)
_KEYS: Final = (*RECORD_COLUMNS, *_SIDES_UNDERSCORED, _NESTED, *TYPE_FIELDS)
_ATTRIBUTES: Final = {re.sub(r"\W", "_at_", key): key for key in _KEYS}
# a record as it stands: what its values mean is for `zeekml.readers.values` to say
_Record: Final = msgspec.defstruct(
    "_Record", [(name, Any, None) for name in _ATTRIBUTES], rename=_ATTRIBUTES, gc=False
)
_types: Final = attrgetter(*(name for name, key in _ATTRIBUTES.items() if key in TYPE_FIELDS))
_NULL: Final = msgspec.Raw(b"null")


def record_type(record: dict[str, Any]) -> str:
    """The Zeek log that a decoded record belongs to; ``other`` when it does not say."""
    said = (record.get(field) for field in TYPE_FIELDS)
    # null stands for what is not set, in members that are not decoded as well
    fields = [name for name, value in record.items() if value not in (None, _NULL)]
    return log_of([name for name in said if isinstance(name, str)], fields)


def _type_of(record: msgspec.Struct) -> str:
    first = next(filter(None, _types(record)), None)
    # most records of combined logs say it at once
    if isinstance(first, str) and first in ZEEK_LOGS:
        return first
    return record_type(dict(zip(_KEYS, astuple(record), strict=True)))


_RULES: Final = (
    dict.fromkeys((*RECORD_COLUMNS, *TYPE_FIELDS), TEXT)
    | dict.fromkeys(TIMES, NUMBER)
    | dict.fromkeys((*PORTS, *COUNTS), WHOLE)
    # an object, unless the name is used for something else that concerns nobody here
    | {"ts": NUMBER | TEXT, _NESTED: OBJECT | TEXT | WHOLE}
)
_ALIASES: Final = {name.replace(".", mark): name for mark in "_/" for name in _SIDES}
_PLAIN: Final = list(_RULES), make_keys(_RULES, aliases=_ALIASES, objects=[_NESTED])
_LOG_NAMES: Final = pa.array(sorted(ZEEK_LOGS), pa.string())


class ZeekJsonDecoder(JsonDecoder[msgspec.Struct]):
    """Decodes conn records from JSON lines; those of `log` are taken for such, too."""

    sensor = ZEEK
    telling = "ts"

    def __init__(
        self, account: SourceAccount, *, keep_originals: bool = False, log: str = CONN
    ) -> None:
        super().__init__(_Record, account, keep_originals=keep_originals)
        self._logs = (CONN, log)

    def decode(self, block: Block) -> list[pa.RecordBatch]:
        """The flows of a block, in order; batches are never empty."""
        # which lines go through the parser is up to each line alone, not to what stands around it
        plain = PlainLines(block, *_PLAIN)
        plain.set_aside(_are_conn(plain))
        rows = MergedRows[msgspec.Struct](plain)
        for _, line, text, *_ in plain.others():
            for own, record in self._records(line, text, complete=block.complete):
                if (kind := _type_of(record)) in self._logs:
                    rows.add(line, own, record)
                else:
                    self._account.skip(kind)
        if not len(rows):
            return []
        scanned = {name: plain.column(name, RAW_TYPES[name]) for name in RECORD_COLUMNS}
        columns, unread = rows.columns({n: (c, None) for n, c in scanned.items()}, _parsed)
        return self._batch(rows, columns, unread=unread)


def _parsed(records: list[msgspec.Struct]) -> dict[str, tuple[pa.Array, BoolArray]]:
    """The columns of some records; of several spellings of one, the first with a value."""
    by_key = dict(zip(_KEYS, map(list, zip(*map(astuple, records), strict=True)), strict=True))
    for name, underscored in zip(_SIDES, _SIDES_UNDERSCORED, strict=True):
        if None in by_key[name]:
            by_key[name] = list(map(_first, by_key[name], by_key[underscored]))
        if None in by_key[name]:
            inner = name.removeprefix("id.")
            nested = (v.get(inner) if type(v) is dict else None for v in by_key[_NESTED])
            by_key[name] = list(map(_first, by_key[name], nested))
    return {name: read_column(name, by_key[name]) for name in RECORD_COLUMNS}


def _first(value: Any, other: Any) -> Any:
    return other if value is None else value


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
