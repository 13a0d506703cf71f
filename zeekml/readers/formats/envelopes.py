"""Take records out of what shippers and tools put around them.

A line that is no record of a sensor may hold one, or many: behind the prefix of syslog or
journald, in an object of a shipper (as an object, or as text of JSON), in an array, or one object
after the other. What is found is decoded as if it had stood alone, so nothing here needs to know
what a record is worth; only what one looks like, since the objects of shippers hold other things.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from zeekml.readers import _texts
from zeekml.readers.batch_builder import is_conn_record
from zeekml.readers.formats.json_parser import DECODE_ERRORS, line_decoder, members_of

MAX_LAYERS: Final = 3  # most envelopes within each other that are opened
PREFIX: Final = "prefix"
ARRAY: Final = "array"
JOINED: Final = "joined"
TEXT: Final = "text"

_NAMES: Final = """
_raw @rawstring event.original original full_log message MESSAGE @message msg log event record line
body payload value textPayload full_message short_message
"""
_TEXT_MEMBERS: Final = _NAMES.split()
"""Members whose text may be a record. Any others may hold what a stranger sent."""

_BETWEEN: Final = b" \t\r\n[],"
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[{}\[\]]')
# lines that hold nothing but the frame of an array, or of an object around one
_FRAME: Final = re.compile(
    rb"\s*\[?\s*\]?\s*,?\s*"
    rb'|\s*\{\s*"[^"\\]{1,64}"\s*:\s*\[\s*'
    rb"|\s*\]\s*\}\s*\]?\s*,?\s*"
)
_ARRAY_GOES_ON: Final = re.compile(rb"\}\s*(?:,|\]\s*\}?\s*,?)\s*\Z")

_EVENT: Final = b'{"timestamp"'

_text: Final = line_decoder(str)
_IDENTIFIED: Final = ("uid", "id.orig_h", "id_orig_h", "id", "_path", "@path", "@stream")

Members = dict[str, msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Inside:
    """What was found in a line."""

    envelope: str  # one of the names above, or the path of the member that holds the records
    # in their order; some may be unreadable. None for a line that only opens, parts or closes an
    # array
    records: list[bytes]


def unwrap(line: bytes) -> Inside | None:
    """Look into a line that is no record of a sensor itself; None if there is none inside."""
    if _FRAME.fullmatch(line):
        return Inside(ARRAY, [])
    return _look_into(line, MAX_LAYERS)


def several(lines: bytes) -> bool:
    """Tell, quickly, whether some of these lines may each hold several events of Suricata."""
    return _texts.holds_several(lines, _EVENT)


def _look_into(text: bytes, layers: int) -> Inside | None:
    text = text.strip()
    if not layers or b"{" not in text:
        return None
    if text.startswith(b'"') and (inner := _decoded(text)):
        return _named(TEXT, _records_of(inner, layers - 1))
    if text.startswith(b"{") and (members := _object(text)) is not None:
        return None if _is_record(members) else _in_members(members, layers)
    begin = text.find(b"{")
    alone = text.strip(_BETWEEN)
    # most lines of an array hold one object: no need to look for where it ends
    pieces = [alone] if _object(alone) is not None else list(_pieces(text[begin:]))
    before = text[:begin].strip(b" \t\r\n")
    if before.strip(_BETWEEN):
        each = filter(None, (_records_of(piece, layers - 1) for piece in pieces))
        records = [record for found in each for record in found.records]
        return Inside(PREFIX, records) if records else None
    array = before or _ARRAY_GOES_ON.search(text)
    many = sum(piece.startswith(b"{") for piece in pieces) > 1
    if not (array or many) or _object(pieces[0]) is None:
        return None
    opened = []
    for piece in pieces:
        found = _records_of(piece, layers - 1)
        opened += [piece] if found is None else found.records
    return Inside(ARRAY if array else JOINED, opened)


def _in_members(members: Members, layers: int) -> Inside | None:
    """Look into the members of an object that is no record."""
    for name in _TEXT_MEMBERS:
        value = bytes(members.get(name, b""))
        is_text = value.startswith(b'"') and b"{" in value
        if is_text and (found := _records_of(_decoded(value), layers - 1)):
            return _named(name, found)
    for name, raw in members.items():
        value = bytes(raw)
        if value[:1] in (b"{", b"[") and (found := _records_of(value, layers - 1)):
            return _named(name, found)
    return None


def _records_of(text: bytes, layers: int) -> Inside | None:
    """The record that a text is, or those within it; None if there are none."""
    text = text.strip()
    if _is_record(_object(text)):
        return Inside("", [text])
    found = _look_into(text, layers)
    return found if found and any(_is_record(_object(r)) for r in found.records) else None


def _named(name: str, found: Inside | None) -> Inside | None:
    if found is None:
        return None
    return Inside(f"{name}.{found.envelope}" if found.envelope else name, found.records)


def _object(text: bytes) -> Members | None:
    if not text.startswith(b"{"):
        return None
    try:
        return members_of(text)
    except DECODE_ERRORS:
        return None


def _decoded(text: bytes) -> bytes:
    """What a text of JSON says; empty where it is none."""
    try:
        return _text(text).encode()
    except (*DECODE_ERRORS, UnicodeEncodeError):
        return b""


def _is_record(members: Members | None) -> bool:
    """Tell whether an object is what a sensor logs, by its names."""
    if members is None:
        return False
    if "event_type" in members and ("timestamp" in members or "flow" in members):
        return True
    return "ts" in members and (
        any(name in members for name in _IDENTIFIED) or is_conn_record(members)
    )


def _pieces(text: bytes) -> Iterator[bytes]:
    """Cut a text at the ends of its outermost objects; what is none of them comes, too."""
    begin = level = 0
    for token in _TOKEN.finditer(text):
        if token[0] in b"{[":
            if not level:
                yield from _rest(text[begin : token.start()])
                begin = token.start()
            level += 1
        elif token[0] in b"}]" and level:
            level -= 1
            if not level:
                yield text[begin : token.end()]
                begin = token.end()
    yield from _rest(text[begin:])


def _rest(text: bytes) -> Iterable[bytes]:
    return [] if _FRAME.fullmatch(text) else [text.strip(_BETWEEN)]
