"""Which flows were seen from one side alone, and which only look like it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.line_splitter import LineSplitter
from zeekml.readers.flow_schema import FLOW_SCHEMA
from zeekml.readers.one_sided import FEW, STREAM, judged_sides, too_many
from zeekml.readers.rejects import ReadCounters, SourceAccount
from zeekml.readers.stream_reader import decoded, new_decoder


def flow(
    state: str | None = "SF", sent: int | None = 5, received: int | None = 4, **more: Any
) -> dict[str, Any]:
    row = {"ts": 1.0, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "proto": "tcp"}
    row |= {"sensor": "zeek", "source": "conn.log", "line": 1, "id.resp_p": 443}
    return row | {"conn_state": state, "orig_pkts": sent, "resp_pkts": received} | more


def judged(*rows: dict[str, Any]) -> list[bool]:
    found: list[bool] = judged_sides(pa.RecordBatch.from_pylist(list(rows), FLOW_SCHEMA)).tolist()
    return found


@pytest.mark.parametrize(
    "row",
    [
        flow("SH", 6, 0, history="SADF"),
        flow("SHR", 0, 5, history="^hadf"),
        flow("SHR", 0, 5, history="Chadf"),  # checksums of the originator's packets are wrong
        flow("RSTRH", 0, 3, history="^hr"),
        flow("RSTOS0", 2, 0, history="SR"),
        flow("OTH", 4, 0, history="SAFR"),
        flow("OTH", 0, 3, history="^hd"),
        flow("S0", 9, 0, history="SADc"),  # acknowledged what the sensor passed over
        flow("SH", 6, 0),
        flow("OTH", STREAM, 0, history="DA"),
        flow("OTH", 0, STREAM, history="^da"),
        # Suricata counts packets whose checksums are wrong, and takes no flags from them
        flow("SH", 6, 5, sensor="suricata"),
        flow("RSTOS0", 3, 2, sensor="suricata"),
        flow("RSTR", 0, STREAM, sensor="suricata"),
        flow("SHR", 0, 1, proto="udp", **{"id.resp_p": 53}),
    ],
)
def test_one_side_of_a_conversation(row: dict[str, Any]) -> None:
    assert judged(row) == [True]


@pytest.mark.parametrize(
    "row",
    [
        flow(history="ShADadFf"),
        flow("S0", 1, 0, history="S"),
        flow("S0", 3, 0, history="S"),  # and sent again
        flow("S0", 400, 0, history="S"),
        flow("S0", 9, 0, sensor="suricata"),
        flow("REJ", 0, 30, history="^r"),
        flow("OTH", 0, 5, history="^h"),  # what a victim of spoofed SYNs answers
        flow("RSTOS0", 1, 0, history="R"),
        flow("RSTOS0", 7, 0, history="DR"),  # sent again and again to a peer that is gone
        flow("RSTRH", 0, 2, history="^r"),
        flow("SH", 2, 0, history="F"),  # a FIN scan
        flow("OTH", 2, 0, history="A"),
        flow("RSTRH", 1, 1, history="Ar"),  # an ACK scan that is answered
        flow("SHR", 3, 5, history="^hadfA"),
        flow("RSTR", 0, 2, sensor="suricata"),
        flow("RSTR", 30, 30, sensor="suricata"),
        flow("SHR", 0, 9, sensor="suricata", proto="udp", **{"id.resp_p": 5353}),
        flow("S0", 40, 0, proto="udp"),
        flow(None, 1, 0),
    ],
)
def test_what_a_sensor_with_both_sides_sees(row: dict[str, Any]) -> None:
    assert judged(row) == [False]


@pytest.mark.parametrize(
    "row", [flow("SH", 6, None), flow("SH", None, 0), flow("OTH", 9, 0, proto="icmp")]
)
def test_what_cannot_be_told_is_not_judged(row: dict[str, Any]) -> None:
    assert judged(row) == []


def test_a_share_is_judged_of_enough_flows() -> None:
    assert not too_many(FEW - 1, FEW - 1)
    assert not too_many(10, FEW)
    assert too_many(11, FEW)
    assert not too_many(0, 0)


STATES = ["SF", "S0", "S1", "REJ", "SH", "SHR", "RSTOS0", "RSTRH", "RSTR", "OTH"]
rows = st.builds(
    flow,
    st.sampled_from(STATES),
    st.sampled_from([None, 0, 1, 2, STREAM]),
    st.sampled_from([None, 0, 1, 2, STREAM]),
    proto=st.sampled_from(["tcp", "udp", "icmp"]),
    history=st.sampled_from([None, "S", "^h", "^hadf", "SADF", "DR", "ShADadFf"]),
)


@given(st.lists(rows, min_size=1, max_size=40), st.lists(st.integers(0, 40)))
def test_each_flow_is_judged_by_itself(drawn: list[dict[str, Any]], cuts: list[int]) -> None:
    batch = pa.RecordBatch.from_pylist(drawn, FLOW_SCHEMA)
    edges = sorted({0, len(drawn), *(min(cut, len(drawn)) for cut in cuts)})
    pieces = [batch.slice(a, b - a) for a, b in pairwise(edges)]
    whole = judged_sides(batch).tolist()
    assert [side for piece in pieces for side in judged_sides(piece).tolist()] == whole


@given(st.lists(rows, max_size=30), st.integers(1, 400))
def test_readers_count_them_however_the_log_is_cut(drawn: list[dict[str, Any]], size: int) -> None:
    log = b"".join(json.dumps(row).encode() + b"\n" for row in drawn)
    counters = ReadCounters()
    account = SourceAccount("conn.log", counters, None)
    decoder = new_decoder(Kind.ZEEK_JSON, account, memory=FlowMemory())
    splitter = LineSplitter()
    chunks = [log[at : at + size] for at in range(0, len(log), size)]
    items = [item for chunk in chunks for item in splitter.feed(chunk)]
    for item in [*items, *splitter.finish()]:
        list(decoded(item, decoder, account))
    sides = judged(*drawn)
    assert (counters.one_sided, counters.sides_known) == (sum(sides), len(sides))
    merged = ReadCounters(one_sided=3, sides_known=4)
    merged.merge(counters)
    assert (merged.one_sided, merged.sides_known) == (3 + sum(sides), 4 + len(sides))
