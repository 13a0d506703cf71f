"""Records of Zeek's logs tell the same events as Suricata's, from tabs and from JSON."""

from __future__ import annotations

import pytest

from zeekml.readers.events.event import Event, event_host
from zeekml.readers.events.event_schema import DNS, HTTP, TLS
from zeekml.readers.events.zeek_events import zeek_event

TS = 1795429846.691517


def test_queries() -> None:
    texts = {
        "ts": "1795429846.691517",
        "query": "www.Example.net",
        "qtype_name": "A",
        "rcode_name": "NOERROR",
        "answers": "a.example.net,198.51.100.19",
        "TTLs": "5.000000,25.000000",
    }
    values = texts | {"ts": TS, "answers": ["a.example.net", "198.51.100.19"], "TTLs": [5.0, 25.0]}
    expected = Event(DNS, TS, "www.example.net", "A", "NOERROR", ["198.51.100.19"], 5.0)
    assert zeek_event(DNS, texts) == zeek_event(DNS, values) == expected
    unanswered = {"ts": TS, "query": "x.net", "qtype_name": "A", "rcode_name": "-", "answers": "-"}
    assert zeek_event(DNS, unanswered) == Event(DNS, TS, "x.net", "A", None, [])


def test_requests() -> None:
    texts = {
        "ts": "1795429846.691517",
        "host": "app.test:8080",
        "method": "POST",
        "uri": "/x",
        "user_agent": "curl/7.88.1",
        "referrer": "-",
        "resp_mime_types": "text/plain,text/html",
        "status_code": "404",
    }
    values = texts | {"ts": TS, "resp_mime_types": ["text/plain", "text/html"], "status_code": 404}
    del values["referrer"]
    expected = Event(
        HTTP,
        TS,
        "app.test",
        method="POST",
        uri="/x",
        user_agent="curl/7.88.1",
        mime_type="text/plain",
        status=404,
    )
    assert zeek_event(HTTP, texts) == zeek_event(HTTP, values) == expected


def test_handshakes() -> None:
    record = {"ts": TS, "server_name": "Portal.test", "version": "TLSv12", "issuer": "CN=Lab"}
    assert zeek_event(TLS, record) == Event(
        TLS, TS, "portal.test", version="TLSv12", issuer="CN=Lab"
    )


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("a.test:80", "a.test"),
        ("a.test", "a.test"),
        ("[2001:db8::1]:80", "[2001:db8::1]"),
        ("2001:db8::1", "2001:db8::1"),
        (":80", ":80"),
        ("", None),
        (None, None),
    ],
)
def test_hosts_without_their_port(text: str | None, host: str | None) -> None:
    assert event_host(text) == host
