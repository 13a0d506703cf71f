"""Forms of a notice for other tools, each made from a line of notice.log in JSON.

That line is the whole notice, so a form can be made of what the state keeps as well as of what was
just found, and the same notice looks the same wherever it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from zeekml.alerts.cef_line import as_cef, cef_key
from zeekml.alerts.conversions.plain import Values
from zeekml.alerts.health_notice import HealthNotice
from zeekml.alerts.nested_form import as_ecs, as_ocsf, encode
from zeekml.alerts.zeek_notice import encode_json
from zeekml.detection.notice import Notice

__all__ = ["FORMATS", "Values", "begins_as", "encode_in_form", "key_in_form", "line_of_notice"]


def as_notice(values: Values) -> bytes:
    """The line itself, without the end of line."""
    return encode(values)


FORMATS: Final[Mapping[str, Callable[[Values], bytes]]] = MappingProxyType(
    {"notice": as_notice, "ocsf": as_ocsf, "ecs": as_ecs, "cef": as_cef}
)
"""Each form by its name; gives one line without its end."""

_BEGINNINGS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "notice": (b'{"ts":',),
    "ocsf": (b'{"finding_info":{"', b'{"metadata":{"'),
    "ecs": (b'{"event":{"id":"',),
    "cef": (b"CEF:0|zeekml|zeekml|",),
}
# where the lines in JSON have what names them, as ``zeekml_id/zeekml_seq``
_NAMED_AT: Final = {"ocsf": ("metadata", "uid"), "ecs": ("event", "id")}


def encode_in_form(form: str, notice: Notice | HealthNotice) -> bytes:
    """One line, with its end."""
    return line_of_notice(form, encode_json(notice))


def line_of_notice(form: str, line: bytes) -> bytes:
    """One line, with its end, of a line that `encode_json` wrote with all columns."""
    return FORMATS[form](json.loads(line)) + b"\n"


def begins_as(form: str, beginning: bytes) -> bool:
    """Whether bytes can be the beginning of a line in a form, or are nothing at all."""
    return any(
        beginning.startswith(known) or known.startswith(beginning) for known in _BEGINNINGS[form]
    )


def key_in_form(form: str, line: bytes) -> str | None:
    """The ``zeekml_id/zeekml_seq`` of a line in a form; None if it is none of ours."""
    if form == "cef":
        return "/".join(found) if (found := cef_key(line)) else None
    try:
        record: Any = json.loads(line)
        if form == "notice":
            return f"{record['zeekml_id']}/{record['zeekml_seq']}"
        for step in _NAMED_AT[form]:
            record = record[step]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    return record if isinstance(record, str) else None
