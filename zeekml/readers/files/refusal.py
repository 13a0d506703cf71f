"""Say why a file is not read, and what would help; each answer is to be put behind its name."""

from __future__ import annotations

import re
from typing import Any, Final

from zeekml.core.text import printable
from zeekml.readers.flow_schema import REQUIRED
from zeekml.readers.rejects import OTHER

# why a file is refused, besides the Zeek log it is (``zeek_dns``), as keys for counting
OWN_OUTPUT: Final = "own_output"
UNSUPPORTED: Final = "unsupported"
EMPTY: Final = "empty"
NO_HEADER: Final = "no_header"
BAD_HEADER: Final = "bad_header"
NO_CONN_FIELDS: Final = "no_conn_fields"

_UNPACK: Final = "unpack it first, or pipe its content in and give -"
_CAPTURE: Final = "run Zeek or Suricata on it and give the log"
_AS_PARQUET: Final = "write the flows as Parquet with Zeek's column names"
_WANTED: Final = "give a Zeek conn.log, a Suricata eve.json or a flow table"

_CONN_LOG: Final = "give conn.log"
_PARQUET: Final = "give a table of flows with these columns"
_COLUMNS: Final = "name them with --columns, or give a file that has its header with --like"

# magic bytes, where they stand, what it is, what to do
_FILES: Final = (
    (b"\xd4\xc3\xb2\xa1", 0, "a packet capture", _CAPTURE),
    (b"\xa1\xb2\xc3\xd4", 0, "a packet capture", _CAPTURE),
    (b"\x4d\x3c\xb2\xa1", 0, "a packet capture", _CAPTURE),
    (b"\xa1\xb2\x3c\x4d", 0, "a packet capture", _CAPTURE),
    (b"\x0a\x0d\x0d\x0a", 0, "a packet capture", _CAPTURE),
    (b"snoop\0\0\0", 0, "a packet capture", _CAPTURE),
    (b"\x04\x22\x4d\x18", 0, "compressed with LZ4", _UNPACK),
    (b"\xff\x06\0\0sNaPpY", 0, "compressed with Snappy", _UNPACK),
    (b"\x1f\x9d", 0, "compressed by compress", _UNPACK),
    (b"\x5d\0\0", 0, "compressed with LZMA", _UNPACK),
    (b"LZIP", 0, "compressed with lzip", _UNPACK),
    (b"\x89LZO\0", 0, "compressed with lzop", _UNPACK),
    (b"PK\x03\x04", 0, "a ZIP archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", 0, "a RAR archive", _UNPACK),
    (b"ustar", 257, "a tar archive", _UNPACK),
    (b"ARROW1", 0, "an Arrow file", _AS_PARQUET),
    (b"ORC", 0, "an ORC file", _AS_PARQUET),
    (b"Obj\x01", 0, "an Avro file", _AS_PARQUET),
    (b"SQLite format 3\0", 0, "an SQLite database", _AS_PARQUET),
)
_CSV: Final = re.compile(rb"[^,;\t\n]*(?:([,;])[^,;\t\n]*)(?:\1[^,;\t\n]*){2,}")
_SHOWN: Final = 40
_SHOWN_FIELDS: Final = 5


def explain(refusal: str, detail: str) -> str:
    """What a refused file is and what to do about it."""
    if refusal == EMPTY:
        return "is empty; give a log with records"
    if refusal == OWN_OUTPUT:
        return "is an output of zeekml; give the sensor's own log"
    if refusal == NO_HEADER:
        return f"has {detail}; {_COLUMNS}"
    if refusal == BAD_HEADER:
        return f"has a Zeek header with {detail}; give the file with a whole header"
    if refusal == NO_CONN_FIELDS and not detail:
        return f"lacks {', '.join(REQUIRED[:-1])} or {REQUIRED[-1]}; {_PARQUET}"
    if refusal == NO_CONN_FIELDS:
        return f"lacks {detail}; no connection can do without: see what filters Conn::LOG"
    if refusal.startswith("zeek_"):
        log = refusal.removeprefix("zeek_")
        if log == OTHER:
            return f"is a Zeek log, but none of connections; {_CONN_LOG}"
        return f"is another Zeek log ({printable(log, 40)}); {_CONN_LOG}"
    if refusal == UNSUPPORTED and detail:
        return detail
    return f"is no supported log; {_WANTED}"


def foreign_file(head: bytes) -> str:
    """What a file is by its magic bytes; empty if that is unknown."""
    for magic, place, what, remedy in _FILES:
        if head.startswith(magic, place):
            return f"is {what}; {remedy}"
    return ""


def foreign_text(text: bytes) -> str:
    """What a file is that begins with `text`, which is of no format with records."""
    line = text.partition(b"\n")[0].rstrip(b"\r")
    if not line.decode("utf-8", "replace").replace("\t", " ").isprintable():
        return f"is no supported log, but binary data; {_WANTED}"
    if _CSV.fullmatch(line) and b"{" not in line:
        return (
            "is no supported log, but comma-separated text; give Zeek's own conn.log "
            f"(tab-separated or JSON), or {_AS_PARQUET}"
        )
    return f'is no supported log (it begins with "{printable(line, _SHOWN)}"); {_WANTED}'


def foreign_json(record: dict[str, Any]) -> str:
    """What a file with such records is, which are neither Zeek's nor Suricata's."""
    fields = ", ".join(printable(name, _SHOWN) for name in list(record)[:_SHOWN_FIELDS])
    more = ", …" if len(record) > _SHOWN_FIELDS else ""
    return (
        f"is no supported log: it has JSON records ({fields}{more}), but neither Zeek's (ts, "
        f"id.orig_h, …) nor Suricata's (timestamp, event_type, …); {_WANTED}"
    )
