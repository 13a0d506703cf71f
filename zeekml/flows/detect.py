"""Tell what a file is from its first bytes; names only settle what content leaves open."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from zeekml.flows import flow_table
from zeekml.flows.envelopes import unwrap
from zeekml.flows.joining import without_rubbish
from zeekml.flows.json_lines import DECODE_ERRORS, line_decoder
from zeekml.flows.lines import Block, LineSplitter
from zeekml.flows.rejects import OTHER
from zeekml.flows.zeek_json import CONN, TYPE_FIELDS, record_type
from zeekml.flows.zeek_tsv import Header, plain_header

HEAD_SIZE: Final = 1 << 18
"""Bytes, unpacked, that `detect` wants to see."""

OWN_OUTPUT: Final = "own_output"
UNSUPPORTED: Final = "unsupported"
EMPTY: Final = "empty"

_SAMPLE_LINES: Final = 200
_MAX_LINES: Final = 50 * _SAMPLE_LINES  # of records written over several lines
_SEPARATOR: Final = re.compile(rb"[^\s\w]{1,8}separator \S")
# logs of connections that are still open list the same connection again and again
_NOT_CONN_NAMES: Final = re.compile(
    r"(?:^|[^a-z])(open_conn|conn[_-]long|long_conn|conn[-_]summary)(?:$|[^a-z])", re.IGNORECASE
)
_decode_object: Final = line_decoder(dict[str, Any])
_WORD: Final = re.compile(r"[a-z0-9_]+")


class Kind(StrEnum):
    """Formats that hold flows."""

    ZEEK_TSV = "zeek_tsv"
    ZEEK_JSON = "zeek_json"
    EVE = "suricata_eve"
    TABLE = "flow_table"


@dataclass(frozen=True)
class Detected:
    """What a file is.

    Attributes
    ----------
    kind : Kind or None
        The format, None for a file that is refused.
    refusal : str
        Why it is refused, as a key for counting: ``zeek_dns``, ``own_output``, ``unsupported``, …
    opened : float or None
        Zeek's ``#open``, in seconds on a scale without time zones.
    """

    kind: Kind | None = None
    refusal: str = ""
    opened: float | None = None


def detect(head: bytes, name: str) -> Detected:
    """Recognise a file.

    Parameters
    ----------
    head : bytes
        Its first bytes, unpacked: `HEAD_SIZE` or all of it.
    name : str
        Its name without directories.
    """
    if head.startswith(flow_table.MAGIC):
        return Detected(Kind.TABLE)
    text = without_rubbish(head).lstrip(b" \t\r\n")
    if not text:
        return Detected(refusal=EMPTY)
    if text.startswith(b"{"):
        found = _detect_json(text, name)
    elif _SEPARATOR.match(text) or b"\t" in text.partition(b"\n")[0] or text.startswith(b"#"):
        found = _detect_tsv(text)
    else:
        found = Detected(refusal=UNSUPPORTED)
    if found.kind is None and not text.startswith(b"{") and _may_be_json(text, found):
        # JSON lines of which the first is cut or damaged or begins with something else, whatever
        # it looks like now
        later = _detect_json(text, name)
        found = later if later.kind is not None or found.refusal == UNSUPPORTED else found
    if found.kind in (Kind.ZEEK_TSV, Kind.ZEEK_JSON) and (other := _NOT_CONN_NAMES.search(name)):
        return Detected(refusal=f"zeek_{other[1].lower()}")
    return found


def _detect_tsv(text: bytes) -> Detected:
    lines = text.split(b"\n", _SAMPLE_LINES)
    if not _SEPARATOR.match(text):
        plain = plain_header(lines[0])
        if plain is not None:
            refusal = plain.refusal
            return Detected(refusal=refusal) if refusal else Detected(Kind.ZEEK_TSV)
        if not any(line.startswith(b"#fields\t") for line in lines):
            return Detected(refusal=UNSUPPORTED)
    header = Header()
    for line in lines:
        if not header.fields or line.startswith(header.prefix):
            header = header.read(line)
    if b"zeekml_id" in header.fields:
        return Detected(refusal=OWN_OUTPUT)
    if not header.fields and not header.path:
        return Detected(refusal="bad_header")
    if header.refusal:
        return Detected(refusal=header.refusal)
    return Detected(Kind.ZEEK_TSV, opened=header.opened)


def _may_be_json(text: bytes, found: Detected) -> bool:
    return b"\n{" in text or (found.refusal == UNSUPPORTED and b"{" in text)


def _detect_json(text: bytes, name: str) -> Detected:
    records = list(itertools.islice(_records(text), _SAMPLE_LINES))
    if not records:
        return _detect_json_by_keys(text)
    if any(_is_own(record) for record in records):
        return Detected(refusal=OWN_OUTPUT)
    events = sum("event_type" in r and "timestamp" in r for r in records)
    types = [record_type(r) for r in records if "ts" in r or any(f in r for f in TYPE_FIELDS)]
    if events and events >= len(types):
        return Detected(Kind.EVE)
    if CONN in types:
        return Detected(Kind.ZEEK_JSON)
    if not types:
        return Detected(refusal=UNSUPPORTED)
    kinds = set(types)
    only = kinds.pop() if len(kinds) == 1 else OTHER
    marked = any(field in records[0] for field in TYPE_FIELDS)
    # Records that name their type may share a file with conn records further down. Only where
    # the file's name agrees with the one type seen is it certain that none will come.
    if marked and only not in _WORD.findall(name.lower().replace("json_streaming_", "")):
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


def _detect_json_by_keys(text: bytes) -> Detected:
    """Recognise a log whose first lines are longer than the head, or are cut."""
    if b'"event_type"' in text and b'"timestamp"' in text:
        return Detected(Kind.EVE)
    if b'"ts"' in text and (b'"id.orig_h"' in text or b'"id_orig_h"' in text):
        return Detected(Kind.ZEEK_JSON)
    own = b'"records_scored"' in text and b'"files_skipped"' in text
    return Detected(refusal=OWN_OUTPUT if own else UNSUPPORTED)


def _is_own(record: dict[str, Any]) -> bool:
    """Tell whether a record was written by zeekml itself."""
    if "zeekml_score" in record or "zeekml_id" in record:
        return True
    if str(record.get("note", "")).startswith("ZeekML::"):
        return True
    if set(record) == {"source", "line", "reason", "excerpt"}:
        return True
    if "records_scored" in record and "files_skipped" in record:
        return True
    alert = record.get("alert")
    metadata = alert.get("metadata") if isinstance(alert, dict) else None
    return isinstance(metadata, dict) and any(str(k).startswith("zeekml") for k in metadata)
