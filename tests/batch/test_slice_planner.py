"""Slices with their warm-up give bit for bit what the whole stream gives, wherever they begin."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.batch.slice_planner import Run, Slice, SlicePlanner
from zeekml.features.extractor import FeatureExtractor
from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import discover
from zeekml.readers.flow_schema import FLOW_SCHEMA
from zeekml.readers.stream_clock import flow_ends

TSV = Path(__file__).parent.parent.parent / "sample_logs" / "zeek_tsv" / "conn.log"
NOON = 1_795_435_200.0
# a step to the next record, and damage: times far off that one, two or three records claim
ORDINARY = [0.0, 0.5, 7.0, 90.0, 200.0, 290.0]
OFF = {"1990": 631_152_000.0, "2099": 4_070_908_800.0}


@st.composite
def times(draw: st.DrawFn) -> list[float]:
    now, made = NOON, []
    for _ in range(draw(st.integers(1, 25))):
        for _ in range(draw(st.integers(1, 12))):
            now += draw(st.sampled_from(ORDINARY))
            made.append(now)
        kind = draw(st.sampled_from(["none", "1990", "2099", "+400", "+10000", "back"]))
        if kind == "none":
            continue
        ahead = {"+400": 400.0, "+10000": 10_000.0, "back": -5_000.0}
        claimed = OFF[kind] if kind in OFF else now + ahead[kind]
        made += [claimed] * draw(st.integers(1, 3))
        if kind.startswith("+") and draw(st.booleans()):
            now = claimed
    if draw(st.booleans()):
        made = [OFF[draw(st.sampled_from(list(OFF)))]] * draw(st.integers(1, 3)) + made
    return made


def flows_at(seconds: Sequence[float]) -> pa.RecordBatch:
    hosts = np.random.default_rng(len(seconds)).integers(1, 5, (2, len(seconds)))
    rows: list[dict[str, Any]] = [
        {
            "ts": ts,
            "id.orig_h": f"10.0.0.{hosts[0, i]}",
            "id.resp_h": f"192.0.2.{hosts[1, i]}",
            "id.resp_p": (53, 80, 443)[i % 3],
            "proto": "tcp",
            "conn_state": "S0" if i % 4 == 0 else "SF",
            "orig_pkts": 1 + i % 3,
            "resp_pkts": i % 3,
            "orig_ip_bytes": 40 + 7 * i,
            "resp_ip_bytes": 80 + i,
            "sensor": "zeek",
            "source": "conn.log",
            "line": i + 1,
        }
        for i, ts in enumerate(seconds)
    ]
    return pa.Table.from_pylist(rows, schema=FLOW_SCHEMA).combine_chunks().to_batches()[0]


def cut(flows: pa.RecordBatch, places: Sequence[int]) -> list[pa.RecordBatch]:
    edges = sorted({0, len(flows), *(p for p in places if 0 < p < len(flows))})
    return [flows.slice(a, b - a) for a, b in pairwise(edges)]


def planned(batches: Sequence[pa.RecordBatch], target: int, max_records: int) -> list[Slice]:
    """Plan with three batches to a decoded part."""
    planner = SlicePlanner(target, max_records)
    slices: list[Slice] = []
    for start in range(0, len(batches), 3):
        part = batches[start : start + 3]
        slices += planner.add(Path(str(start)), map(flow_ends, part))
    return [*slices, *planner.finish()]


def taken(batches: Sequence[pa.RecordBatch], runs: Sequence[Run]) -> list[pa.RecordBatch]:
    return [batches[int(run.directory.name) + i] for run in runs for i in range(run.begin, run.end)]


def check(batches: Sequence[pa.RecordBatch], target: int, max_records: int) -> list[Slice]:
    whole = FeatureExtractor(max_records=max_records)
    expected = [whole.transform(batch) for batch in batches]
    slices = planned(batches, target, max_records)
    matrix, clock, evicted, late = [], [], 0, 0
    for piece in slices:
        extractor = FeatureExtractor(max_records=max_records, clock=piece.clock)
        extractor.warm_up(taken(batches, piece.warm_up))
        assert extractor.context.clock == piece.start
        assert (extractor.context.evicted, extractor.context.late) == (0, 0)
        own = taken(batches, piece.own)
        assert piece.rows == sum(map(len, own))
        for batch in own:
            features = extractor.transform(batch)
            matrix.append(features.matrix)
            clock.append(features.clock)
        evicted += extractor.context.evicted
        late += extractor.context.late
    assert np.concatenate(matrix).tobytes() == b"".join(e.matrix.tobytes() for e in expected)
    assert np.concatenate(clock).tobytes() == b"".join(e.clock.tobytes() for e in expected)
    assert (evicted, late) == (whole.context.evicted, whole.context.late)
    return slices


@settings(max_examples=60)
@given(
    times(),
    st.one_of(st.just(1), st.integers(1, 40)),
    st.integers(1, 60),
    st.sampled_from([1, 2, 7, 30, 10_000]),
    st.integers(0, 3),
)
def test_slices_of_damaged_streams(
    seconds: list[float], batch_rows: int, target: int, max_records: int, shift: int
) -> None:
    flows = flows_at(seconds)
    places = range(shift, len(flows), batch_rows)
    check(cut(flows, places), target, max_records)


@pytest.mark.parametrize("damage", [*OFF.values(), NOON + 1400.0, NOON + 11_000.0])
@pytest.mark.parametrize("in_a_row", [1, 2, 3])
@pytest.mark.parametrize("offset", [-3, -2, -1, 0, 1])
def test_damage_exactly_where_a_slice_begins(damage: float, in_a_row: int, offset: int) -> None:
    seconds = [NOON + 10.0 * i for i in range(200)]
    at = 100 + offset
    seconds[at:at] = [damage] * in_a_row
    batches = cut(flows_at(seconds), [20, 40, 60, 80, 100, 120])
    assert len(check(batches, 20, 10_000)) > 4


def test_a_stream_that_begins_anew_right_after_its_first_slice() -> None:
    seconds = [OFF["2099"], *(NOON + i for i in range(50))]
    slices = check(cut(flows_at(seconds), [1, 2, 3, 20]), 1, 10_000)
    # the record of 2099 left all windows when the second one came
    assert slices[-1].warm_up[0] == Run(Path("0"), 1, 3)


@pytest.mark.parametrize("batch_rows", [37, 500, 8192])
@pytest.mark.parametrize("max_records", [300, 1 << 22])
def test_slices_of_a_real_log(batch_rows: int, max_records: int) -> None:
    flows = flows_of(discover([TSV])).slice(0, 4000).combine_chunks().to_batches()[0]
    # as if it had taken five hours
    ts = flows.column("ts").to_numpy()
    stretched = np.round(ts[0] + (ts - ts[0]) * 60, 6)
    flows = flows.set_column(0, FLOW_SCHEMA.field("ts"), pa.array(stretched))
    slices = check(cut(flows, range(0, len(flows), batch_rows)), 700, max_records)
    if batch_rows < 8192:
        assert len(slices) > 3
        assert sum(len(piece.warm_up) > 0 for piece in slices) == len(slices) - 1


def test_a_slice_warms_up_over_no_more_than_it_needs() -> None:
    seconds = [NOON + 60.0 * i for i in range(600)]
    slices = check(cut(flows_at(seconds), range(0, 600, 10)), 100, 10_000)
    for piece in slices[1:]:
        rows = 10 * sum(run.end - run.begin for run in piece.warm_up)
        assert 60 <= rows < 80
    capped = check(cut(flows_at(seconds), range(0, 600, 10)), 100, 25)
    assert all(sum(r.end - r.begin for r in piece.warm_up) == 3 for piece in capped[1:])


def test_nothing_gives_no_slices() -> None:
    assert planned([], 10, 10) == []
