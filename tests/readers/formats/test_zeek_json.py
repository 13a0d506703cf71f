from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from log_bytes import jsonl

from zeekml.readers.formats.zeek_header import ZEEK_LOGS
from zeekml.readers.formats.zeek_json import TYPE_FIELDS, ZeekJsonDecoder
from zeekml.readers.rejects import SourceAccount

Read = Callable[..., Any]

RECORD: dict[str, Any] = {
    "ts": 1795429847.098582,
    "uid": "C3o3nb3TK9OZxfaAef",
    "id.orig_h": "10.20.1.21",
    "id.orig_p": 39852,
    "id.resp_h": "10.20.0.10",
    "id.resp_p": 443,
    "proto": "tcp",
    "service": "ssl",
    "duration": 0.006433010101318359,
    "orig_bytes": 1241,
    "resp_bytes": 15503,
    "conn_state": "SF",
    "missed_bytes": 0,
    "history": "ShADadFf",
    "orig_pkts": 17,
    "orig_ip_bytes": 2133,
    "resp_pkts": 16,
    "resp_ip_bytes": 16343,
}


DNS = {"ts": 1.0, "uid": "C1", "id.orig_h": "10.0.0.1", "proto": "udp", "query": "a.test"}


def without(*names: str, **more: Any) -> dict[str, Any]:
    return {**{k: v for k, v in RECORD.items() if k not in names}, **more}


def with_number(name: str, number: str, **more: Any) -> bytes:
    """One record with a number that Python itself would not write."""
    return jsonl({**RECORD, **more, name: -12321})[:-1].replace(b"-12321", number.encode())


def test_lab_log(read: Read, office_json: bytes) -> None:
    reading = read(ZeekJsonDecoder, office_json)
    assert reading.counters.accepted == 324
    assert not reading.rejects
    assert {row["sensor"] for row in reading.rows} == {"zeek"}


def test_values(read: Read) -> None:
    (row,) = read(ZeekJsonDecoder, jsonl(RECORD)).rows
    assert row["duration"] == 0.006433
    assert row["id.resp_p"] == 443
    assert row["community_id"] is None and row["signatures"] is None
    assert row["line"] == 1


@pytest.mark.parametrize(
    "value",
    [
        1795429847.098582,
        1795429847098.582,
        "1795429847098.582",
        1795429847098582,
        1795429847098582000,
        "1795429847.098582",
        "2026-11-23 10:30:47.098582",
        "2026-11-23T10:30:47.098582Z",
        "2026-11-23T10:30:47.098582",
        "2026-11-23T12:30:47.098582+0200",
        1795429847.09858208,
    ],
)
def test_all_spellings_of_one_time(read: Read, value: float | str) -> None:
    (row,) = read(ZeekJsonDecoder, jsonl({**RECORD, "ts": value})).rows
    assert row["ts"] == 1795429847.098582


def test_underscored_names(read: Read) -> None:
    record = {k.replace("id.", "id_"): v for k, v in RECORD.items()}
    plain, underscored = (
        read(ZeekJsonDecoder, jsonl(RECORD)),
        read(ZeekJsonDecoder, jsonl(record)),
    )
    assert plain.rows == underscored.rows


def test_addresses_in_an_object_of_their_own(read: Read) -> None:
    ids = {k.removeprefix("id."): v for k, v in RECORD.items() if k.startswith("id.")}
    record = {**without(*(f"id.{k}" for k in ids)), "id": {**ids, "other": [1, {"orig_h": 7}]}}
    plain, nested = (
        read(ZeekJsonDecoder, jsonl(RECORD)),
        read(ZeekJsonDecoder, jsonl(record)),
    )
    assert plain.rows == nested.rows
    # what stands beside the record goes first, and each value is looked for by itself
    mixed = {**RECORD, "id.orig_p": None, "id": {"orig_p": 5, "resp_p": 6}}
    (row,) = read(ZeekJsonDecoder, jsonl(mixed)).rows
    assert (row["id.orig_p"], row["id.resp_p"]) == (5, 443)
    # and the name may mean something else
    for other in (7, "a", [1], None, True, {"orig_h": "10.9.9.9"}):
        (row,) = read(ZeekJsonDecoder, jsonl({**RECORD, "id": other})).rows
        assert row["id.orig_h"] == "10.20.1.21"


def test_integers_given_as_floats(read: Read) -> None:
    record = {**RECORD, "orig_pkts": 17.0, "id.orig_p": 39852.0}
    (row,) = read(ZeekJsonDecoder, jsonl(record)).rows
    assert (row["orig_pkts"], row["id.orig_p"]) == (17, 39852)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("orig_bytes", "9223372036854775808"),
        ("orig_bytes", "18446744073709551621"),
        ("orig_bytes", "9" * 5000),
        ("orig_bytes", "-1"),
        ("orig_bytes", "1.5"),
        ("orig_bytes", '"many"'),
        ("resp_pkts", '{"n": 5}'),
        ("resp_pkts", "[5]"),
        ("resp_pkts", "true"),
        ("id.orig_p", "65536"),
        ("id.orig_p", "1099511627776"),
        ("id.orig_p", '"https"'),
        ("duration", "-0.001"),
        ("duration", "-1e999"),
        ("duration", '"soon"'),
        ("duration", "1e15"),
        ("uid", "1e999"),
        ("uid", "[]"),
        ("uid", "1.5"),
        ("conn_state", "false"),
        ("history", '{"a": 1e999}'),
        ("community_id", '["1:a"]'),
        ("service", "[1.5]"),
        ("service", '{"ssl": 1}'),
    ],
)
def test_what_is_not_understood_is_unknown_and_costs_no_flow(
    read: Read, name: str, number: str
) -> None:
    reading = read(ZeekJsonDecoder, jsonl(RECORD, with_number(name, number), RECORD))
    assert not reading.rejects
    first, row, _ = reading.rows
    assert row == {**first, name: None, "line": 2}
    assert reading.counters.values_unknown == {name: 1}


def test_values_of_a_rejected_record_are_not_counted(read: Read) -> None:
    data = jsonl({**RECORD, "ts": "x", "orig_bytes": "many"}, {**RECORD, "duration": "x"})
    reading = read(ZeekJsonDecoder, data)
    assert reading.reasons == [(1, "bad_value")]
    assert reading.counters.values_unknown == {"duration": 1}


@pytest.mark.parametrize("unset", ["", "-", "(empty)", " "])
def test_a_text_that_says_there_is_no_number(read: Read, unset: str) -> None:
    reading = read(ZeekJsonDecoder, jsonl({**RECORD, "duration": unset, "resp_bytes": unset}))
    assert [(row["duration"], row["resp_bytes"]) for row in reading.rows] == [(None, None)]
    assert not reading.counters.values_unknown
    assert read(ZeekJsonDecoder, jsonl({**RECORD, "ts": unset})).reasons == [(1, "missing_field")]


@pytest.mark.parametrize("unset", ["", "-", "(empty)"])
@pytest.mark.parametrize("beside", [{}, {"note": "\u00e9"}], ids=["plain", "parsed"])
def test_a_text_that_says_there_is_no_text(read: Read, unset: str, beside: Any) -> None:
    names = ("uid", "conn_state", "history", "community_id", "service")
    record = {**RECORD, **dict.fromkeys(names, unset), **beside}
    reading = read(ZeekJsonDecoder, jsonl(record, RECORD))
    row, whole = reading.rows
    assert row == {**whole, **dict.fromkeys(names), "line": 1}
    assert not reading.counters.values_unknown
    for name in ("id.orig_h", "id.resp_h", "proto"):
        gone = read(ZeekJsonDecoder, jsonl({**RECORD, name: unset, **beside}))
        assert gone.reasons == [(1, "missing_field")]


def test_numbers_given_as_texts(read: Read) -> None:
    texts = {k: str(v) if isinstance(v, int | float) else v for k, v in RECORD.items()}
    plain, quoted = (
        read(ZeekJsonDecoder, jsonl(RECORD)),
        read(ZeekJsonDecoder, jsonl(texts)),
    )
    assert plain.rows == quoted.rows
    floats = {k: f"{v}.0" if isinstance(v, int) else v for k, v in RECORD.items()}
    assert read(ZeekJsonDecoder, jsonl(floats)).rows == plain.rows


@pytest.mark.parametrize("service", ["ssl,http", ["http", "ssl"], ["ssl", "http", "ssl"]])
def test_service_as_text_or_list(read: Read, service: Any) -> None:
    (row,) = read(ZeekJsonDecoder, jsonl({**RECORD, "service": service})).rows
    assert row["service"] == "http,ssl"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({**RECORD, "id.orig_h": "nowhere"}, "bad_value"),
        ({**RECORD, "ts": "yesterday"}, "bad_value"),
        ({**RECORD, "ts": -5}, "bad_value"),
        ({**RECORD, "ts": 1e20}, "bad_value"),
        ({**RECORD, "ts": [1795429847]}, "bad_value"),
        ({**RECORD, "id.resp_h": {"ip": "10.0.0.1"}}, "bad_value"),
        ({**RECORD, "id.orig_h": 167772161}, "bad_value"),
        ({**RECORD, "proto": ["tcp"]}, "bad_value"),
        ({**RECORD, "ts": True}, "bad_value"),
        (with_number("ts", "1e999"), "bad_value"),
        (with_number("ts", "9" * 400 + ".5"), "bad_value"),
        # grammar comes first, then encoding, then values
        (with_number("ts", "1e999") + b"}", "bad_json"),
        (with_number("ts", "1e999").replace(b"ShADadFf", b"\xff"), "bad_utf8"),
        (with_number("ts", "1.e999").replace(b"ShADadFf", b"\xff"), "bad_json"),
        (without("ts"), "missing_field"),
        (without("id.resp_h"), "missing_field"),
        (without("proto"), "missing_field"),
        (b"[1, 2]", "bad_json"),
        (b'"text"', "bad_json"),
        (b'{"ts": 1', "bad_json"),
        (b'{"ts": NaN}', "bad_json"),
        (b"[" * 5000, "bad_json"),
        (jsonl(RECORD)[:-1] + b"xyz", "bad_json"),
        (jsonl(RECORD)[:-1].replace(b"ShADadFf", b"\xff"), "bad_utf8"),
    ],
)
def test_bad_records_drop_alone(read: Read, record: Any, reason: str) -> None:
    reading = read(ZeekJsonDecoder, jsonl(RECORD, record, RECORD))
    assert reading.reasons == [(2, reason)]
    assert [row["line"] for row in reading.rows] == [1, 3]


def test_null_and_absent_are_the_same(read: Read) -> None:
    absent = read(ZeekJsonDecoder, jsonl(without("service", "duration"))).rows
    null = read(ZeekJsonDecoder, jsonl({**RECORD, "service": None, "duration": None})).rows
    assert absent == null
    assert absent[0]["service"] is None


def test_other_types_in_one_file_are_skipped_by_type(read: Read) -> None:
    data = jsonl(
        {**RECORD, "_path": "conn", "_write_ts": 1795429850.0},
        {**DNS, "_path": "dns"},
        {"@stream": "capture_loss", "ts": 1.0, "gaps": 2},
        # a type that uses a conn field's name for something else
        {"_path": "weird", "ts": 1.0, "service": 5},
        {**RECORD, "_path": "open_conn"},
        DNS,
        {"ts": 1.0, "fuid": "F1", "duration": 0.5},
    )
    reading = read(ZeekJsonDecoder, data)
    assert reading.counters.skipped == {
        "dns": 1,
        "capture_loss": 1,
        "weird": 1,
        "open_conn": 1,
        "other": 2,
    }
    assert reading.counters.accepted == 1


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(TYPE_FIELDS),
        st.sampled_from(["conn", "dns", "conn_long", "zeek_conn", "conn_eno2", "x509", "", None]),
        max_size=4,
    ),
    st.sampled_from([RECORD, without("conn_state", "history"), DNS]),
)
@example({"log_type": "connections"}, RECORD)
def test_a_type_counts_only_if_it_is_one_of_zeeks_logs(
    read: Read, parser_only: Any, types: dict[str, str | None], record: dict[str, Any]
) -> None:
    data = jsonl({**record, **types})
    told = [types[f] for f in TYPE_FIELDS if types.get(f) in ZEEK_LOGS]
    reading = read(ZeekJsonDecoder, data)
    if not told:
        assert reading.counters.accepted == ("query" not in record)
    elif told[0] == "conn":
        assert reading.counters.accepted + sum(reading.counters.rejected.values()) == 1
    else:
        assert reading.counters.skipped == {told[0]: 1}
    with parser_only():
        assert read(ZeekJsonDecoder, data).counters == reading.counters


def test_numbers_of_any_size_in_what_is_not_read(read: Read) -> None:
    data = [
        with_number("other", "1e999"),
        with_number("other", "9" * 5000, history="caf\u00e9"),
        with_number("ts", "1e999", _path="dns"),
    ]
    reading = read(ZeekJsonDecoder, jsonl(*data))
    assert reading.counters.accepted == 2
    assert reading.counters.skipped == {"dns": 1}


def test_blank_lines_do_not_count(read: Read) -> None:
    reading = read(ZeekJsonDecoder, b"\n  \n" + jsonl(RECORD) + b"\r\n\n" + jsonl(RECORD))
    assert [row["line"] for row in reading.rows] == [3, 6]
    assert reading.counters.records_read == 2


def test_last_line_without_newline(read: Read) -> None:
    data = jsonl(RECORD, RECORD)
    assert read(ZeekJsonDecoder, data[:-1]).counters.accepted == 2
    cut = read(ZeekJsonDecoder, data[:-9])
    assert cut.reasons == [(2, "truncated")]
    assert cut.counters.truncated == ["test.log"]
    whole = read(ZeekJsonDecoder, with_number("ts", "1e999"))
    assert whole.reasons == [(1, "bad_value")]
    assert not whole.counters.truncated


def test_originals_are_the_lines(read: Read) -> None:
    def make(account: SourceAccount) -> ZeekJsonDecoder:
        return ZeekJsonDecoder(account, keep_originals=True)

    extra = {**RECORD, "my_field": [1, 2]}
    reading = read(make, jsonl(RECORD, without("ts"), extra))
    assert [json.loads(row["original"]) for row in reading.rows] == [RECORD, extra]


def test_control_characters_are_spelled_out(read: Read) -> None:
    record = {**RECORD, "uid": "\x1b[2J", "history": "caf\u00e9\u009b"}
    (row,) = read(ZeekJsonDecoder, jsonl(record)).rows
    assert (row["uid"], row["history"]) == (r"\x1b[2J", r"café\x9b")


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*RECORD, "_path"]), JSON_VALUES)
def test_any_value_is_survived(read: Read, name: str, value: Any) -> None:
    reading = read(ZeekJsonDecoder, jsonl(RECORD, {**RECORD, name: value}))
    assert reading.counters.records_read == 2


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_survived(read: Read, rubbish: bytes) -> None:
    reading = read(ZeekJsonDecoder, rubbish + b"\n" + jsonl(RECORD))
    assert reading.counters.accepted >= 1
