"""Usual lines of events are read as columns, others one by one: what comes of them is the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zeekml.readers.events._packed_events import pack
from zeekml.readers.events.eve_events import protocol_events
from zeekml.readers.events.event_lines import packed_events
from zeekml.readers.files.line_splitter import Block

TIME = "2026-11-23T10:30:46.691246+0000"


def both_ways(*records: Any) -> int:
    """Read lines as a block and one by one, which must agree; how many events there are."""
    texts = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    data = b"".join(text + b"\n" for text in texts)
    ends = np.cumsum([len(text) + 1 for text in texts])
    starts = np.concatenate([[0], ends[:-1]])
    lines = np.column_stack([starts, ends - 1, np.arange(len(texts))]).astype(np.int64)
    found = packed_events(Block(data, 11), np.ascontiguousarray(lines))
    expected = []
    for number, text in enumerate(texts, 11):
        flow, events = protocol_events(text)
        if flow is not None:
            expected += [(number, flow, pack(event)) for event in events]
    assert list(zip(found.lines.tolist(), found.flows, found.events, strict=True)) == expected
    return len(expected)


def line(kind: str, body: Any, **more: Any) -> dict[str, Any]:
    return {"timestamp": TIME, "flow_id": 7, "event_type": kind, kind: body} | more


RECORDS = [{"rrname": "a.net", "rrtype": "A", "ttl": 25, "rdata": "198.51.100.19"}]
CNAME = {"rrname": "www.a.net", "rrtype": "CNAME", "ttl": 5, "rdata": "a.net"}
SOA = {"rrname": "a.net", "rrtype": "SOA", "ttl": 5, "soa": {"mname": "x", "serial": 1}}
ASKED = {"version": 2, "rrname": "WWW.A.net.", "rrtype": "A"}


@pytest.mark.parametrize(
    "record",
    [
        line("dns", ASKED | {"type": "query"}),
        line("dns", ASKED | {"type": "answer", "rcode": "NOERROR", "answers": RECORDS}),
        line("dns", ASKED | {"type": "answer", "rcode": "NOERROR", "answers": [CNAME, *RECORDS]}),
        line("dns", ASKED | {"type": "response", "answers": []}),
        line("dns", ASKED | {"type": "answer", "rcode": "NXDOMAIN"}),
        line("dns", ASKED | {"type": "answer", "rcode": "-"}),
        line("dns", ASKED | {"type": "answer", "answers": [SOA, *RECORDS]}),
        line("dns", ASKED | {"type": "answer", "answers": {"rrtype": "A"}}),
        line("dns", ASKED | {"type": "answer", "answers": [RECORDS]}),
        line("dns", ASKED | {"type": "answer", "answers": [RECORDS[0] | {"ttl": -5}]}),
        line("dns", ASKED | {"type": "answer", "answers": [RECORDS[0] | {"ttl": 2**60}]}),
        line("dns", ASKED | {"type": "answer", "answers": [RECORDS[0] | {"ttl": 1.5}]}),
        line("dns", ASKED | {"type": "answer", "answers": [RECORDS[0] | {"rdata": "::FFFF"}]}),
        line("dns", ASKED | {"type": "answer", "answers": [RECORDS[0] | {"rrtype": "AAAA"}]}),
        line("dns", ASKED | {"type": "answer", "answers": [RECORDS[0] | {"rdata": None}]}),
        line("dns", ASKED | {"type": "answer", "answers": RECORDS * 20}),
        line("dns", ASKED | {"type": "answer", "grouped": {"A": ["192.0.2.1"]}}),
        line("dns", ASKED | {"type": "answer", "rdata": "192.0.2.1", "ttl": 3}),
        line("dns", {"type": "query", "queries": [ASKED, ASKED]}),
        line("dns", ASKED | {"type": "query"}, flow_id="7"),
        line("dns", ASKED | {"type": "query"}, flow_id=None),
        line("dns", ASKED | {"type": "query"}, flow_id=2**63),
        line("dns", ASKED | {"type": "query"}, timestamp="2026-11-23 10:30:46"),
        line("dns", ASKED | {"type": "query"}, timestamp=5),
        line("dns", ASKED | {"type": "query", "rrname": "x" * 300}),
        line("dns", ASKED | {"type": "query", "rrname": "..."}),
        line("dns", ASKED | {"type": "query", "rrname": "(empty)"}),
        line("dns", ASKED | {"type": "query", "rrname": "ü.net"}),
        line("dns", ASKED | {"type": "query", "rrname": "\u202eten.a"}),
        line("dns", None),
        line("dns", [ASKED]),
        line("dns", "x"),
        line("http", {"hostname": "A.net:80", "url": "/x?y=1", "status": 200}),
        line("http", {"hostname": "[2001:db8::1]:8080", "http_method": "GET"}),
        line("http", {"hostname": "2001:db8::1"}),
        line("http", {"hostname": ":80", "http_user_agent": "-"}),
        line("http", {"hostname": "a:", "http_user_agent": ""}),
        line("http", {"hostname": "a:b", "status": 1000}),
        line("http", {"status": "404", "http_content_type": "text/html"}),
        line("http", {"url": "/" + "a" * 255, "http_refer": "http://b/" + "c" * 300}),
        line("http", {}),
        line("tls", {"sni": "X.net", "version": "TLS 1.2", "subject": "CN=x", "issuerdn": "CN=x"}),
        line("tls", {"version": "TLSv1", "notbefore": "2026-01-01T00:00:00", "notafter": "never"}),
        line("tls", {"version": "TLS 1.9", "notbefore": "2026-02-30T00:00:00"}),
        line("tls", {"version": "SSLv3", "notbefore": "2026-01-01T00:00:00Z"}),
        line("tls", {"version": "UNDETERMINED", "notafter": "1950-01-01T00:00:00"}),
        line("tls", {"version": 3}),
        line("smb", {}),
        b'{"event_type":"dns","flow_id":7,"dns":{"type":"query"},"dns":{"type":"query"}}',
        b'{"event_type":"dns","flow_id":7,"dns":{"rrname":"a","rrname":"b","type":"query"}}',
        b'{"event_type":"dns","flow_id":7,"dns":{"type":"query","rrname":"\\u0061"}}',
        b'{"event_type":"dns","flow_id":7,"dns":{"type":"answer","answers":[{"rrtype":"A","ttl":1,'
        b'"ttl":2,"rdata":"192.0.2.1"}]}}',
        b'{"event_type":"dns","flow_id":7,"dns":{"type":"answer","answers":[ {"rrtype" : "A" , '
        b'"rdata" :"192.0.2.1", "ttl": 7 } , ["A"]]}}',
        b'{"event_type":"dns","flow_id":7',
        b"",
    ],
)
def test_a_line(record: Any) -> None:
    both_ways(record)
    # what stands around it changes nothing
    usual = line("dns", ASKED | {"type": "query"})
    both_ways(usual, record, line("http", {"url": "/"}), record, usual)


TEXTS = st.sampled_from(["", "-", "A", "a.net", "x:1", "::1", "é", "\x1b", "query", "answer", TIME])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.just(2**70) | st.just(1.5) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["rrname", "rrtype", "rdata", "ttl", "A"]), inner)
    ),
    max_leaves=8,
)
FIELDS = {
    "dns": ("type", "rrname", "rrtype", "rcode", "answers", "queries", "grouped", "rdata", "ttl"),
    "http": ("hostname", "http_method", "url", "http_user_agent", "http_refer", "status"),
    "tls": ("sni", "version", "subject", "issuerdn", "notbefore", "notafter"),
}


@st.composite
def any_line(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(FIELDS)))
    likely = {
        "type": st.sampled_from(["query", "answer", "response"]),
        "answers": st.lists(
            st.fixed_dictionaries(
                {}, optional={"rrtype": TEXTS, "ttl": st.integers(0, 9), "rdata": TEXTS}
            ),
            max_size=3,
        ),
        "status": st.integers(0, 1200),
    }
    body = {
        name: draw(st.one_of(likely.get(name, TEXTS), VALUES))
        for name in draw(st.lists(st.sampled_from(FIELDS[kind]), unique=True))
    }
    flow = draw(st.sampled_from([1, 2, "3", None, 1.0, 2**64]))
    return line(
        kind,
        body,
        flow_id=flow,
        timestamp=draw(
            st.sampled_from([TIME, TEXTS, 5, None]).map(lambda v: TIME if v is TEXTS else v)
        ),
    )


@given(st.lists(any_line(), min_size=1, max_size=5))
@example([line("dns", {"type": "answer", "answers": [{"rrtype": "A", "rdata": "", "ttl": 1}]})])
@settings(max_examples=300)
def test_any_lines(records: list[dict[str, Any]]) -> None:
    both_ways(*records)


def test_that_usual_lines_are_read_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    def unused(text: bytes) -> Any:
        raise AssertionError(text)

    usual = [
        line("dns", ASKED | {"type": "query"}),
        line("dns", ASKED | {"type": "answer", "rcode": "NOERROR", "answers": [CNAME, *RECORDS]}),
        line("http", {"hostname": "a.net", "url": "/", "status": 200, "length": 5}),
        line("tls", {"sni": "a", "version": "TLS 1.3", "notbefore": "2026-01-01T00:00:00"}),
    ]
    assert both_ways(*usual) == len(usual)
    monkeypatch.setattr("zeekml.readers.events.eve_events.protocol_events", unused)
    texts = [json.dumps(record).encode() + b"\n" for record in usual]
    ends = np.cumsum([len(text) for text in texts])
    lines = np.column_stack([ends - [len(t) for t in texts], ends - 1, np.arange(len(texts))])
    assert len(packed_events(Block(b"".join(texts), 1), lines.astype(np.int64)).events) == 4
