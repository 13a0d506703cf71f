from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.flows.detect import Kind, detect

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
        (tsv("conn", FIELDS), "conn-summary.10:00:00-11:00:00.log", None, "zeek_conn-summary"),
        (tsv("conn", "ts uid"), "conn.log", None, "no_conn_fields"),
        (tsv("notice", "ts note zeekml_id"), "notice.log", None, "own_output"),
        (b"#separator \\x09\n", "conn.log", None, "bad_header"),
        (b"ts\tid.orig_h\tid.resp_h\tproto\thistory\n", "x.log", Kind.ZEEK_TSV, ""),
        (b"ts\tid.orig_h\tid.resp_h\tproto\tquery\n", "x.log", None, "zeek_other"),
        (b"#fields\tts\tid.orig_h\tid.resp_h\tproto\thistory\n", "x.log", Kind.ZEEK_TSV, ""),
        (b"#fields\tts\tid.orig_h\tid.resp_h\tproto\tzeekml_id\n", "x.log", None, "own_output"),
        (b"%fields\tts\tid.orig_h\tid.resp_h\tproto\thistory\n", "x.log", None, "unsupported"),
        (js(CONN_JSON), "x.log", Kind.ZEEK_JSON, ""),
        (js(CONN_JSON)[:-5], "x.log", Kind.ZEEK_JSON, ""),
        (b'"cut off": 1}\n' + js(CONN_JSON), "x.log", Kind.ZEEK_JSON, ""),
        (js(DNS_JSON, DNS_JSON), "dns.log", None, "zeek_other"),
        (js({**DNS_JSON, "_path": "dns"}), "json_streaming_dns.log", None, "zeek_dns"),
        # more types may follow in a file that is not named after the one seen
        (js({**DNS_JSON, "_path": "dns"}), "zeek.json", Kind.ZEEK_JSON, ""),
        (js({"@stream": "stats", "ts": 1}, {"@stream": "dns", "ts": 1}), "z", Kind.ZEEK_JSON, ""),
        (js(EVE), "eve.json", Kind.EVE, ""),
        (b'{"timestamp":"x","event_type":"stats","s":"' + b"x" * 9000, "eve.json", Kind.EVE, ""),
        (js({**CONN_JSON, "zeekml_score": 0.5}), "conn_scored.log", None, "own_output"),
        (js({"ts": 1, "note": "ZeekML::Scan"}), "notice.log", None, "own_output"),
        (
            js({**EVE, "alert": {"metadata": {"zeekml_id": ["x"]}}}),
            "eve.json",
            None,
            "own_output",
        ),
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


def test_open_time_is_read() -> None:
    assert detect(tsv("conn", FIELDS), "conn.log").opened == 1795428000.0


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from([b"", b"{", b"#separator ", b"#fields\t"]))
def test_any_bytes_are_survived(data: bytes, start: bytes) -> None:
    found = detect(start + data, "x.log")
    assert (found.kind is None) == bool(found.refusal)
