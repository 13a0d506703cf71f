"""Records of Zeek's dns.log, http.log and ssl.log as events of `EVENT`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zeekml.readers.events.event import (
    Event,
    event_addresses,
    event_host,
    event_name,
    event_status,
    event_text,
    event_time,
    event_ttl,
)
from zeekml.readers.events.event_schema import DNS, HTTP, TLS

LOG_OF_KIND: Final = {DNS: "dns", HTTP: "http", TLS: "ssl"}
"""What Zeek calls the log of each kind of event (``#path``)."""


def zeek_event(kind: str, record: Mapping[str, Any]) -> Event:
    """The event that a record tells of: fields by Zeek's names, texts or what JSON holds."""
    ts = event_time(record.get("ts"))
    if kind == DNS:
        return Event(
            DNS,
            ts,
            event_name(record.get("query")),
            event_text(record.get("qtype_name")),
            rcode=event_text(record.get("rcode_name")),
            answers=event_addresses(_listed(record.get("answers"))),
            ttl=event_ttl(_listed(record.get("TTLs"))),
        )
    if kind == HTTP:
        return Event(
            HTTP,
            ts,
            event_host(record.get("host")),
            method=event_text(record.get("method")),
            uri=event_text(record.get("uri")),
            user_agent=event_text(record.get("user_agent")),
            referrer=event_text(record.get("referrer")),
            mime_type=next(map(event_text, _listed(record.get("resp_mime_types"))), None),
            status=event_status(record.get("status_code")),
        )
    return Event(
        TLS,
        ts,
        event_name(record.get("server_name")),
        version=event_text(record.get("version")),
        subject=event_text(record.get("subject")),
        issuer=event_text(record.get("issuer")),
    )


def _listed(value: Any) -> list[Any]:
    """The members of a set or vector, which tab-separated logs write with commas between them."""
    if isinstance(value, list):
        return value
    return value.split(",") if isinstance(value, str) else []
