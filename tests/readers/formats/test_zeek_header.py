from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeekml.readers.formats.zeek_header import HeaderReader, log_of, logs_named, may_hold_conn
from zeekml.readers.formats.zeek_tsv import TsvDecoder

Make = Callable[..., Any]

DNS = [
    b"#separator \\x09\n",
    b"#set_separator\t,\n",
    b"#path\tdns\n",
    b"#open\t2026-02-03-04-00-00\n",
    b"#fields\tts\tuid\tid.orig_h\tid.resp_h\tproto\tquery\n",
    b"#types\ttime\tstring\taddr\taddr\tenum\tstring\n",
]
DNS_RECORD = b"1.5\tD1\t10.0.0.1\t10.0.0.2\tudp\ta.test\n"
SEMICOLONS = [
    b"#separator ;\n",
    b"#unset_field;NONE\n",
    b"#path;conn_br0\n",
    b"#open;2026-02-03-04-05-06\n",
    b"#fields;ts;id.orig_h;id.resp_h;proto;duration;service\n",
    b"#types;time;addr;addr;enum;interval;string\n",
    b"#close;2026-02-03-05-00-00\n",
]
SEMICOLON_RECORD = b"7.25;10.0.0.1;10.0.0.2;udp;NONE;dns\n"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(SEMICOLONS), st.lists(st.integers(0, 400), max_size=4))
def test_lines_of_a_header_may_stand_in_any_order(
    read_alike: Make, lines: list[bytes], cuts: list[int]
) -> None:
    reading = read_alike(TsvDecoder, b"".join([*lines, SEMICOLON_RECORD]), cuts)
    (row,) = reading.rows
    assert (row["ts"], row["duration"], row["service"]) == (7.25, None, "dns")
    reader = HeaderReader()
    for line in lines:
        reader.read(line)
    in_order = HeaderReader()
    for line in SEMICOLONS:
        in_order.read(line)
    assert reader.header == in_order.header


def test_logs_that_were_sorted_together(read: Make) -> None:
    other = [line.replace(b"04-05-06", b"05-00-00") for line in SEMICOLONS]
    lines = sorted([*SEMICOLONS, *other, SEMICOLON_RECORD, SEMICOLON_RECORD])
    assert read(TsvDecoder, b"".join(lines)).counters.accepted == 2


def test_a_header_without_records_leaves_nothing_behind(read: Make) -> None:
    tabs = [
        line.replace(b";", b"\t").replace(b"separator \t", b"separator \\x09")
        for line in SEMICOLONS
    ]
    record = SEMICOLON_RECORD.replace(b";", b"\t")
    for dns in (DNS, sorted(DNS)):
        for conn, end in ((SEMICOLONS, SEMICOLON_RECORD), (tabs, record), (sorted(tabs), record)):
            reading = read(TsvDecoder, b"".join([*dns, b"#close\tx\n", *conn, end]))
            assert reading.counters.accepted == 1


def test_a_separator_between_records_starts_anew(read: Make) -> None:
    data = b"".join([*SEMICOLONS, SEMICOLON_RECORD, b"#separator ;\n", SEMICOLON_RECORD])
    reading = read(TsvDecoder, data)
    assert reading.counters.accepted == 1
    assert reading.reasons == [(10, "column_count")]


HEADER_LINES = st.sampled_from(
    [*DNS, *SEMICOLONS, b"# note\n", b"\n", DNS_RECORD, SEMICOLON_RECORD]
)


@settings(max_examples=200)
@given(st.lists(HEADER_LINES, max_size=14), st.integers(0, 14), st.booleans())
def test_another_reader_goes_on_from_its_text(lines: list[bytes], cut: int, crlf: bool) -> None:
    if crlf:
        lines = [line[:-1] + b"\r\n" for line in lines]
    straight = HeaderReader()
    for _ in straight.runs(b"".join(lines[:cut])):
        pass
    again = HeaderReader()
    for _ in again.runs(straight.text(1 << 20)):
        pass
    assert again.text(1 << 20) == straight.text(1 << 20)
    for reader in (straight, again):
        for _ in reader.runs(b"".join(lines[cut:])):
            pass
    assert again.header == straight.header


@pytest.mark.parametrize(
    ("path", "fields", "refusal"),
    [
        ("conn_eno2", "ts id.orig_h id.resp_h proto conn_state", None),
        ("", "ts id.orig_h id.resp_h proto orig_bytes", None),
        ("", "ts uid id_orig_h id_resp_h proto duration", None),
        ("conn_eno2", "ts id.orig_h proto conn_state", "no_conn_fields"),
        ("ssl", "ts id.orig_h id.resp_h proto conn_state", "zeek_ssl"),
        ("conn_long", "ts id.orig_h id.resp_h proto conn_state", "zeek_conn_long"),
        ("dns_eno2", "ts id.orig_h id.resp_h proto query", "zeek_dns_eno2"),
        ("", "ts id.orig_h id.resp_h proto query", "zeek_other"),
    ],
)
def test_columns_decide_unless_the_path_is_zeeks(
    path: str, fields: str, refusal: str | None
) -> None:
    reader = HeaderReader()
    reader.read(b"#path\t" + path.encode())
    reader.read(b"#fields\t" + b"\t".join(fields.encode().split()))
    assert reader.header.refusal == refusal


CONN_FIELDS = ["ts", "id.orig_h", "proto", "conn_state"]


@pytest.mark.parametrize(
    ("names", "fields", "log"),
    [
        ([], CONN_FIELDS, "conn"),
        ([""], CONN_FIELDS, "conn"),
        (["bro_conn"], CONN_FIELDS, "conn"),
        (["conn_span7"], ["proto", "duration"], "conn"),
        (["conn"], ["ts"], "conn"),
        (["dns"], CONN_FIELDS, "dns"),
        (["shipped", "http"], CONN_FIELDS, "http"),
        (["conn_long"], CONN_FIELDS, "conn_long"),
        (["dns_span7"], ["ts", "proto", "query"], "dns_span7"),
        ([], ["ts", "proto", "query"], "other"),
    ],
)
def test_a_name_of_zeek_counts_and_otherwise_the_columns(
    names: list[str], fields: list[str], log: str
) -> None:
    assert log_of(names, fields) == log


def test_a_file_is_named_after_whole_words() -> None:
    assert logs_named("bro_http_20260301.log.gz") == {"http"}
    assert logs_named("known-hosts.log") == {"known_hosts"}
    assert logs_named("connections.log") == set()
    assert logs_named("conn_long.10:00:00-11:00:00.log") == {"conn_long"}


@pytest.mark.parametrize(
    ("name", "seen", "may"),
    [
        ("conn.log", "dns", True),
        ("dns+conn.log", "dns", True),
        ("everything.log", "dns", True),
        ("", "dns", True),
        ("dns.log", "dns", False),
        ("http.log", "dns", False),
        ("my-own.2026.log", "my_own", False),
        ("zeek.json", "other", False),
        ("conn.json", "other", True),
    ],
)
def test_where_connections_may_follow(name: str, seen: str, may: bool) -> None:
    assert may_hold_conn(name, seen) is may
