"""Suricata's events of DNS, HTTP and TLS as events of `EVENT`.

DNS is logged in three ways: an event for each resource record of an answer (version 1), one for the
query and one for the answer with its records in a list (version 2, Suricata 5 to 7), and the same
with the queries in a list (version 3, Suricata 8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

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
from zeekml.readers.formats.json_parser import DECODE_ERRORS, object_of
from zeekml.readers.values import UNREADABLE, read_count, understood

# as Suricata writes it
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{6})([+-]\d{4})", re.ASCII)
_ADDRESSES: Final = ("A", "AAAA")
_LONGEST: Final = 64  # of a time; a cache must never hold long texts from a log

S = TypeVar("S", bound=msgspec.Struct)

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


class EveRecord(msgspec.Struct, gc=False):
    """A question, or a resource record of an answer."""

    rrname: str | None = None
    rrtype: str | None = None
    rdata: str | None = None
    ttl: int | None = None


class EveDns(EveRecord, gc=False):
    """What an event of DNS holds."""

    type: str | None = None
    rcode: str | None = None
    queries: list[EveRecord] | None = None
    answers: list[EveRecord] | None = None
    grouped: dict[str, list[Any]] | None = None


class EveHttp(msgspec.Struct, gc=False):
    """What an event of HTTP holds."""

    hostname: str | None = None
    http_method: str | None = None
    url: str | None = None
    http_user_agent: str | None = None
    http_refer: str | None = None
    http_content_type: str | None = None
    status: int | None = None


class EveTls(msgspec.Struct, gc=False):
    """What an event of TLS holds."""

    sni: str | None = None
    version: str | None = None
    subject: str | None = None
    issuerdn: str | None = None
    notbefore: str | None = None
    notafter: str | None = None


class EveProtocolEvent(msgspec.Struct, gc=False):
    """An event as it stands.

    Types are those that Suricata writes. `loosely` reads what somebody has changed; then any value
    may be of any type, as all that is made of them here allows for.
    """

    event_type: str | None = None
    flow_id: int | None = None
    timestamp: str | None = None
    dns: EveDns | None = None
    http: EveHttp | None = None
    tls: EveTls | None = None


_decode: Final = msgspec.json.Decoder(EveProtocolEvent).decode


def protocol_events(line: bytes) -> tuple[int | None, list[Event]]:
    """The number of a line's flow, and its events; none of a line that is no JSON."""
    try:
        event = _decode(line)
    except msgspec.ValidationError:
        try:
            event = loosely(object_of(line))
        except DECODE_ERRORS:
            return None, []
    except DECODE_ERRORS:
        return None, []
    flow_id = understood(read_count, event.flow_id)
    return None if flow_id is UNREADABLE else flow_id, events_of(event)


def loosely(members: dict[str, Any]) -> EveProtocolEvent:
    """An event of the members of a JSON object, whatever their types."""
    event = _filled(EveProtocolEvent, members)
    event.dns = _inner(EveDns, event.dns)
    event.http, event.tls = _inner(EveHttp, event.http), _inner(EveTls, event.tls)
    if event.dns is not None:
        event.dns.queries, event.dns.answers = (
            [_filled(EveRecord, record) for record in records if isinstance(record, dict)]
            if isinstance(records, list)
            else None
            for records in (event.dns.queries, event.dns.answers)
        )
        if not isinstance(event.dns.grouped, dict):
            event.dns.grouped = None
    return event


def _inner(kind: type[S], value: Any) -> S | None:
    return _filled(kind, value) if isinstance(value, dict) else None


def _filled(kind: type[S], members: dict[str, Any]) -> S:
    return kind(**{name: members[name] for name in members.keys() & set(kind.__struct_fields__)})


def events_of(event: EveProtocolEvent) -> list[Event]:
    """What an event tells; nothing for one of another type, or without a body."""
    kind = event.event_type
    ts = _time(event.timestamp)
    if kind == DNS and event.dns is not None:
        return _dns(ts, event.dns)
    if kind == HTTP and event.http is not None:
        return [_http(ts, event.http)]
    if kind == TLS and event.tls is not None:
        return [_tls(ts, event.tls)]
    return []


def _time(value: Any) -> float | None:
    """The time of an event: most share their second with others."""
    match = _STAMP.fullmatch(value) if type(value) is str else None
    if match is None:
        return event_time(value)
    second = _second(match[1] + match[3])
    return None if second is None else round(second + int(match[2]) / 1e6, 6)


@lru_cache(maxsize=1024)
def _second(text: str) -> float | None:
    return event_time(text)


def _validity(value: Any) -> float | None:
    """A time in a certificate; few servers make up most handshakes."""
    return _second(value) if type(value) is str and len(value) < _LONGEST else event_time(value)


def _dns(ts: float | None, body: EveDns) -> list[Event]:
    questions = [body] if body.queries is None else body.queries
    if body.type not in ("answer", "response"):
        return [_question(ts, each) for each in questions]
    records = body.answers
    if records is None:
        records = [body] if body.rdata is not None else _grouped(body.grouped)
    answers, ttl = _told_by(records)
    rcode = event_text(body.rcode) or "NOERROR"
    return [_question(ts, each, rcode, answers, ttl) for each in questions]


def _told_by(records: Sequence[EveRecord]) -> tuple[list[str], float | None]:
    answers = event_addresses([r.rdata for r in records if r.rrtype in _ADDRESSES])
    return answers, event_ttl([r.ttl for r in records])


def _question(
    ts: float | None,
    question: EveRecord,
    rcode: str | None = None,
    answers: list[str] | None = None,
    ttl: float | None = None,
) -> Event:
    name, kind = event_name(question.rrname), event_text(question.rrtype)
    return Event(DNS, ts, name, kind, rcode, answers, ttl)


def _grouped(values: dict[str, list[Any]] | None) -> list[EveRecord]:
    """The addresses of an answer that is logged by type."""
    return [
        EveRecord(rrtype=kind, rdata=value)
        for kind in _ADDRESSES
        for value in _listed((values or {}).get(kind))
    ]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _http(ts: float | None, body: EveHttp) -> Event:
    return Event(
        HTTP,
        ts,
        event_host(body.hostname),
        method=event_text(body.http_method),
        uri=event_text(body.url),
        user_agent=event_text(body.http_user_agent),
        referrer=event_text(body.http_refer),
        mime_type=event_text(body.http_content_type),
        status=event_status(body.status),
    )


def _tls(ts: float | None, body: EveTls) -> Event:
    version = event_text(body.version)
    return Event(
        TLS,
        ts,
        event_name(body.sni),
        version=None if version is None else _VERSIONS.get(version, version),
        subject=event_text(body.subject),
        issuer=event_text(body.issuerdn),
        not_valid_before=_validity(body.notbefore),
        not_valid_after=_validity(body.notafter),
    )
