from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import discover
from zeekml.readers.formats.zeek_json import ZeekJsonDecoder
from zeekml.readers.formats.zeek_tsv import TsvDecoder
from zeekml.readers.values import (
    MAX_COUNT,
    RAW_TYPES,
    RECORD_COLUMNS,
    UNREADABLE,
    epoch_seconds,
    read_column,
    read_count,
    read_number,
    read_port,
    read_set,
    read_text,
    read_time,
    understood,
)

Read = Callable[..., Any]
Make = Callable[..., Any]

FORMS: list[Any] = [str, "{}.0".format, hex]  # of whole numbers, as texts


def test_units_of_times() -> None:
    given = np.array([99_999_999_999, 1e11, 1e14, 1e17, 1e20, np.inf, np.nan, -1.0])
    found = epoch_seconds(given)
    assert found.tolist()[:6] == [99_999_999_999.0, 1e8, 1e8, 1e8, np.inf, np.inf]
    assert np.isnan(found[6]) and found[7] == -1.0
    np.testing.assert_array_equal(epoch_seconds(found), found)


@settings(max_examples=300)
@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2250, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["T", " ", "t"]),
    st.sampled_from(["%z", "%:z", " %z", "", "Z", "z", " UTC"]),
)
def test_times_in_iso_8601(moment: datetime, minutes: int, between: str, zone: str) -> None:
    named = "%" in zone
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)) if named else UTC)
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    spelled = zone.replace("%:z", offset).replace("%z", offset.replace(":", ""))
    text = moment.isoformat().replace("T", between) + spelled
    assert read_time(text) == aware.timestamp()


@settings(max_examples=200)
@given(st.integers(0, 2**31), st.integers(0, 999_999))
def test_one_time_in_all_units(seconds: int, micros: int) -> None:
    seconds += 10**9
    expected = seconds + micros / 1e6
    for value in (
        f"{seconds}.{micros:06}",
        seconds * 10**6 + micros,
        (seconds * 10**6 + micros) * 1000,
        str(seconds * 10**6 + micros),
        (seconds * 10**6 + micros) / 1e3,
        Decimal(f"{seconds}.{micros:06}"),
    ):
        assert read_time(value) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "soon",
            "nan",
            "inf",
            "1900-01-00T00:00:00Z",
            "2026-11",
            "2026-11-23 +01",
            "12:30",
            "1_0",
            "٣",
        ),
        *("9999-01-01T00:00:00Z", "2026-11-23T10:30:47" + "0" * 60, "0x1f", "1" * 500_000 + "x"),
        *(True, [1], {"ts": 1}, b"1", 10**400, UNREADABLE),
    ],
)
def test_what_is_no_time(value: Any) -> None:
    assert understood(read_time, value) is UNREADABLE


def test_numbers() -> None:
    for text, number in [
        (" 5\t", 5),
        ("-0", 0),
        ("007", 7),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("9223372036854775807", MAX_COUNT),
        ("-", None),
        ("", None),
    ]:
        assert read_number(text) == number
    assert [read_port(v) for v in ("0x1bb", "443", "443.0", 443.0, 443)] == [443] * 5
    for value in ("65536", -1, 80.5, "80/tcp", "0x10000", True, float("nan"), float("inf")):
        assert understood(read_port, value) is UNREADABLE
    assert read_count(2**63 - 1) == 2**63 - 1
    for value in (2**63, 9.3e18, "9223372036854775808", "0xFFFFFFFFFFFFFFFF", "9" * 5000):
        assert understood(read_count, value) is UNREADABLE


def test_texts_and_sets() -> None:
    assert [read_text(v) for v in ("a", 7, -7, 1e15)] == ["a", "7", "-7", "1000000000000000"]
    assert read_set(["ssl", 5]) == "ssl,5" and read_set([]) == ""
    values: tuple[Any, ...] = (1.5, True, ["a"], {}, 1e300)
    for value in values:
        assert understood(read_text, value) is UNREADABLE


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.integers(-5, 70_000).map(str),
        st.floats(0, 1e19).map(str),
        st.sampled_from(["-", "", " ", "0x1F", "2026-11-23T10:30:47Z", "\ud800", "1e999"]),
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=3,
)


@settings(max_examples=300)
@given(st.sampled_from(RECORD_COLUMNS), st.lists(VALUES, max_size=5))
def test_a_value_does_not_depend_on_the_others(name: str, values: list[Any]) -> None:
    column, unread = read_column(name, values)
    assert column.type == RAW_TYPES[name] and len(column) == len(unread) == len(values)
    for i, value in enumerate(values):
        alone, wrong = read_column(name, [value, UNREADABLE])
        # whether in range is the business of build_batch; it takes NaN for no time or duration
        one, other = column[i].as_py(), alone[0].as_py()
        assert one == other or one != one or (one is not None and not 0 <= one <= 65535)
        if value is None:
            assert one is None and not unread[i]
        if wrong[0]:
            assert other is None


RECORDS = st.fixed_dictionaries(
    {
        "ts": st.integers(10**15, 2 * 10**15),
        "orig_p": st.integers(0, 65535),
        "orig_bytes": st.none() | st.integers(0, 2**53),
        "duration": st.none() | st.integers(0, 10**12),
        "service": st.none() | st.lists(st.sampled_from(["ssl", "http", "dns"]), min_size=1),
        "bad": st.sampled_from([None, None, "orig_pkts", "duration", "id.resp_p"]),
    }
)


def _spelled(record: dict[str, Any], draw: st.DataObject) -> dict[str, Any]:
    """One record as texts, each value in any of the ways in use."""
    ts = record["ts"]
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=ts)
    pick = draw.draw
    out: dict[str, Any] = {
        "ts": pick(
            st.sampled_from(
                [
                    f"{ts // 10**6}.{ts % 10**6:06}",
                    str(ts),
                    moment.isoformat(),
                    moment.replace(tzinfo=None).isoformat(" "),
                    moment.strftime("%Y-%m-%dT%H:%M:%S.%f+0000"),
                    moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                ]
            )
        ),
        "id.orig_h": "10.0.0.1",
        "id.orig_p": pick(st.sampled_from(FORMS))(record["orig_p"]),
        "id.resp_h": "2001:DB8::1",
        "id.resp_p": "443",
        "proto": "TCP",
        "conn_state": "SF",
    }
    if record["orig_bytes"] is not None:
        out["orig_bytes"] = pick(st.sampled_from(FORMS[:2]))(record["orig_bytes"])
    if record["duration"] is not None:
        out["duration"] = f"{record['duration'] // 10**6}.{record['duration'] % 10**6:06}"
    if record["service"] is not None:
        out["service"] = ",".join(record["service"])
    if record["bad"] is not None:
        out[record["bad"]] = pick(st.sampled_from(["x", "-1", "1e999", "5;6", "nan"]))
    return out


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(RECORDS, min_size=1, max_size=5), st.data())
def test_all_readers_take_the_same_liberties(
    read: Read, conn_tsv: Make, tmp_path: Path, records: list[dict[str, Any]], data: st.DataObject
) -> None:
    spelled = [_spelled(record, data) for record in records]
    names = [name for name in RECORD_COLUMNS if any(name in record for record in spelled)]
    tsv = read(
        TsvDecoder,
        conn_tsv(
            [[record.get(name, "-") for name in names] for record in spelled],
            fields=" ".join(names),
            types=" ".join(["string"] * len(names)),
        ),
    )
    js = read(ZeekJsonDecoder, "".join(json.dumps(r) + "\n" for r in spelled).encode())
    path = tmp_path / "flows.parquet"
    pq.write_table(pa.table({n: [r.get(n) for r in spelled] for n in names}), path)
    counters = type(tsv.counters)()
    (stream,) = discover([path]).streams
    table = [row for b in read_stream(stream, counters=counters) for row in b.to_pylist()]

    def flows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        place = ("source", "line", "sensor")
        return [{k: v for k, v in row.items() if k not in place} for row in rows]

    table.sort(key=lambda row: row["line"])
    assert len(tsv.rows) == len(records)
    assert flows(tsv.rows) == flows(js.rows) == flows(table)
    assert tsv.counters.values_unknown == js.counters.values_unknown == counters.values_unknown
    bad = [record["bad"] for record in records if record["bad"] is not None]
    assert sum(tsv.counters.values_unknown.values()) == len(bad)
    for row, record in zip(tsv.rows, records, strict=True):
        assert row["ts"] == record["ts"] / 1e6
        assert row["id.orig_p"] == record["orig_p"]
