from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_bytes import jsonl

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
        (jsonl(CONN_JSON), "x.log", Kind.ZEEK_JSON, ""),
        (jsonl(CONN_JSON)[:-5], "x.log", Kind.ZEEK_JSON, ""),
        (b'"cut off": 1}\n' + jsonl(CONN_JSON), "x.log", Kind.ZEEK_JSON, ""),
        (jsonl({**CONN_JSON, "log_type": "bro-conn"}), "x.log", Kind.ZEEK_JSON, ""),
        (jsonl({**CONN_JSON, "log_type": "ssl"}), "ssl.log", None, "zeek_ssl"),
        (jsonl(DNS_JSON, DNS_JSON), "dns.log", None, "zeek_other"),
        (jsonl({**DNS_JSON, "_path": "dns"}), "json_streaming_dns.log", None, "zeek_dns"),
        # more types may follow in a file that is not named after the one seen
        (jsonl({**DNS_JSON, "_path": "dns"}), "zeek.json", Kind.ZEEK_JSON, ""),
        (
            jsonl({"@stream": "stats", "ts": 1}, {"@stream": "dns", "ts": 1}),
            "z",
            Kind.ZEEK_JSON,
            "",
        ),
        (jsonl(EVE), "eve.json", Kind.EVE, ""),
        (b'{"timestamp":"x","event_type":"stats","s":"' + b"x" * 9000, "eve.json", Kind.EVE, ""),
        (jsonl({**CONN_JSON, "zeekml_score": 0.5}), "conn_scored.log", None, "own_output"),
        (jsonl({"ts": 1, "note": "ZeekML::Scan"}), "notice.log", None, "own_output"),
        (
            jsonl({**EVE, "alert": {"metadata": {"zeekml_id": ["x"]}}}),
            "eve.json",
            None,
            "own_output",
        ),
        (
            jsonl({"source": "a", "line": 1, "reason": "bad_json", "excerpt": ""}),
            "r.jsonl",
            None,
            "own_output",
        ),
        (b'{\n "records_scored": 5,\n "files_skipped": {}}', "summary.json", None, "own_output"),
        (jsonl({"name": "something else"}), "x.json", None, "unsupported"),
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
    many = jsonl(*[DNS_JSON] * 300, CONN_JSON)
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


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1), "run Zeek or Suricata on it"),
        (struct.pack(">IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1), "packet capture"),
        (b"\n\r\r\n\x1c\0\0\0M<+\x1a", "packet capture"),
        (b"\x04\x22\x4d\x18abc", "LZ4"),
        (b"PK\x03\x04\x14\0", "ZIP archive; unpack it first"),
        (b"conn.log" + b"\0" * 249 + b"ustar\x0000", "tar archive"),
        (b"SQLite format 3\0", "as Parquet"),
        (b"ts,uid,id.orig_h,id.orig_p\n1,C,10.0.0.1,5\n", "comma-separated"),
        (b"ts;uid;id.orig_h;id.orig_p\n", "comma-separated"),
        (b"[1:2:0] attack, of, some, kind {TCP} 10.0.0.1\n", 'begins with "[1:2:0] attack'),
        (b"\x00\x01\x02\x03", "binary data"),
        (b'{"level": "info", "msg": "started"}\n', "(level, msg)"),
        (b"1.5\tC1\t10.0.0.1\t10.0.0.2\ttcp\n", "5 tab-separated columns and no header"),
        (b"#separator \\x09\n#path\tconn\n1\t2\t3\t4\n", "no #fields line"),
        (b"#separator \\x09\n#path\tconn\n#fields\tts\tproto\n", "lacks id.orig_h, id.resp_h"),
        (b"#separator \\x09\n#path\tssh\n#fields\tts\tuid\n", "another Zeek log (ssh)"),
    ],
)
def test_what_a_file_is_instead(head: bytes, says: str) -> None:
    found = detect(head, "x")
    assert found.kind is None
    text = found.explanation
    assert says in text
    assert "; " in text
    assert "Suricata enable" not in text
    assert text.isprintable()
