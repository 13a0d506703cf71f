"""Suricata's events of DNS, HTTP and TLS as events of `EVENT_SCHEMA`.

DNS is logged in three ways: an event for each resource record of an answer (version 1), one for the
query and one for the answer with its records in a list (version 2, Suricata 5 to 7), and the same
with the queries in a list (version 3, Suricata 8).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from zeekml.readers.events.event import Event, event_name, event_text
from zeekml.readers.events.event_schema import DNS, HTTP, TLS
from zeekml.readers.values import UNREADABLE, read_count, read_number, read_time, understood

_ADDRESSES: Final = ("A", "AAAA")
_RESPONSES: Final = ("answer", "response")
_MOST_ANSWERS: Final = 16  # addresses kept of one answer
_MOST_STATUS: Final = 999

# by what Suricata writes, what Zeek does
_VERSIONS: Final = {
    "SSLv2": "SSLv2",
    "SSLv3": "SSLv3",
    "TLSv1": "TLSv10",
    "TLS 1.0": "TLSv10",
    "TLS 1.1": "TLSv11",
    "TLS 1.2": "TLSv12",
    "TLS 1.3": "TLSv13",
}


class EveProtocolEvent(msgspec.Struct, gc=False):
    """An event as it stands."""

    event_type: Any = None
    flow_id: Any = None
    timestamp: Any = None
    dns: Any = None
    http: Any = None
    tls: Any = None


def events_of(event: EveProtocolEvent) -> Iterator[Event]:
    """Yield what an event tells; nothing for one that is of another type, or tells nothing."""
    kind = event.event_type
    body = getattr(event, kind, None) if kind in (DNS, HTTP, TLS) else None
    if not isinstance(body, dict):
        return
    time = understood(read_time, event.timestamp)
    ts = None if time is UNREADABLE else time
    if kind == DNS:
        yield from _dns(ts, body)
    elif kind == HTTP:
        yield _http(ts, body)
    else:
        yield _tls(ts, body)


def _dns(ts: float | None, body: dict[str, Any]) -> Iterator[Event]:
    answered = body.get("type") in _RESPONSES
    queries = body.get("queries")
    questions = queries if isinstance(queries, list) else [body]
    records = _records(body) if answered else []
    addresses = [r.get("rdata") for r in records if r.get("rrtype") in _ADDRESSES]
    answers = [text for value in addresses[:_MOST_ANSWERS] if (text := event_text(value))]
    ttls = [ttl for r in records if (ttl := _number(r.get("ttl"))) is not None]
    rcode = event_text(body.get("rcode")) or "NOERROR" if answered else None
    for question in questions:
        if not isinstance(question, dict):
            continue
        yield Event(
            kind=DNS,
            ts=ts,
            name=event_name(question.get("rrname")),
            query_type=event_text(question.get("rrtype")),
            rcode=rcode,
            answers=answers,
            ttl=min(ttls, default=None),
        )


def _records(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The resource records of an answer."""
    listed = body.get("answers")
    if isinstance(listed, list):
        return [record for record in listed if isinstance(record, dict)]
    if "rdata" in body:
        return [body]
    grouped = body.get("grouped")
    if not isinstance(grouped, dict):
        return []
    pairs = ((kind, grouped.get(kind)) for kind in _ADDRESSES)
    return [
        {"rrtype": kind, "rdata": value}
        for kind, values in pairs
        if isinstance(values, list)
        for value in values
    ]


def _http(ts: float | None, body: dict[str, Any]) -> Event:
    status = understood(read_count, body.get("status"))
    known = isinstance(status, int) and status <= _MOST_STATUS
    return Event(
        kind=HTTP,
        ts=ts,
        name=event_name(body.get("hostname")),
        method=event_text(body.get("http_method")),
        uri=event_text(body.get("url")),
        user_agent=event_text(body.get("http_user_agent")),
        referrer=event_text(body.get("http_refer")),
        mime_type=event_text(body.get("http_content_type")),
        status=status if known else None,
    )


def _tls(ts: float | None, body: dict[str, Any]) -> Event:
    version = event_text(body.get("version"))
    return Event(
        kind=TLS,
        ts=ts,
        name=event_name(body.get("sni")),
        version=None if version is None else _VERSIONS.get(version, version),
        subject=event_text(body.get("subject")),
        issuer=event_text(body.get("issuerdn")),
        not_valid_before=_time(body.get("notbefore")),
        not_valid_after=_time(body.get("notafter")),
    )


def _number(value: Any) -> float | None:
    number = understood(read_number, value)
    return None if number is None or number is UNREADABLE or number < 0 else float(number)


def _time(value: Any) -> float | None:
    time = understood(read_time, value)
    return None if time is UNREADABLE else time
