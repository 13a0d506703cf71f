from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.readers.files.file_type import HEAD_SIZE, Kind, detect
from zeekml.readers.formats.zeek_header import Header

CONN_JSON = {"ts": 1.0, "uid": "C", "id.orig_h": "10.0.0.1", "proto": "tcp", "conn_state": "SF"}
DNS_JSON = {"ts": 1.0, "uid": "C", "id.orig_h": "10.0.0.1", "proto": "udp", "query": "a.test"}
EVE = {"timestamp": "2026-11-23T10:31:00.650568+0000", "event_type": "stats", "stats": {}}


def tsv(path: str, fields: str) -> bytes:
    names = "\t".join(fields.split())
    return (
        f"#separator \\x09\n#path\t{path}\n#open\t2026-11-23-10-00-00\n#fields\t{names}\n"
    ).encode()


def js(*records: Any) -> bytes:
    return b"".join(json.dumps(r).encode() + b"\n" for r in records)


FIELDS = "ts id.orig_h id.resp_h proto duration"


@pytest.mark.parametrize(
    ("head", "name", "kind", "refusal"),
    [
        (tsv("conn", FIELDS), "conn.log", Kind.ZEEK_TSV, ""),
        (b"\0" * 64 + tsv("conn", FIELDS), "conn.log", Kind.ZEEK_TSV, ""),
        (tsv("dns", "ts uid query"), "conn.log", None, "zeek_dns"),
        (tsv("open_conn", FIELDS), "conn.log", None, "zeek_open_conn"),
        (tsv("conn", FIELDS), "open_conn.log", None, "zeek_open_conn"),
        (tsv("conn", FIELDS), "conn_long.log.gz", None, "zeek_conn_long"),
        (tsv("conn", FIELDS), "conn-summary.10:00:00-11:00:00.log", None, "zeek_conn_summary"),
        (tsv("conn", "ts uid"), "conn.log", None, "no_conn_fields"),
        (tsv("notice", "ts note zeekml_id"), "notice.log", None, "own_output"),
        (b"#separator \\x09\n", "conn.log", None, "bad_header"),
        (b"ts\tid.orig_h\tid.resp_h\tproto\thistory\n", "x.log", Kind.ZEEK_TSV, ""),
        (b"ts\tid.orig_h\tid.resp_h\tproto\tquery\n", "x.log", None, "zeek_other"),
        (b"#fields\tts\tid.orig_h\tid.resp_h\tproto\thistory\n", "x.log", Kind.ZEEK_TSV, ""),
        (b"#fields\tts\tid.orig_h\tid.resp_h\tproto\tzeekml_id\n", "x.log", None, "own_output"),
        (b"%fields\tts\tid.orig_h\tid.resp_h\tproto\thistory\n", "x.log", None, "no_header"),
        (js(CONN_JSON), "x.log", Kind.ZEEK_JSON, ""),
        (js(CONN_JSON)[:-5], "x.log", Kind.ZEEK_JSON, ""),
        (b'"cut off": 1}\n' + js(CONN_JSON), "x.log", Kind.ZEEK_JSON, ""),
        (js({**CONN_JSON, "log_type": "bro-conn"}), "x.log", Kind.ZEEK_JSON, ""),
        (js({**CONN_JSON, "log_type": "ssl"}), "ssl.log", None, "zeek_ssl"),
        (js(DNS_JSON, DNS_JSON), "dns.log", None, "zeek_other"),
        (js({**DNS_JSON, "_path": "dns"}), "json_streaming_dns.log", None, "zeek_dns"),
        # more types may follow in a file that is not named after the one seen
        (js({**DNS_JSON, "_path": "dns"}), "zeek.json", Kind.ZEEK_JSON, ""),
        (js({"@stream": "stats", "ts": 1}, {"@stream": "dns", "ts": 1}), "z", Kind.ZEEK_JSON, ""),
        (js(EVE), "eve.json", Kind.EVE, ""),
        (b'{"timestamp":"x","event_type":"stats","s":"' + b"x" * 9000, "eve.json", Kind.EVE, ""),
        (js({**CONN_JSON, "zeekml_score": 0.5}), "conn_scored.log", None, "own_output"),
        (js({"ts": 1, "note": "ZeekML::Scan"}), "notice.log", None, "own_output"),
        (js({**EVE, "alert": {"metadata": {"zeekml_id": ["x"]}}}), "eve.json", None, "own_output"),
        (
            js({"source": "a", "line": 1, "reason": "bad_json", "excerpt": ""}),
            "r.jsonl",
            None,
            "own_output",
        ),
        (b'{\n "records_scored": 5,\n "files_skipped": {}}', "summary.json", None, "own_output"),
        (js({"name": "something else"}), "x.json", None, "unsupported"),
        (b"hello\nworld\n", "x.txt", None, "unsupported"),
        (b"\x7fELF\x02\x01\x01\0\0", "zeek", None, "unsupported"),
        (b"", "conn.log", None, "empty"),
        (b"\0\0\0\n\n", "conn.log", None, "empty"),
    ],
)
def test_detection(head: bytes, name: str, kind: Kind | None, refusal: str) -> None:
    found = detect(head, name)
    assert (found.kind, found.refusal) == (kind, refusal)


DNS_LOG = tsv("dns", "ts uid id.orig_h id.resp_h proto query") + b"1\tC\t1.1.1.1\t2.2.2.2\tudp\ta\n"
CONN_LOG = tsv("conn_if2", FIELDS) + b"1\t10.0.0.1\t10.0.0.2\ttcp\t2\n"
RECORD = CONN_LOG.splitlines(keepends=True)[-1]


def test_a_header_further_down_counts() -> None:
    assert detect(DNS_LOG + CONN_LOG, "x.log").kind is Kind.ZEEK_TSV
    many = js(*[DNS_JSON] * 300, CONN_JSON)
    assert detect(many, "x.json").kind is Kind.ZEEK_JSON


@pytest.mark.parametrize(
    ("name", "kind"), [("conn.log", Kind.ZEEK_TSV), ("", Kind.ZEEK_TSV), ("dns.log", None)]
)
def test_what_lies_beyond_the_head_may_be_connections(name: str, kind: Kind | None) -> None:
    long = (DNS_LOG + DNS_LOG.splitlines(keepends=True)[-1] * HEAD_SIZE)[:HEAD_SIZE]
    assert detect(long, name).kind is kind
    assert detect(long[:1000], name).refusal == "zeek_dns"


def test_a_header_below_its_records_is_theirs() -> None:
    lines = CONN_LOG.splitlines(keepends=True)
    found = detect(b"".join(reversed(lines)), "x.log")
    assert found.kind is Kind.ZEEK_TSV
    assert found.header is not None
    assert len(found.header.fields) == 5
    # not where it has other columns
    other = detect(RECORD.replace(b"tcp", b"tcp\tx") + CONN_LOG, "x.log")
    assert (other.kind, other.header) == (Kind.ZEEK_TSV, None)


def test_records_without_header_are_what_they_are_said_to_be() -> None:
    names = tuple(FIELDS.encode().split())
    assert detect(RECORD, "x.log").refusal == "no_header"
    given = Header(path="conn", fields=names)
    found = detect(RECORD, "x.log", given)
    assert (found.kind, found.header) == (Kind.ZEEK_TSV, given)
    fewer = detect(RECORD, "x.log", Header(path="conn", fields=names[:4]))
    assert fewer.refusal == "no_header"
    assert fewer.detail == "5 columns and no header, but 4 are named"
    # a file's own header is believed
    assert detect(CONN_LOG, "x.log", Header(path="conn", fields=names[:4])).header is None


def test_notes_are_no_header() -> None:
    assert detect(b"#!/bin/sh\n# a note\necho\n", "x.sh").refusal == "unsupported"
    assert detect(b"# a note\n" + RECORD, "x.log").refusal == "no_header"


def test_open_time_is_read() -> None:
    assert detect(tsv("conn", FIELDS), "conn.log").opened == 1795428000.0


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from([b"", b"{", b"#separator ", b"#fields\t"]))
def test_any_bytes_are_survived(data: bytes, start: bytes) -> None:
    found = detect(start + data, "x.log")
    assert (found.kind is None) == bool(found.refusal)
