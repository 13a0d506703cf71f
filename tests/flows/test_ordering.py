from __future__ import annotations

import heapq

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.flows.ordering import EndOrder, in_end_order
from zeekml.flows.schema import FLOW_SCHEMA
from zeekml.flows.stream_clock import StreamClock

T0 = 1_700_000_000.0


def flows(ends: list[float]) -> pa.RecordBatch:
    """Flows that end at these seconds after T0; `line` tells them apart."""
    rows = [
        {
            "ts": round(T0 + end - 0.25 * (i % 4), 6),
            "duration": 0.25 * (i % 4),
            "id.orig_h": "10.0.0.1",
            "id.resp_h": "10.0.0.2",
            "proto": "udp",
            "sensor": "suricata",
            "source": f"eve-{i % 2}.json",
            "line": i,
        }
        for i, end in enumerate(ends)
    ]
    return pa.Table.from_pylist(rows, FLOW_SCHEMA).combine_chunks().to_batches()[0]


def lines(batches: list[pa.RecordBatch]) -> list[int]:
    return [line for batch in batches for line in batch.column("line").to_pylist()]


def reference(ends: list[float], hold: float, max_held: int) -> list[int]:
    """The rule, record by record, on a heap from the library."""
    clock, out = StreamClock(), []
    held: list[tuple[int, int]] = []
    began = None
    for i, end in enumerate(round((T0 + e) * 1e6) for e in ends):
        state = clock.run(np.array([end]))
        if began is not None and state.began != began:
            out += [heapq.heappop(held)[1] for _ in range(len(held))]
        began = state.began
        if end > state.now:
            out.append(i)
        else:
            heapq.heappush(held, (end, i))
        while held and (held[0][0] <= state.now - hold * 1e6 or len(held) > max_held):
            out.append(heapq.heappop(held)[1])
    return out + [heapq.heappop(held)[1] for _ in range(len(held))]


end_times = st.lists(
    st.one_of(
        st.floats(0, 300, width=32),
        st.sampled_from([-1e9, -5000.0, 400.0, 401.0, 5000.0, 2.2e9]),
    ).map(lambda x: round(x, 2)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(end_times, st.lists(st.integers(1, 20), max_size=20), st.integers(1, 12))
def test_the_rule_whatever_the_cuts(ends: list[float], cuts: list[int], max_held: int) -> None:
    batch = flows(ends)
    order = EndOrder(30.0, max_held)
    found: list[pa.RecordBatch] = []
    at = 0
    for cut in [*cuts, len(ends)]:
        found += order.push(batch.slice(at, cut))
        assert order.held <= max_held
        at = min(at + cut, len(ends))
    found += order.flush()
    assert order.held == 0
    assert lines(found) == reference(ends, 30.0, max_held)
    # rows stay whole
    table = pa.Table.from_batches(found).unify_dictionaries().sort_by("line")
    assert table.to_pylist() == batch.to_pylist()


def test_disorder_within_the_hold_is_mended() -> None:
    rng = np.random.default_rng(1)
    ends = np.cumsum(rng.exponential(0.5, 4000))
    arrival = np.argsort(ends + rng.uniform(0, 55, 4000), kind="stable")
    batch = flows(ends[arrival].tolist())
    found = lines(list(in_end_order(batch.slice(i, 512) for i in range(0, len(batch), 512))))
    assert (np.diff(ends[arrival][found]) >= 0).all()
    assert sorted(found) == list(range(4000))


def test_without_a_hold_nothing_moves() -> None:
    batch = flows([5.0, 1.0, 3.0])
    assert lines(list(in_end_order([batch], 0.0))) == [0, 1, 2]
    with pytest.raises(ValueError, match="above 0"):
        EndOrder(0.0)
    with pytest.raises(ValueError, match="at least 1"):
        EndOrder(1.0, 0)
