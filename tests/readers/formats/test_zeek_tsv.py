from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zeekml.readers.formats.zeek_json import ZeekJsonDecoder
from zeekml.readers.formats.zeek_tsv import TsvDecoder, unescape
from zeekml.readers.rejects import SourceAccount

Read = Callable[..., Any]
Make = Callable[..., Any]


def originals(account: SourceAccount) -> TsvDecoder:
    return TsvDecoder(account, keep_originals=True)


def to_json_lines(tsv: bytes) -> bytes:
    """Write a conn.log as Zeek's JSON writer would, independently of the decoder."""
    fields: list[str] = []
    types: list[str] = []
    out = []
    for line in tsv.decode().splitlines():
        if line.startswith("#fields"):
            fields = line.split("\t")[1:]
        elif line.startswith("#types"):
            types = line.split("\t")[1:]
        elif not line.startswith("#"):
            record: dict[str, Any] = {}
            for name, kind, cell in zip(fields, types, line.split("\t"), strict=True):
                if cell == "-":
                    continue
                if kind in ("time", "interval"):
                    # JSON has the double's own digits, not six decimals
                    record[name] = float(cell) + 1e-9
                elif kind in ("count", "port"):
                    record[name] = int(cell)
                elif kind == "bool":
                    record[name] = cell == "T"
                elif kind.startswith("set"):
                    record[name] = [] if cell == "(empty)" else cell.split(",")
                else:
                    record[name] = cell
            out.append(json.dumps(record))
    return "\n".join(out).encode() + b"\n"


def without_place(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("source", "line")} for row in rows]


def test_lab_log(read: Read, office_tsv: bytes) -> None:
    reading = read(TsvDecoder, office_tsv)
    assert reading.counters.accepted == 570
    assert not reading.rejects
    first = reading.rows[0]
    assert first["ts"] == 1795429847.098582
    assert first["id.orig_h"] == "10.20.1.21"
    assert first["orig_ip_bytes"] == 2133
    assert (first["sensor"], first["source"], first["line"]) == ("zeek", "test.log", 9)


def test_tsv_and_json_of_one_log_agree(read: Read, office_tsv: bytes) -> None:
    tsv = read(TsvDecoder, office_tsv)
    js = read(ZeekJsonDecoder, to_json_lines(office_tsv))
    assert without_place(tsv.rows) == without_place(js.rows)


def test_originals_are_the_records_as_json(read: Read, office_tsv: bytes) -> None:
    tsv = read(originals, office_tsv)
    lines = [row.pop("original") for row in tsv.rows]
    rows = [{k: v for k, v in row.items() if k != "original"} for row in tsv.rows]
    assert len(lines) == 570
    js = read(ZeekJsonDecoder, b"\n".join(lines) + b"\n")
    assert without_place(js.rows) == without_place(rows)
    record = json.loads(lines[0])
    assert record["local_orig"] is True
    assert "tunnel_parents" not in record
    assert b'"ts":1795429847.098582' in lines[0]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 6000), max_size=6))
def test_chunks_change_nothing(read: Read, office_tsv: bytes, cuts: list[int]) -> None:
    data = office_tsv[:6000]
    edges = [0, *sorted(cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(edges)]
    whole, cut = read(TsvDecoder, data), read(TsvDecoder, *chunks)
    assert whole.rows == cut.rows
    assert whole.rejects == cut.rejects


def test_columns_in_any_order_and_unknown_ones(read: Read, conn_tsv: Make) -> None:
    data = conn_tsv(
        [["tcp", "x", "10.0.0.2", "1.5", "10.0.0.1"]],
        fields="proto _node_name id.resp_h ts id.orig_h",
        types="enum string addr time addr",
    )
    (row,) = read(TsvDecoder, data).rows
    assert (row["proto"], row["id.orig_h"], row["id.resp_h"]) == ("tcp", "10.0.0.1", "10.0.0.2")
    assert row["ts"] == 1.5
    assert row["orig_bytes"] is None and row["service"] is None and row["uid"] is None


def test_underscored_names(read: Read, conn_tsv: Make) -> None:
    data = conn_tsv(
        [["1", "10.0.0.1", "7", "10.0.0.2", "9", "udp"]],
        fields="ts id_orig_h id_orig_p id_resp_h id_resp_p proto",
    )
    (row,) = read(TsvDecoder, data).rows
    assert (row["id.orig_p"], row["id.resp_p"]) == (7, 9)


def test_markers_and_separators_come_from_the_header(read: Read) -> None:
    data = (
        b"#separator \\x7c\n#set_separator|;\n#empty_field|none\n#unset_field|?\n#path|conn\n"
        b"#fields|ts|id.orig_h|id.resp_h|proto|service|duration|history|tunnel_parents\n"
        b"#types|time|addr|addr|enum|string|interval|string|set[string]\n"
        b"1|10.0.0.1|10.0.0.2|tcp|none|?|-|a;b\n"
    )
    (row,) = read(originals, data).rows
    assert row["service"] is None and row["duration"] is None
    assert row["history"] == "-"
    assert json.loads(row["original"])["tunnel_parents"] == ["a", "b"]


def test_separator_of_several_bytes_and_other_prefix(read: Read) -> None:
    data = (
        b"%%separator \\x3a\\x3a\n%%path::conn\n%%fields::ts::id.orig_h::id.resp_h::proto\n"
        b"1::10.0.0.1::10.0.0.2::tcp\n#2::10.0.0.1::10.0.0.2::tcp\n%%close::x\n"
    )
    reading = read(TsvDecoder, data)
    assert [row["line"] for row in reading.rows] == [4]
    assert reading.reasons == [(5, "bad_value")]


def test_header_changes_in_the_middle(read: Read, conn_tsv: Make, cells: Make) -> None:
    second = b"#fields\tproto\tts\tid.resp_h\tid.orig_h\n#types\tenum\ttime\taddr\taddr\n"
    rest = b"udp\t5\t10.0.0.2\t10.0.0.1\n#close\t2026-11-23-11-00-00\n"
    reading = read(TsvDecoder, conn_tsv([cells()]) + second + rest)
    assert [(r["proto"], r["line"]) for r in reading.rows] == [("tcp", 9), ("udp", 12)]


def test_section_of_another_log_is_skipped(read: Read, conn_tsv: Make, cells: Make) -> None:
    dns = b"#separator \\x09\n#path\tdns\n#fields\tts\tquery\n1\ta\n\n2\tb\n"
    reading = read(TsvDecoder, conn_tsv([cells()]) + dns + conn_tsv([cells()]))
    assert reading.counters.skipped == {"dns": 2}
    assert reading.counters.accepted == 2


def test_plain_header_line(read: Read) -> None:
    data = b"ts\tid.orig_h\tid.resp_h\tproto\thistory\n1\t10.0.0.1\t10.0.0.2\tTCP\tS\n"
    (row,) = read(TsvDecoder, data).rows
    assert (row["line"], row["proto"], row["history"]) == (2, "tcp", "S")


def test_a_header_whose_first_lines_were_cut_off(read: Read, conn_tsv: Make, cells: Make) -> None:
    plain = conn_tsv([cells()])
    cut = plain[plain.index(b"#fields") :]
    (row,), (other,) = read(TsvDecoder, plain).rows, read(TsvDecoder, cut).rows
    assert row.pop("line") - other.pop("line") == plain.count(b"\n") - cut.count(b"\n")
    assert row == other
    unknown = read(TsvDecoder, cut.replace(b"#", b"%"))
    assert unknown.rows == []
    assert {reason for _, reason in unknown.reasons} == {"column_count"}


def test_records_without_header_are_rejected(read: Read) -> None:
    reading = read(TsvDecoder, b"1\t2\t3\n\n4\t5\t6\n")
    assert reading.reasons == [(1, "column_count"), (3, "column_count")]


def test_crlf_bom_and_nul_prefix(read: Read, conn_tsv: Make, cells: Make) -> None:
    plain = conn_tsv([cells(), cells(uid="C2")])
    for variant in (
        plain.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + plain,
        b"\0" * 5000 + plain,
        plain.replace(b"\n", b"\r\n").removesuffix(b"\n"),
    ):
        assert read(TsvDecoder, variant).rows == read(TsvDecoder, plain).rows


def test_escapes(read: Read, conn_tsv: Make, cells: Make) -> None:
    data = conn_tsv(
        [cells(uid=r"a\\x41", history=r"\x2d", community_id=r"\xe2\x82\xac", service=r"x\x2cy")]
    )
    (row,) = read(TsvDecoder, data).rows
    assert row["uid"] == r"a\x41"
    assert row["history"] == "-"
    assert row["community_id"] == "€"
    assert row["service"] == "x,y"


@settings(max_examples=100)
@given(st.binary(max_size=30))
def test_unescape_undoes_zeeks_escaping(value: bytes) -> None:
    escaped = b"".join(
        b"\\\\" if c == 0x5C else bytes([c]) if 0x20 <= c < 0x7F else b"\\x%02x" % c for c in value
    )
    assert unescape(escaped) == value


def test_control_characters_stay_spelled_out(read: Read, conn_tsv: Make, cells: Make) -> None:
    data = conn_tsv([cells(uid=r"\x1b[31m", history="\x07", service="a\rb")])
    (row,) = read(TsvDecoder, data).rows
    assert (row["uid"], row["history"], row["service"]) == (r"\x1b[31m", r"\x07", r"a\x0db")


def test_service_is_a_set(read: Read, conn_tsv: Make, cells: Make) -> None:
    services = ["ssl,http", "http,ssl,http", "-ssl,dns", "-ssl", "(empty)", "smb,gssapi,ntlm"]
    rows = read(TsvDecoder, conn_tsv([cells(service=s) for s in services])).rows
    assert [row["service"] for row in rows] == [
        "http,ssl",
        "http,ssl",
        "dns",
        None,
        None,
        "gssapi,ntlm,smb",
    ]


BAD = {
    "ts": ["nan", "-1.0", "inf", "x", "1_0", "1e999", "9" * 200_000 + "x", "2026-02-29T10:00:00Z"],
    "id_orig_h": ["10.0.0.256", "010.0.0.1", "host", "fe80::1%eth0", "1.2.3", "10.0.0.1 "],
}
UNKNOWN = {
    "id_resp_p": ["65536", "-1", "80/tcp", "99999999999", "1.5", "0x10000"],
    "orig_bytes": ["-5", "1.5", "abc", "0xFFFFFFFFFFFFFFFF", "٣", "9" * 5000, "1e999", "F"],
    "duration": ["-0.1", "nan", "1,5", "inf", "10:00"],
}
GOOD: dict[str, list[tuple[str, Any]]] = {
    "ts": [
        ("631152000.0", 631152000.0),
        ("4070908800", 4070908800.0),
        ("1.0000004", 1.0),
        ("2026-11-23T10:30:47.098582Z", 1795429847.098582),
        ("2026-11-23 10:30:47", 1795429847.0),
        ("2026-11-23T12:30:47+02:00", 1795429847.0),
        ("1795429847098", 1795429847.098),
        ("1795429847098582", 1795429847.098582),
    ],
    "id_orig_h": [("2001:DB8::1", "2001:db8::1"), ("0:0:0:0:0:0:0:1", "::1")],
    "id_resp_p": [("0", 0), ("65535", 65535), ("-", None), ("443.0", 443)],
    "orig_bytes": [
        ("9223372036854775807", 2**63 - 1),
        ("-", None),
        ("", None),
        ("0" * 150 + "5", 5),
        ("1e3", 1000),
        ("+5", 5),
    ],
    "duration": [("0.000000", 0.0), ("-", None)],
}


@pytest.mark.parametrize("column", BAD)
def test_bad_values_drop_only_their_row(
    column: str, read: Read, conn_tsv: Make, cells: Make
) -> None:
    rows = [row for bad in BAD[column] for row in (cells(**{column: bad}), cells())]
    reading = read(TsvDecoder, conn_tsv(rows))
    expected = [(9 + 2 * i, "bad_value") for i in range(len(BAD[column]))]
    assert reading.reasons == expected
    assert [row["line"] for row in reading.rows] == [10 + 2 * i for i in range(len(BAD[column]))]


@pytest.mark.parametrize("column", UNKNOWN)
def test_what_is_not_understood_is_unknown_and_costs_no_flow(
    column: str, read: Read, conn_tsv: Make, cells: Make
) -> None:
    rows = [cells(**{column: text}) for text in UNKNOWN[column]]
    name = column.replace("id_", "id.")
    for record in rows:
        alone = read(TsvDecoder, conn_tsv([record]))
        assert [row[name] for row in alone.rows] == [None]
        assert alone.counters.values_unknown == {name: 1}
    together = read(TsvDecoder, conn_tsv(rows))
    assert not together.rejects
    assert together.counters.values_unknown == {name: len(rows)}


@pytest.mark.parametrize("column", GOOD)
def test_good_values(column: str, read: Read, conn_tsv: Make, cells: Make) -> None:
    rows = [cells(**{column: text}) for text, _ in GOOD[column]]
    name = column.replace("id_", "id.")
    assert [row[name] for row in read(TsvDecoder, conn_tsv(rows)).rows] == [
        value for _, value in GOOD[column]
    ]


def test_missing_required_values(read: Read, conn_tsv: Make, cells: Make) -> None:
    rows = [cells(ts="-"), cells(id_resp_h="-"), cells(proto="-"), cells(uid="-")]
    reading = read(TsvDecoder, conn_tsv(rows))
    assert reading.reasons == [(n, "missing_field") for n in (9, 10, 11)]
    assert reading.counters.accepted == 1


def test_each_bad_line_has_its_own_number_and_reason(
    read: Read, conn_tsv: Make, cells: Make
) -> None:
    rows = [
        cells(),
        ["short", "line"],
        [""],
        [*cells(), "one more"],
        [c.encode() for c in cells(uid="C2")[:1]] + [b"\xff\xfe", *cells()[2:]],
        cells(ts="x"),
        cells(uid="C3"),
    ]
    reading = read(TsvDecoder, conn_tsv(rows))
    assert reading.reasons == [
        (10, "column_count"),
        (12, "column_count"),
        (13, "bad_utf8"),
        (14, "bad_value"),
    ]
    assert [row["line"] for row in reading.rows] == [9, 15]
    assert reading.rejects[0][2] == b"short\tline"


def test_bad_utf8_in_an_unused_column_does_no_harm(read: Read, conn_tsv: Make, cells: Make) -> None:
    row = [c.encode() for c in cells()]
    row[19] = b"\xff"
    reading = read(TsvDecoder, conn_tsv([row, [b"short"]]))
    assert reading.counters.accepted == 1


def test_last_line_without_newline(read: Read, conn_tsv: Make, cells: Make) -> None:
    data = conn_tsv([cells(), cells(uid="C2")])
    assert read(TsvDecoder, data[:-1]).counters.accepted == 2
    cut = read(TsvDecoder, data[:-40])
    assert cut.reasons == [(10, "truncated")]
    assert cut.counters.truncated == ["test.log"]
    assert read(TsvDecoder, data + b"#clo").counters.records_read == 2


def test_quotes_are_nothing_special(read: Read, conn_tsv: Make, cells: Make) -> None:
    reading = read(TsvDecoder, conn_tsv([cells(uid='"a'), cells(uid='b"')]))
    assert [row["uid"] for row in reading.rows] == ['"a', 'b"']


CELL = st.one_of(
    st.text(st.characters(codec="ascii", exclude_characters="\t\n\r\0\\"), max_size=8),
    st.from_regex(r"\A[ +-]?[0-9]{1,20}(\.[0-9]{0,3})?(e[+-]?[0-9]{1,3})?[ ]?\Z"),
    st.sampled_from(["0x1F", "0XfFfF", "nan", "inf", "-inf", "-0", "007", "0x", ".5", "5."]),
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CELL, st.sampled_from(["ts", "duration", "orig_bytes", "id_resp_p", "id_orig_h", "uid"]))
def test_a_record_is_judged_alike_beside_a_broken_one(
    read: Read, conn_tsv: Make, cells: Make, cell: str, column: str
) -> None:
    row = cells(**{column: cell})
    if row[0].startswith("#"):
        return
    alone = read(TsvDecoder, conn_tsv([row]))
    beside = read(TsvDecoder, conn_tsv([row, ["broken"], cells(ts="x"), cells(orig_bytes="y")]))
    assert alone.rows == beside.rows[:-1]
    assert alone.reasons == [r for r in beside.reasons if r[0] == 9]
    assert alone.counters.values_unknown == beside.counters.values_unknown - Counter(orig_bytes=1)


CHANGED = st.dictionaries(
    st.sampled_from([0, 1, 2, 3, 8, 9, 19]),
    st.one_of(
        CELL.map(str.encode),
        st.sampled_from(
            [
                *(b"0" * 150 + end for end in (b"", b"5", b"5.5", b"x1f")),
                b"-" + b"0" * 150,
                *(b"9" * 99, b"9" * 101, b"9" * 5000, b"1e999", b"1e-999", b"0x" + b"f" * 16),
                *(
                    "٣".encode(),
                    b"\xff",
                    b"\xed\xa0\x80",
                    b"caf\xc3\xa9",
                    b"\\x5cx0a",
                    b"\\xff",
                    b"\\",
                ),
                *(b"-", b"(empty)", b"", b" -", b"\r", b"a\rb", b"\0", b"a\tb", b"\n", b"#close"),
            ]
        ),
    ),
    max_size=2,
)
BROKEN = st.sampled_from(
    [b"", b"\r", b"short\tline", b"#close\t1", b"#fields\tts\tuid", b"\t" * 20]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(CHANGED, CHANGED, BROKEN), min_size=1, max_size=5),
    st.lists(st.integers(0, 3000), max_size=3),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
)
@example([{9: b"0" * 150 + b"5"}, {9: b"y"}], [], b"\n", True)
def test_records_are_read_alike_however_the_log_is_cut(
    read_alike: Read,
    conn_tsv: Make,
    cells: Make,
    records: list[bytes | dict[int, bytes]],
    cuts: list[int],
    newline: bytes,
    ended: bool,
) -> None:
    lines = [conn_tsv([])]
    for record in records:
        if isinstance(record, dict):
            row = dict(enumerate(cell.encode() for cell in cells())) | record
            record = b"\t".join(row.values())
        lines.append(record + newline)
    data = b"".join(lines)
    read_alike(TsvDecoder, data if ended else data.removesuffix(newline), cuts)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_survived(read: Read, conn_tsv: Make, cells: Make, rubbish: bytes) -> None:
    read(TsvDecoder, rubbish)
    reading = read(TsvDecoder, conn_tsv([cells()]) + rubbish + b"\n")
    assert reading.counters.accepted >= 1


def test_hostile_headers_are_refused_not_obeyed(read: Read) -> None:
    wide = b"#fields\t" + b"\t".join(b"f%d" % i for i in range(5000)) + b"\nx\n"
    reading = read(TsvDecoder, b"#separator \\x0a\n#fields\nts\n" + wide)
    assert reading.counters.accepted == 0
