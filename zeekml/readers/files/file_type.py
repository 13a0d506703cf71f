"""Tell what a file is from its first bytes; names only settle what content leaves open.

Of a file that is refused: why, and what would help.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from zeekml.core.text import printable
from zeekml.readers.files.line_splitter import Block, LineSplitter
from zeekml.readers.flow_schema import REQUIRED
from zeekml.readers.formats import parquet as flow_table
from zeekml.readers.formats import zeek_header
from zeekml.readers.formats.envelopes import unwrap
from zeekml.readers.formats.json_parser import DECODE_ERRORS, object_of
from zeekml.readers.formats.multiline_json import without_rubbish
from zeekml.readers.formats.zeek_header import CONN, Header, HeaderReader
from zeekml.readers.formats.zeek_json import TYPE_FIELDS, record_type
from zeekml.readers.rejects import OTHER

HEAD_SIZE: Final = 1 << 18  # bytes, unpacked, that `detect` wants to see
_SAMPLE_LINES: Final = 2000
_MAX_LINES: Final = 10 * _SAMPLE_LINES  # of records written over several lines
_LEAST_COLUMNS: Final = 4

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

_COLUMNS: Final = "name them with --columns, or give a file that has its header with --like"

_PCAP: Final = (
    *(b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d"),
    *(b"\x0a\x0d\x0d\x0a", b"snoop\0\0\0"),
)
# magic bytes, where they stand, what it is, what to do
_FILES: Final = (
    *((magic, 0, "a packet capture", _CAPTURE) for magic in _PCAP),
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
# where notices in OCSF, in ECS and in CEF name us
_NAMES_US: Final = (("metadata", "product", "name"), ("event", "module"))
_OWN_CEF: Final = re.compile(rb"CEF:0\|zeekml\|zeekml\|")
_SHOWN: Final = 40
_SHOWN_FIELDS: Final = 5


class Kind(StrEnum):
    """Formats that hold flows."""

    ZEEK_TSV = "zeek_tsv"
    ZEEK_JSON = "zeek_json"
    EVE = "suricata_eve"
    TABLE = "flow_table"


@dataclass(frozen=True)
class Detected:
    """What a file is."""

    kind: Kind | None = None  # None for a file that is refused
    refusal: str = ""  # why it is: one of the keys above, or ``zeek_dns``, …
    opened: float | None = None  # Zeek's ``#open``, in seconds on a scale without time zones
    header: Header | None = None  # for records of a Zeek log above which none stands
    detail: str = ""  # what was seen of a file that is refused, in words

    @property
    def explanation(self) -> str:
        """What a refused file is and what to do about it, to be put behind its name."""
        refusal, detail = self.refusal, self.detail
        if refusal.startswith("zeek_"):
            log = printable(refusal.removeprefix("zeek_"), 40)
            other = "a Zeek log, but none of connections"
            return f"is {other if log == OTHER else f'another Zeek log ({log})'}; give conn.log"
        if refusal == NO_CONN_FIELDS and not detail:
            lacks = f"{', '.join(REQUIRED[:-1])} or {REQUIRED[-1]}"
            return f"lacks {lacks}; give a table of flows with these columns"
        said = {
            EMPTY: "is empty; give a log with records",
            OWN_OUTPUT: "is an output of zeekml; give the sensor's own log",
            NO_HEADER: f"has {detail}; {_COLUMNS}",
            BAD_HEADER: f"has a Zeek header with {detail}; give the file with a whole header",
            NO_CONN_FIELDS: f"lacks {detail}; no connection can do without: see what filters "
            "Conn::LOG",
            UNSUPPORTED: detail,
        }
        return said.get(refusal) or f"is no supported log; {_WANTED}"


def detect(head: bytes, name: str, columns: Header | None = None) -> Detected:
    """Recognise a file by its first bytes, unpacked: `HEAD_SIZE` or all of it.

    `columns` are those of tab-separated files that have no header.
    """
    if head.startswith(flow_table.MAGIC):
        return Detected(Kind.TABLE)
    for magic, place, what, remedy in _FILES:
        if head.startswith(magic, place):
            return Detected(refusal=UNSUPPORTED, detail=f"is {what}; {remedy}")
    text = without_rubbish(head).lstrip(b" \t\r\n")
    if not text:
        return Detected(refusal=EMPTY)
    if text.startswith(b"{"):
        found = _detect_json(text, name)
    else:
        first = text.partition(b"\n")[0]
        if _OWN_CEF.match(first):
            return Detected(refusal=OWN_OUTPUT)
        separators = {b"\t", b"\t" if columns is None else columns.separator}
        if any(separator in first for separator in separators) or HeaderReader().begin(first):
            found = _detect_tsv(text, columns)
        else:
            found = Detected(refusal=UNSUPPORTED, detail=_foreign_text(text))
    may_be_json = b"\n{" in text or (found.refusal == UNSUPPORTED and b"{" in text)
    if found.kind is None and not text.startswith(b"{") and may_be_json:
        # JSON lines of which the first is cut or damaged or begins with something else, whatever
        # it looks like now
        later = _detect_json(text, name)
        if later.kind is not None or (found.refusal == UNSUPPORTED != later.refusal):
            found = later
    log = found.refusal.removeprefix("zeek_")
    if log != found.refusal and len(head) >= HEAD_SIZE and zeek_header.may_hold_conn(name, log):
        # logs that were put together
        found = Detected(Kind.ZEEK_JSON if text.startswith(b"{") else Kind.ZEEK_TSV)
    if found.kind in (Kind.ZEEK_TSV, Kind.ZEEK_JSON):
        for log in sorted(zeek_header.OTHER_CONN_LOGS & zeek_header.logs_named(name)):
            return Detected(refusal=f"zeek_{log}")
    return found


def _detect_tsv(text: bytes, columns: Header | None) -> Detected:
    """Look at each header in turn; one of a log of connections suffices."""
    headers = HeaderReader()
    first, newline, rest = text.partition(b"\n")
    if headers.begin(first):
        text = newline and rest
    refused = Detected(refusal=UNSUPPORTED)
    bare = b""
    for begin, end in headers.runs(text):
        if not text[begin:end].strip():
            continue
        if not headers.seen:
            bare = text[begin:end].partition(b"\n")[0].rstrip(b"\r")
            continue
        found = _judge(headers.header)
        if found.kind is not None or found.refusal == OWN_OUTPUT:
            return _with_bare(found, bare, headers.header)
        if refused.refusal == UNSUPPORTED:
            refused = found
    last = _judge(headers.header) if headers.seen else refused
    if last.kind is not None:
        return _with_bare(last, bare, headers.header)
    if bare:
        return _detect_bare(bare, columns)
    return last if refused.refusal == UNSUPPORTED else refused


def _with_bare(found: Detected, bare: bytes, header: Header) -> Detected:
    """Let a header count for the records above it as well: it may stand below all of them."""
    if found.kind is None or bare.count(header.separator) != len(header.fields) - 1:
        return found
    return replace(found, header=header)


def _detect_bare(line: bytes, columns: Header | None) -> Detected:
    """Judge records above which no header stands, by the first of them."""
    seen = line.count(b"\t" if columns is None else columns.separator) + 1
    if columns is None:
        if seen < _LEAST_COLUMNS:
            return Detected(refusal=UNSUPPORTED, detail=_foreign_text(line))
        return Detected(refusal=NO_HEADER, detail=f"{seen:,} tab-separated columns and no header")
    if seen == (named := len(columns.fields)):
        return replace(_judge(columns), header=columns)
    detail = f"{seen:,} columns and no header, but {named:,} are named"
    return Detected(refusal=NO_HEADER, detail=detail)


def _judge(header: Header) -> Detected:
    if b"zeekml_id" in header.fields:
        return Detected(refusal=OWN_OUTPUT)
    if not header.fields and header.refusal in (NO_CONN_FIELDS, "zeek_other"):
        return Detected(refusal=BAD_HEADER, detail="no #fields line")
    if header.refusal is None:
        return Detected(Kind.ZEEK_TSV, opened=header.opened)
    detail = ", ".join(header.missing)
    if header.refusal == BAD_HEADER:
        detail = "a separator that cannot be one"
        if len(header.fields) > zeek_header.MAX_COLUMNS:
            detail = f"more than {zeek_header.MAX_COLUMNS:,} columns"
    return Detected(refusal=header.refusal, detail=detail)


def _detect_json(text: bytes, name: str) -> Detected:
    records = list(itertools.islice(_records(text), _SAMPLE_LINES))
    if not records:
        # a log whose first lines are longer than the head, or are cut
        if b'"event_type"' in text and b'"timestamp"' in text:
            return Detected(Kind.EVE)
        if b'"ts"' in text and (b'"id.orig_h"' in text or b'"id_orig_h"' in text):
            return Detected(Kind.ZEEK_JSON)
        own = b'"records_scored"' in text and b'"files_skipped"' in text
        return Detected(refusal=OWN_OUTPUT if own else UNSUPPORTED)
    if any(_is_own(record) for record in records):
        return Detected(refusal=OWN_OUTPUT)
    events = sum("event_type" in r and "timestamp" in r for r in records)
    types = [record_type(r) for r in records if "ts" in r or any(f in r for f in TYPE_FIELDS)]
    if events and events >= len(types):
        return Detected(Kind.EVE)
    if CONN in types:
        return Detected(Kind.ZEEK_JSON)
    if not types:
        return Detected(refusal=UNSUPPORTED, detail=_foreign_json(records[0]))
    only = types[0] if len(set(types)) == 1 else OTHER
    marked = any(field in records[0] for field in TYPE_FIELDS)
    # Records that name their type may share a file with conn records further down. Only where
    # the file's name agrees with the one type seen is it certain that none will come.
    if marked and (len(set(types)) > 1 or zeek_header.may_hold_conn(name, only)):
        return Detected(Kind.ZEEK_JSON)
    return Detected(refusal=f"zeek_{only}")


def _records(text: bytes) -> Iterator[dict[str, Any]]:
    splitter = LineSplitter(cut_arrays=True)
    for item in itertools.chain(splitter.feed(text), splitter.finish()):
        lines = item.data.split(b"\n", _MAX_LINES)[:_MAX_LINES] if isinstance(item, Block) else []
        for line in filter(None, lines):
            try:
                record = object_of(line)
            except DECODE_ERRORS:
                record = {}
            if "ts" not in record and "event_type" not in record and (inside := unwrap(line)):
                for each in inside.records:
                    with suppress(*DECODE_ERRORS):
                        yield object_of(each)
            elif record:
                yield record


def _is_own(record: dict[str, Any]) -> bool:
    """Tell whether a record was written by zeekml itself."""
    names = set(record)
    if names & {"zeekml_score", "zeekml_id"} or names >= {"records_scored", "files_skipped"}:
        return True
    if names == {"source", "line", "reason", "excerpt"}:
        return True
    if str(record.get("note", "")).startswith("ZeekML::"):
        return True
    alert = record.get("alert")
    metadata = alert.get("metadata") if isinstance(alert, dict) else None
    if isinstance(metadata, dict) and any(str(k).startswith("zeekml") for k in metadata):
        return True
    # OCSF and ECS
    return any(_at(record, *place) == "zeekml" for place in _NAMES_US)


def _at(record: Any, *steps: str) -> Any:
    for step in steps:
        record = record.get(step) if isinstance(record, dict) else None
    return record


def _foreign_text(text: bytes) -> str:
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


def _foreign_json(record: dict[str, Any]) -> str:
    """What a file with such records is, which are neither Zeek's nor Suricata's."""
    fields = ", ".join(printable(name, _SHOWN) for name in list(record)[:_SHOWN_FIELDS])
    more = ", …" if len(record) > _SHOWN_FIELDS else ""
    return (
        f"is no supported log: it has JSON records ({fields}{more}), but neither Zeek's (ts, "
        f"id.orig_h, …) nor Suricata's (timestamp, event_type, …); {_WANTED}"
    )
