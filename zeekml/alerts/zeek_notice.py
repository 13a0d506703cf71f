"""Notices as lines of a notice.log: Zeek's columns, then ours, as JSON or as TSV.

Columns, types and forms are those of Zeek 4.1 and later (scripts/base/frameworks/notice and the
ASCII and JSON formatters). One table of columns serves both forms, so that they cannot differ, and
both kinds of notices: a notice about health leaves unset whatever is about flows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, cast

from zeekml.alerts.health_notice import HealthNotice
from zeekml.core.units import utc
from zeekml.detection.notice import Notice

PEER_DESCR: Final = "zeekml"
_ACTIONS: Final = ("Notice::ACTION_LOG",)

_Number = Literal["time", "interval", "double", "count", "port"]
_Text = Literal["string", "enum", "addr", "set[enum]", "set[string]", "vector[string]"]
_Type = _Number | _Text
_Value = str | int | float | tuple[str, ...] | None


class _Column(NamedTuple):
    name: str
    type: _Type
    read: Callable[[Notice], _Value] = lambda _: None  # unset


_ZEEK_COLUMNS: Final = (
    _Column("ts", "time", lambda n: n.ts),
    _Column("uid", "string", lambda n: n.flow.uid),
    _Column("id.orig_h", "addr", lambda n: n.flow.orig_h),
    _Column("id.orig_p", "port", lambda n: n.flow.orig_p),
    _Column("id.resp_h", "addr", lambda n: n.flow.resp_h),
    _Column("id.resp_p", "port", lambda n: n.flow.resp_p),
    _Column("fuid", "string"),
    _Column("file_mime_type", "string"),
    _Column("file_desc", "string"),
    _Column("proto", "enum", lambda n: n.flow.proto),
    _Column("note", "enum", lambda n: n.note),
    _Column("msg", "string", lambda n: n.msg),
    _Column("sub", "string", lambda n: n.sub),
    _Column("src", "addr", lambda n: n.src),
    _Column("dst", "addr", lambda n: n.dst),
    _Column("p", "port", lambda n: n.p),
    _Column("n", "count", lambda n: n.flows),
    _Column("peer_descr", "string", lambda n: PEER_DESCR),
    _Column("actions", "set[enum]", lambda n: _ACTIONS),
    _Column("email_dest", "set[string]", lambda n: ()),
    _Column("suppress_for", "interval", lambda n: n.suppress_for),
    _Column("remote_location.country_code", "string"),
    _Column("remote_location.region", "string"),
    _Column("remote_location.city", "string"),
    _Column("remote_location.latitude", "double"),
    _Column("remote_location.longitude", "double"),
)
_EXTRAS: Final = (
    _Column("community_id", "string", lambda n: n.flow.community_id),
    _Column("zeekml_id", "string", lambda n: n.id),
    _Column("zeekml_seq", "count", lambda n: n.seq),
    _Column("zeekml_state", "string", lambda n: n.state),
    _Column("zeekml_threat", "string", lambda n: n.threat),
    _Column("zeekml_score", "double", lambda n: n.score),
    _Column("zeekml_spread", "double", lambda n: n.spread),
    _Column("zeekml_threshold", "double", lambda n: n.threshold),
    _Column("zeekml_severity", "string", lambda n: n.severity),
    _Column("zeekml_flows", "count", lambda n: n.flows),
    _Column("zeekml_first_ts", "time", lambda n: n.first_ts),
    _Column("zeekml_last_ts", "time", lambda n: n.last_ts),
    _Column("zeekml_why", "vector[string]", lambda n: n.why),
    _Column("zeekml_attack", "vector[string]", lambda n: n.techniques),
    _Column("zeekml_signatures", "vector[string]", lambda n: n.signatures),
    _Column("zeekml_bundle", "string", lambda n: n.bundle),
    _Column("zeekml_features", "string", lambda n: n.features),
    _Column("zeekml_group", "string", lambda n: n.group),
    _Column("zeekml_sources", "count", lambda n: n.sources.count),
    _Column("zeekml_targets", "count", lambda n: n.destinations.count),
    _Column("zeekml_ports", "count", lambda n: n.ports.count),
    _Column("zeekml_sent_bytes", "count", lambda n: n.sent_bytes),
    _Column("zeekml_received_bytes", "count", lambda n: n.received_bytes),
    _Column("zeekml_names", "vector[string]", lambda n: n.names),
    _Column("zeekml_agents", "vector[string]", lambda n: n.agents),
    _Column("zeekml_certificates", "vector[string]", lambda n: n.certificates),
    _Column("zeekml_contacts", "vector[string]", lambda n: n.contacts),
    _Column("zeekml_confidence", "count", lambda n: n.confidence),
    _Column("zeekml_rarity", "string", lambda n: n.rarity or None),
)

_Source = Notice | Mapping[str, _Value]
"""What columns are read from; a mapping has them by their names."""


def _read(column: _Column, source: _Source) -> _Value:
    return column.read(source) if isinstance(source, Notice) else source.get(column.name)


def _of_health(notice: HealthNotice, strict: bool) -> dict[str, _Value]:
    values: dict[str, _Value] = {
        "ts": notice.ts,
        "note": notice.note,
        "msg": notice.msg,
        "sub": notice.sub,
        "peer_descr": PEER_DESCR,
        "actions": _ACTIONS,
        "email_dest": (),
        "zeekml_id": notice.id,
        "zeekml_seq": notice.seq,
        "zeekml_state": notice.state,
        "zeekml_severity": notice.severity,
        "zeekml_why": notice.described(),
    }
    if strict:
        # what to do about a problem stands nowhere else
        values["sub"] = f'{{"sub":{json.dumps(notice.sub)},{_object(_EXTRAS, values)[1:]}'
    return values


_COLUMNS: Final = (*_ZEEK_COLUMNS, *_EXTRAS)
NOTICE_COLUMNS: Final = tuple(column.name for column in _COLUMNS)
"""Names of the columns of a notice.log, in order."""

_STRICT_COLUMNS: Final = tuple(
    column._replace(read=lambda n: _object(_EXTRAS, n)) if column.name == "sub" else column
    for column in _ZEEK_COLUMNS
)


def encode_json(notice: Notice | HealthNotice, strict: bool = False) -> bytes:
    """One line of a notice.log in JSON."""
    columns = _STRICT_COLUMNS if strict else _COLUMNS
    source = _of_health(notice, strict) if isinstance(notice, HealthNotice) else notice
    return _object(columns, source).encode("ascii") + b"\n"


def line_in_form(line: bytes, tsv: TsvEncoder | None, *, strict: bool) -> bytes:
    """A line about an incident that `encode_json` wrote with all columns, in another form."""
    if tsv is None and not strict:
        return line
    values: dict[str, _Value] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(line).items()
    }
    if strict:
        values["sub"] = _object(_EXTRAS, values)
    if tsv is not None:
        return tsv.encode(values)
    return _object(_STRICT_COLUMNS, values).encode("ascii") + b"\n"


class TsvEncoder:
    """A notice.log in Zeek's tab-separated form."""

    def __init__(self, open_ts: float, strict: bool = False) -> None:
        self._open_ts, self._strict = open_ts, strict
        self._columns = _STRICT_COLUMNS if strict else _COLUMNS

    def header(self) -> bytes:
        """The header lines. There is no ``#close`` line to go with them."""
        lines = (
            "#separator \\x09",
            "#set_separator\t,",
            "#empty_field\t(empty)",
            "#unset_field\t-",
            "#path\tnotice",
            f"#open\t{utc(self._open_ts):%Y-%m-%d-%H-%M-%S}",
            "\t".join(["#fields", *(c.name for c in self._columns)]),
            "\t".join(["#types", *(c.type for c in self._columns)]),
        )
        return "".join(line + "\n" for line in lines).encode("ascii")

    def encode(self, notice: Notice | HealthNotice | Mapping[str, _Value]) -> bytes:
        """One line, in UTF-8; of a mapping, the values by the names of the columns."""
        source = _of_health(notice, self._strict) if isinstance(notice, HealthNotice) else notice
        cells = [_cell(column.type, _read(column, source)) for column in self._columns]
        return ("\t".join(cells) + "\n").encode("utf-8", "backslashreplace")


def _object(columns: tuple[_Column, ...], notice: _Source) -> str:
    values = ((column, _read(column, notice)) for column in columns)
    parts = (f'"{c.name}":{_json_value(c.type, value)}' for c, value in values if value is not None)
    return "{" + ",".join(parts) + "}"


def _json_value(kind: _Type, value: _Value) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(json.dumps(item) for item in value) + "]"
    if kind == "interval":  # JSON logs show intervals as plain doubles
        return _double(cast(float, value))
    if isinstance(value, str):
        return json.dumps(value)
    return _number(kind, cast(float, value))


def _cell(kind: _Type, value: _Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return ",".join(_escaped(item, ",") for item in value) if value else "(empty)"
    if isinstance(value, str):
        return _escaped(value) if value else "(empty)"
    return _number(kind, value)


def _number(kind: _Type, value: float) -> str:
    if kind in ("time", "interval"):
        return f"{value:.6f}"
    return _double(value) if kind == "double" else str(value)


def _double(value: float) -> str:
    """A number rounded to 6 decimals, without exponent, that still looks like a double."""
    text = f"{value:.6f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def _escaped(text: str, set_separator: str = "") -> str:
    """Text as Zeek's ASCII writer puts it into a cell, or into an item of a set."""
    if text in ("-", "(empty)"):
        return f"\\x{ord(text[0]):02x}{text[1:]}"
    shown: list[str] = []
    for character in text:
        if character == "\\":
            shown.append("\\\\")
        elif character == set_separator or not character.isprintable():
            data = character.encode("utf-8", "surrogatepass")
            shown.extend(f"\\x{byte:02x}" for byte in data)
        else:
            shown.append(character)
    return "".join(shown)
