"""Notices as Zeek's input framework reads them: lines of JSON for one reader, a table for another.

One list of fields serves both, and the records of `rules/zeek/` have them by the same names and
types. Names have no dots, since fields of Zeek's records cannot; ports say their protocol, since
Zeek's ports do; and what is not known is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

from zeekml.alerts.formats import Values
from zeekml.core.text import printable
from zeekml.readers.batch_builder import canonical_address

_Type = Literal["time", "interval", "double", "count", "port", "addr", "string"]
_Value = str | int | float | None


class Field(NamedTuple):
    """A field of a line, with its type in Zeek's words."""

    name: str
    type: _Type
    read: Callable[[Values], _Value]


def _same(column: str) -> Callable[[Values], _Value]:
    return lambda values: values.get(column)


def _address(column: str) -> Callable[[Values], _Value]:
    def read(values: Values) -> _Value:
        text = values.get(column)
        return None if text is None else canonical_address(str(text).partition("%")[0])

    return read


def _port(column: str) -> Callable[[Values], _Value]:
    def read(values: Values) -> _Value:
        number, proto = values.get(column), _PROTOCOLS.get(str(values.get("proto")))
        return None if number is None or proto is None else f"{number}/{proto}"

    return read


# a port of any other protocol is longer than what Zeek takes for one
_PROTOCOLS: Final = {"tcp": "tcp", "udp": "udp", "icmp": "icmp", "ipv6-icmp": "icmp"}

FIELDS: Final = (
    Field("incident", "string", _same("zeekml_id")),
    Field("seq", "count", _same("zeekml_seq")),
    Field("state", "string", _same("zeekml_state")),
    Field("ts", "time", _same("ts")),
    Field("note", "string", _same("note")),
    Field("msg", "string", _same("msg")),
    Field("sub", "string", _same("sub")),
    Field("uid", "string", _same("uid")),
    Field("orig_h", "addr", _address("id.orig_h")),
    Field("orig_p", "port", _port("id.orig_p")),
    Field("resp_h", "addr", _address("id.resp_h")),
    Field("resp_p", "port", _port("id.resp_p")),
    Field("proto", "string", _same("proto")),
    Field("src", "addr", _address("src")),
    Field("dst", "addr", _address("dst")),
    Field("p", "port", _port("p")),
    Field("n", "count", _same("n")),
    Field("suppress_for", "interval", _same("suppress_for")),
    Field("threat", "string", _same("zeekml_threat")),
    Field("severity", "string", _same("zeekml_severity")),
    Field("confidence", "count", _same("zeekml_confidence")),
    Field("score", "double", _same("zeekml_score")),
    Field("grouped", "string", _same("zeekml_group")),
    Field("community_id", "string", _same("community_id")),
)
"""All fields in their order; `incident` and `seq` together are the key of a line."""


def feed_line(values: Values) -> bytes:
    """A notice as a line of JSON, with its end."""
    told = ((field, field.read(values)) for field in FIELDS)
    parts = (f'"{f.name}":{_json(f.type, value)}' for f, value in told if value is not None)
    return ("{" + ",".join(parts) + "}\n").encode("ascii")


def feed_key(line: bytes) -> str | None:
    """The incident and number of a line that `feed_line` made; None of any other."""
    try:
        told = json.loads(line)
        return f"{told['incident']}/{told['seq']}"
    except (ValueError, RecursionError, TypeError, KeyError):
        return None


def feed_table(notices: Iterable[Values]) -> bytes:
    """Notices as a table with a header."""
    rows = ([table_cell(f.type, f.read(values)) for f in FIELDS] for values in notices)
    return zeek_table([field.name for field in FIELDS], rows)


def zeek_table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> bytes:
    """A table for Zeek's reader of tables; cells are made by `table_cell`."""
    lines = ("\t".join(cells) for cells in rows)
    return "".join(f"{line}\n" for line in ("\t".join(("#fields", *names)), *lines)).encode("ascii")


def table_cell(kind: _Type, value: _Value) -> str:
    """A value as that reader takes it.

    It undoes ``\\xHH`` and nothing else, so a backslash must not stand for itself.
    """
    if value is None:
        return "-"
    if kind in ("string", "addr", "port"):
        text = printable(str(value), None)
        if not text:
            return "(empty)"
        marker = text in ("-", "(empty)") or text.startswith("#")
        return "".join(
            c if c.isascii() and c != "\\" and not (marker and place == 0) else _escaped(c)
            for place, c in enumerate(text)
        )
    return _number(kind, value)


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def _json(kind: _Type, value: _Value) -> str:
    if kind in ("string", "addr", "port"):
        # a lone surrogate would make the whole line unreadable to Zeek
        return json.dumps(printable(str(value), None))
    return _number(kind, value)


def _number(kind: _Type, value: _Value) -> str:
    return str(int(value or 0)) if kind == "count" else f"{float(value or 0.0):.6f}"
