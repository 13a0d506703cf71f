"""Find the field for which a record is rejected, by asking the decoder that rejected it.

A record with good values in place of its own is given back its own values one at a time: the
first one that makes it unreadable is to blame. So no rule about values is repeated here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from zeekml.core.text import printable
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.flow_schema import REQUIRED
from zeekml.readers.formats.json_parser import DECODE_ERRORS, line_decoder
from zeekml.readers.formats.suricata_eve import AlertMemory
from zeekml.readers.formats.zeek_header import Header
from zeekml.readers.rejects import ReadCounters, SourceAccount
from zeekml.readers.stream_reader import new_decoder

_MOMENT: Final = "2023-11-14T22:13:20.000000+0000"
_ADDRESS: Final = "192.0.2.1"
_GOOD: Final[dict[str, Any]] = {
    "ts": 1_700_000_000.0,
    "orig_h": _ADDRESS,
    "resp_h": _ADDRESS,
    "src_ip": _ADDRESS,
    "dest_ip": _ADDRESS,
    "timestamp": _MOMENT,
    "start": _MOMENT,
    "proto": "TCP",
    "event_type": "flow",
    "conn_state": "SF",
}
_EVE_REQUIRED: Final = ("src_ip", "dest_ip", "proto", "start")
_MOST_FIELDS: Final = 200
_DEEPEST: Final = 5
_SHOWN: Final = 60

_decode: Final = line_decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Culprit:
    """A field that makes a record unreadable.

    Attributes
    ----------
    field : str
        Its name in the log.
    value : str or None
        What stands there, fit to be shown; None if nothing does.
    """

    field: str
    value: str | None

    def __str__(self) -> str:
        return f"{self.field} is missing" if self.value is None else f"{self.field} is {self.value}"


def culprit(kind: Kind, line: bytes, header: Header | None = None) -> Culprit | None:
    """Return the first field for which a decoder rejects a record; None if it is no field's fault.

    Parameters
    ----------
    kind : Kind
        Format of the log.
    line : bytes
        The record, without its newline.
    header : Header, optional
        The header above it, for tab-separated logs.
    """
    if kind is Kind.ZEEK_TSV:
        return None if header is None else _in_columns(line, header)
    if kind is Kind.TABLE:
        kind = Kind.ZEEK_JSON
    try:
        record = _decode(line)
    except DECODE_ERRORS:
        return None
    return _in_object(kind, record)


def _reads(kind: Kind, line: bytes, header: Header | None = None) -> bool:
    counters = ReadCounters()
    account = SourceAccount("", counters, None)
    new_decoder(kind, account, alerts=AlertMemory(), header=header).decode(Block(line + b"\n", 1))
    return counters.accepted == 1


def _in_columns(line: bytes, header: Header) -> Culprit | None:
    own = line.split(header.separator)
    if len(own) != len(header.fields):
        return None
    good = list(own)
    for name, place in header.wanted.items():
        value = _GOOD.get(name.removeprefix("id."))
        good[place] = header.unset if value is None else str(value).encode()
    if not _reads(Kind.ZEEK_TSV, header.separator.join(good), header):
        return None
    for name, place in sorted(header.wanted.items(), key=lambda item: item[1]):
        trial = [*good[:place], own[place], *good[place + 1 :]]
        if not _reads(Kind.ZEEK_TSV, header.separator.join(trial), header):
            missing = name in REQUIRED and own[place] in (header.unset, header.empty, b"")
            field = printable(header.fields[place], _SHOWN)
            return Culprit(field, None if missing else f'"{printable(own[place], _SHOWN)}"')
    return None


def _in_object(kind: Kind, record: dict[str, Any]) -> Culprit | None:
    good = deepcopy(record)
    places = list(_leaves(good))
    present = set()
    for owner, name, _ in places:
        plain = _plain(name)
        if owner[name] is not None:
            present.add(plain)
        owner[name] = _GOOD.get(plain)
        if kind is Kind.ZEEK_JSON and plain == "ts":
            # one of a connection, whatever becomes of its own columns
            owner.setdefault("conn_state", _GOOD["conn_state"])
    names = _EVE_REQUIRED if kind is Kind.EVE else REQUIRED
    if not _reads(kind, _encode(good)):
        missing = [name for name in names if _plain(name) not in present]
        return Culprit(missing[0], None) if missing else None
    for (owner, name, path), (own, _, _) in zip(places, _leaves(record), strict=True):
        kept, owner[name] = owner.get(name), own[name]
        if not _reads(kind, _encode(good)):
            shown = None if own[name] is None else printable(json.dumps(own[name]), _SHOWN)
            return Culprit(printable(path, _SHOWN), shown)
        owner[name] = kept
    return None


def _plain(name: str) -> str:
    return name.removeprefix("id.").removeprefix("id_")


def _encode(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()


def _leaves(
    record: dict[str, Any], above: str = "", depth: int = 0
) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield of each value that is no object its owner, its name there and in the whole record."""
    for n, (name, value) in enumerate(list(record.items())):
        if n == _MOST_FIELDS:
            return
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _leaves(value, f"{above}{name}.", depth + 1)
        else:
            yield record, name, f"{above}{name}"
