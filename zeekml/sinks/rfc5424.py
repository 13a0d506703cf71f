"""Syslog messages of RFC 5424, and their frames on a stream (RFC 6587, 3.4.1; RFC 5425)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from zeekml.core.text import printable
from zeekml.core.units import utc
from zeekml.sink_config import FACILITIES
from zeekml.sinks.message import Message

SD_ID: Final = "zeekml@32473"
"""Name of our structured data; 32473 is the enterprise number for whoever has none (RFC 5612)."""

SYSLOG_SEVERITY: Final[Mapping[str, int]] = {"critical": 2, "high": 3, "medium": 4, "low": 5}
"""critical, error, warning, notice."""

_PARAMS: Final = (
    ("id", "zeekml_id"),
    ("seq", "zeekml_seq"),
    ("note", "note"),
    ("severity", "zeekml_severity"),
    ("state", "zeekml_state"),
    ("threat", "zeekml_threat"),
)
_CONTROLS: Final = re.compile(rb"[\x00-\x1f\x7f]")


def encode_syslog(message: Message, facility: str, hostname: str) -> bytes:
    """One message: the notice's time, its structured data, and the form as the text."""
    values = message.values
    severity = SYSLOG_SEVERITY.get(str(values.get("zeekml_severity")), 5)
    priority = 8 * FACILITIES.index(facility) + severity
    ts = values.get("ts")
    at = f"{utc(ts):%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(ts, int | float) else "-"
    host, note = _word(hostname, 255), _word(str(values.get("note", "")), 32)
    head = f"<{priority}>1 {at} {host} zeekml - {note} {_structured(values)} "
    return head.encode("utf-8") + _CONTROLS.sub(b" ", message.body)


def framed(data: bytes) -> bytes:
    """A message on a stream: how many octets it has, a blank, and it."""
    return b"%d %b" % (len(data), data)


def _word(text: str, longest: int) -> str:
    """A field of the header: visible ASCII, or a hyphen for none."""
    return re.sub(r"[^\x21-\x7e]", "_", text)[:longest] or "-"


def _structured(values: Mapping[str, Any]) -> str:
    params = (
        f' {name}="{_param(values[column])}"'
        for name, column in _PARAMS
        if values.get(column) is not None
    )
    return f"[{SD_ID}{''.join(params)}]"


def _param(value: Any) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", printable(str(value)))
