"""Tell what a file is from its first bytes; names only settle what content leaves open."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from zeekml.readers.files.line_splitter import Block, LineSplitter
from zeekml.readers.files.refusal import (
    BAD_HEADER,
    EMPTY,
    NO_CONN_FIELDS,
    NO_HEADER,
    OWN_OUTPUT,
    UNSUPPORTED,
    explain,
    foreign_file,
    foreign_json,
    foreign_text,
)
from zeekml.readers.formats import parquet as flow_table
from zeekml.readers.formats.envelopes import unwrap
from zeekml.readers.formats.json_parser import DECODE_ERRORS, line_decoder
from zeekml.readers.formats.multiline_json import without_rubbish
from zeekml.readers.formats.zeek_header import MAX_COLUMNS, Header, HeaderReader
from zeekml.readers.formats.zeek_json import TYPE_FIELDS, record_type
from zeekml.readers.formats.zeek_log_kind import CONN, OTHER_CONN_LOGS, logs_named, may_hold_conn
from zeekml.readers.rejects import OTHER

HEAD_SIZE: Final = 1 << 18  # bytes, unpacked, that `detect` wants to see
_SAMPLE_LINES: Final = 2000
_MAX_LINES: Final = 10 * _SAMPLE_LINES  # of records written over several lines
_LEAST_COLUMNS: Final = 4
_decode_object: Final = line_decoder(dict[str, Any])


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
    refusal: str = ""  # why it is: a key of `zeekml.readers.files.refusal`, or ``zeek_dns``, …
    opened: float | None = None  # Zeek's ``#open``, in seconds on a scale without time zones
    header: Header | None = None  # for records of a Zeek log above which none stands
    detail: str = ""  # what was seen of a file that is refused, in words

    @property
    def explanation(self) -> str:
        """What a refused file is and what to do about it, to be put behind its name."""
        return explain(self.refusal, self.detail)


def detect(head: bytes, name: str, columns: Header | None = None) -> Detected:
    """Recognise a file by its first bytes, unpacked: `HEAD_SIZE` or all of it.

    `columns` are those of tab-separated files that have no header.
    """
    if head.startswith(flow_table.MAGIC):
        return Detected(Kind.TABLE)
    if what := foreign_file(head):
        return Detected(refusal=UNSUPPORTED, detail=what)
    text = without_rubbish(head).lstrip(b" \t\r\n")
    if not text:
        return Detected(refusal=EMPTY)
    if text.startswith(b"{"):
        found = _detect_json(text, name)
    else:
        first = text.partition(b"\n")[0]
        separators = {b"\t", b"\t" if columns is None else columns.separator}
        if any(separator in first for separator in separators) or HeaderReader().begin(first):
            found = _detect_tsv(text, columns)
        else:
            found = Detected(refusal=UNSUPPORTED, detail=foreign_text(text))
    may_be_json = b"\n{" in text or (found.refusal == UNSUPPORTED and b"{" in text)
    if found.kind is None and not text.startswith(b"{") and may_be_json:
        # JSON lines of which the first is cut or damaged or begins with something else, whatever
        # it looks like now
        later = _detect_json(text, name)
        if later.kind is not None or (found.refusal == UNSUPPORTED != later.refusal):
            found = later
    log = found.refusal.removeprefix("zeek_")
    if log != found.refusal and len(head) >= HEAD_SIZE and may_hold_conn(name, log):
        # logs that were put together
        found = Detected(Kind.ZEEK_JSON if text.startswith(b"{") else Kind.ZEEK_TSV)
    if found.kind in (Kind.ZEEK_TSV, Kind.ZEEK_JSON):
        for log in sorted(OTHER_CONN_LOGS & logs_named(name)):
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
            return Detected(refusal=UNSUPPORTED, detail=foreign_text(line))
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
    detail = ""
    if header.refusal == BAD_HEADER:
        wide = len(header.fields) > MAX_COLUMNS
        detail = f"more than {MAX_COLUMNS:,} columns" if wide else "a separator that cannot be one"
    elif header.missing:
        detail = ", ".join(header.missing)
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
        return Detected(refusal=UNSUPPORTED, detail=foreign_json(records[0]))
    only = types[0] if len(set(types)) == 1 else OTHER
    marked = any(field in records[0] for field in TYPE_FIELDS)
    # Records that name their type may share a file with conn records further down. Only where
    # the file's name agrees with the one type seen is it certain that none will come.
    if marked and (len(set(types)) > 1 or may_hold_conn(name, only)):
        return Detected(Kind.ZEEK_JSON)
    return Detected(refusal=f"zeek_{only}")


def _records(text: bytes) -> Iterator[dict[str, Any]]:
    splitter = LineSplitter(cut_arrays=True)
    for item in itertools.chain(splitter.feed(text), splitter.finish()):
        lines = item.data.split(b"\n", _MAX_LINES)[:_MAX_LINES] if isinstance(item, Block) else []
        for line in filter(None, lines):
            try:
                record = _decode_object(line)
            except DECODE_ERRORS:
                record = {}
            if "ts" not in record and "event_type" not in record and (inside := unwrap(line)):
                for each in inside.records:
                    with suppress(*DECODE_ERRORS):
                        yield _decode_object(each)
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
    return isinstance(metadata, dict) and any(str(k).startswith("zeekml") for k in metadata)
