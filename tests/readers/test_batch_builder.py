from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.readers.batch_builder import (
    are_dotted_quads,
    build_batch,
    canonical_address,
    clean_text,
    flow_end,
    is_conn_record,
    normal_service,
    to_microseconds,
)
from zeekml.readers.flow_schema import FLOW_SCHEMA, ZEEK
from zeekml.readers.rejects import ReadCounters, SourceAccount


@settings(max_examples=200)
@given(st.ip_addresses())
def test_addresses_have_one_spelling(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    spelled = canonical_address(str(address))
    assert spelled is not None
    assert canonical_address(address.exploded) == spelled
    assert canonical_address(address.exploded.upper()) == spelled
    assert ipaddress.ip_address(spelled) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "256.1.1.1",
        "a.b.c.d",
        ":::",
        "fe80::1%eth0",
        "1.2.3.4\0",
        "1" * 5000,
        ":" * 5000,
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert canonical_address(text) is None


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.ip_addresses().map(str),
            st.from_regex(r"[0-9]{1,4}(\.[0-9]{0,3}){2,4}", fullmatch=True),
            st.text("0129.: ", max_size=16),
        )
    ),
    st.integers(0, 3),
)
def test_dotted_quads_are_ipv4_in_its_one_spelling(texts: list[str | None], skip: int) -> None:
    expected = [t is not None and ":" not in t and canonical_address(t) == t for t in texts]
    found = are_dotted_quads(pa.array(texts, pa.string()).slice(skip))
    assert found.tolist() == expected[skip:]


@settings(max_examples=100)
@given(st.text(max_size=20))
def test_addresses_survive_any_text(text: str) -> None:
    spelled = canonical_address(text)
    assert spelled is None or canonical_address(spelled) == spelled


@settings(max_examples=300)
@given(st.integers(0, 4_102_444_800_000_000))
def test_rounding_gives_back_what_six_decimals_say(microseconds: int) -> None:
    # all times until 2100, read from text
    text = f"{microseconds // 10**6}.{microseconds % 10**6:06d}"
    value = float(text)
    rounded = to_microseconds(np.array([value]))[0]
    assert rounded == value
    assert to_microseconds(np.array([rounded]))[0] == rounded


def test_service_and_text() -> None:
    assert normal_service("ssl, http,,ssl") == "http,ssl"
    assert normal_service("-ssl") is None
    assert clean_text("a\x00\x1f\x7f\x85é€") == r"a\x00\x1f\x7f\x85é€"


def test_conn_records_are_told_from_others() -> None:
    assert is_conn_record({"ts": 1, "conn_state": "SF"})
    assert is_conn_record({"proto": "tcp", "duration": 1})
    assert not is_conn_record({"proto": "udp", "query": "a", "rtt": 1})
    assert not is_conn_record({"duration": 1, "fuid": "F"})


def make(columns: dict[str, Any], **more: Any) -> tuple[pa.RecordBatch | None, ReadCounters]:
    counters = ReadCounters()
    n = len(next(iter(columns.values())))
    typed = {k: pa.array(v, FLOW_SCHEMA.field(k).type) for k, v in columns.items()}
    excerpt: Callable[[int], bytes] = lambda row: b"row"  # noqa: E731
    batch = build_batch(
        typed,
        np.arange(1, n + 1, dtype=np.int64),
        sensor=ZEEK,
        account=SourceAccount("f", counters, None),
        excerpt=excerpt,
        **more,
    )
    return batch, counters


GOOD = {"ts": [1.0, 2.0], "id.orig_h": ["10.0.0.1"] * 2, "id.resp_h": ["::1"] * 2}


def test_absent_columns_are_null_and_the_schema_is_whole() -> None:
    batch, counters = make({**GOOD, "proto": ["TCP", "udp"]})
    assert batch is not None
    assert batch.schema == FLOW_SCHEMA
    assert batch.column("proto").to_pylist() == ["tcp", "udp"]
    assert batch.column("duration").null_count == 2
    assert (counters.first_ts, counters.last_ts) == (1.0, 2.0)


def test_a_missing_required_column_rejects_all() -> None:
    batch, counters = make(GOOD)
    assert batch is None
    assert counters.rejected == {"missing_field": 2}


def test_flow_end_takes_the_start_where_no_duration_is_known() -> None:
    batch, _ = make({**GOOD, "proto": ["tcp", "udp"], "duration": [None, 0.5]})
    assert batch is not None
    assert flow_end(batch).tolist() == [1.0, 2.5]


def test_protocols_by_other_names_and_numbers() -> None:
    protos = ["6", "17", "1", "58", "6.0", "IPv6-ICMP", "icmp6", " Tcp ", "sctp", "132", ""]
    n = len(protos)
    columns = {"ts": [1.0] * n, "id.orig_h": ["::1"] * n, "id.resp_h": ["::2"] * n}
    batch, counters = make({**columns, "proto": protos})
    assert batch is not None
    names = ["tcp", "udp", "icmp", "icmp", "tcp", "icmp", "icmp", "tcp", "sctp", "132"]
    assert batch.column("proto").to_pylist() == names
    assert counters.rejected == {"missing_field": 1}
