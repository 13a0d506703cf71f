"""Suricata's events of DNS, HTTP and TLS, in all the ways that its versions log them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.readers.events.eve_events import EveProtocolEvent, events_of, loosely
from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import DNS, HTTP, LONGEST_TEXT, TLS

TIME = "2026-11-23T10:30:46.691246+0000"
TS = 1795429846.691246

_DECODE = msgspec.json.Decoder(EveProtocolEvent).decode


def read(kind: str, body: Any, **more: Any) -> list[Event]:
    """An event both ways, which must agree."""
    record = {"timestamp": TIME, "flow_id": 7, "event_type": kind, kind: body} | more
    found = events_of(loosely(record))
    try:
        typed = _DECODE(json.dumps(record).encode())
    except msgspec.ValidationError:
        return found
    assert events_of(typed) == found
    return found


QUESTION = {"rrname": "www.example.net", "rrtype": "A"}
A_RECORD = {"rrname": "a.example.net", "rrtype": "A", "ttl": 25, "rdata": "198.51.100.19"}
CNAME = {"rrname": "www.example.net", "rrtype": "CNAME", "ttl": 5, "rdata": "a.example.net"}
ASKED = Event(DNS, TS, "www.example.net", "A")
ANSWERED = ASKED._replace(rcode="NOERROR", answers=["198.51.100.19"], ttl=5.0)


@pytest.mark.parametrize(
    "body",
    [
        {"version": 2, "type": "query", "rrname": "www.example.net", "rrtype": "A", "tx_id": 0},
        {"type": "query", "rrname": "WWW.Example.net.", "rrtype": "A"},
        {
            "version": 3,
            "type": "request",
            "queries": [{"rrname": "www.example.net", "rrtype": "A"}],
        },
    ],
)
def test_queries_of_all_versions(body: dict[str, Any]) -> None:
    assert read(DNS, body) == [ASKED]


@pytest.mark.parametrize(
    "body",
    [
        {"version": 2, "type": "answer", "rcode": "NOERROR", "answers": [CNAME, A_RECORD]},
        {"version": 3, "type": "response", "rcode": "NOERROR", "answers": [CNAME, A_RECORD]},
    ],
)
def test_answers_of_all_versions(body: dict[str, Any]) -> None:
    asked = {"queries": [QUESTION]} if body["version"] == 3 else QUESTION
    assert read(DNS, body | asked) == [ANSWERED]


def test_answers_by_record_and_by_type() -> None:
    by_record = {"type": "answer", "rcode": "NOERROR", **A_RECORD}
    assert read(DNS, by_record) == [
        Event(DNS, TS, "a.example.net", "A", "NOERROR", ["198.51.100.19"], 25.0)
    ]
    by_type = {"rrname": "x.net", "rrtype": "A", "grouped": {"A": ["192.0.2.1", "192.0.2.2"]}}
    assert read(DNS, {"version": 2, "type": "answer", "rcode": "NOERROR", **by_type}) == [
        Event(DNS, TS, "x.net", "A", "NOERROR", ["192.0.2.1", "192.0.2.2"])
    ]
    nothing = {"version": 2, "type": "answer", "rrname": "no.net", "rrtype": "A"}
    assert read(DNS, nothing | {"rcode": "NXDOMAIN"}) == [
        Event(DNS, TS, "no.net", "A", "NXDOMAIN", [])
    ]


def test_requests() -> None:
    body = {
        "hostname": "Updates.vendor.test",
        "url": "/f/82.html",
        "http_user_agent": "curl/7.88.1",
        "http_content_type": "text/html",
        "http_refer": "http://portal.test/",
        "http_method": "GET",
        "status": 200,
        "length": 1084,
    }
    assert read(HTTP, body) == [
        Event(
            HTTP,
            TS,
            "updates.vendor.test",
            method="GET",
            uri="/f/82.html",
            user_agent="curl/7.88.1",
            referrer="http://portal.test/",
            mime_type="text/html",
            status=200,
        )
    ]
    assert read(HTTP, {"status": 70_000, "url": ""}) == [Event(HTTP, TS, None)]


def test_handshakes() -> None:
    body = {
        "sni": "portal.office.test",
        "version": "TLS 1.2",
        "subject": "CN=portal.office.test",
        "issuerdn": "CN=Lab",
        "notbefore": "2026-11-23T10:23:25",
        "notafter": "2027-11-23T10:23:25",
    }
    (event,) = read(TLS, body)
    assert event[:3] == (TLS, TS, "portal.office.test")
    assert (event.version, event.subject, event.issuer) == (
        "TLSv12",
        "CN=portal.office.test",
        "CN=Lab",
    )
    assert event.not_valid_after is not None
    assert event.not_valid_before is not None
    assert event.not_valid_after - event.not_valid_before == 365 * 86400


def test_texts_are_inert_and_bounded() -> None:
    agent = "a\x1b[31m\u202eb\nc" + "d" * 70_000
    (event,) = read(HTTP, {"http_user_agent": agent, "hostname": "x" * 70_000})
    assert event.user_agent is not None
    assert event.user_agent.startswith("a\\x1b[31m\\u202eb\\x0ac")
    assert event.user_agent.isprintable()
    assert len(event.user_agent) == LONGEST_TEXT
    assert len(event.name or "") == LONGEST_TEXT


@pytest.mark.parametrize("kind", [DNS, HTTP, TLS, "ssh"])
@pytest.mark.parametrize("body", [None, 5, [], "text", {}])
def test_what_tells_nothing(kind: str, body: Any) -> None:
    for event in read(kind, body):
        assert event[2:4] == (None, None)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)  # JSON has no others
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *("type", "rrname", "rrtype", "rcode", "queries", "answers", "grouped", "rdata", "ttl"),
        *("hostname", "url", "status", "http_method", "http_user_agent", "http_refer"),
        *("sni", "version", "subject", "issuerdn", "notbefore", "notafter"),
    ]
)


@given(
    kind=st.sampled_from([DNS, HTTP, TLS]),
    body=st.dictionaries(NAMES, VALUES, max_size=8),
    time=VALUES,
)
def test_whatever_stands_there_does_no_harm(kind: str, body: dict[str, Any], time: Any) -> None:
    for event in read(kind, body, timestamp=time):
        texts = [v for v in event if isinstance(v, str)] + (event.answers or [])
        assert all(text.isprintable() and len(text) <= LONGEST_TEXT for text in texts)
