from __future__ import annotations

import heapq

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.core.serialization import seal, unseal
from zeekml.errors import StateError
from zeekml.readers.flow_order import EndOrder, in_end_order
from zeekml.readers.flow_schema import AT_EXIT_FIELD, FLOW_SCHEMA
from zeekml.readers.stream_clock import StreamClock

T0 = 1_700_000_000.0


def flows(ends: list[float], at_exit: list[bool] | None = None) -> pa.RecordBatch:
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
    batch = pa.Table.from_pylist(rows, FLOW_SCHEMA).combine_chunks().to_batches()[0]
    return batch if at_exit is None else batch.append_column(AT_EXIT_FIELD, pa.array(at_exit))


def lines(batches: list[pa.RecordBatch]) -> list[int]:
    return [line for batch in batches for line in batch.column("line").to_pylist()]


def reference(
    ends: list[float],
    at_exit: list[bool],
    hold: float,
    max_held: int,
    flushes: frozenset[int] = frozenset(),
) -> list[int]:
    """The rule, record by record, on a heap from the library; flushed before some records."""
    clock, out = StreamClock(), []
    held: list[tuple[int, int]] = []
    began = None
    exiting = False
    for i, end in enumerate(round((T0 + e) * 1e6) for e in ends):
        if i in flushes:
            out += [heapq.heappop(held)[1] for _ in range(len(held))]
        if at_exit[i]:
            exiting = True
            heapq.heappush(held, (end, i))
            if len(held) > max_held:
                out.append(heapq.heappop(held)[1])
            continue
        state = clock.run(np.array([end]))
        if exiting or (began is not None and state.began != began):
            exiting = False
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
        st.floats(0, 300, width=32), st.sampled_from([-1e9, -5000.0, 400.0, 401.0, 5000.0, 2.2e9])
    ).map(lambda x: round(x, 2)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150)
@given(
    end_times,
    st.lists(st.integers(1, 20), max_size=20),
    st.integers(1, 12),
    st.lists(st.integers(0, 59), max_size=30),
)
def test_the_rule_whatever_the_cuts(
    ends: list[float], cuts: list[int], max_held: int, exits: list[int]
) -> None:
    at_exit = [i in exits for i in range(len(ends))]
    batch = flows(ends, at_exit)
    order = EndOrder(30.0, max_held)
    found: list[pa.RecordBatch] = []
    at = 0
    for cut in [*cuts, len(ends)]:
        found += order.push(batch.slice(at, cut))
        assert order.held <= max_held
        at = min(at + cut, len(ends))
    found += order.flush()
    assert order.held == 0
    assert lines(found) == reference(ends, at_exit, 30.0, max_held)
    # rows stay whole
    table = pa.Table.from_batches(found).unify_dictionaries().sort_by("line")
    assert table.to_pylist() == flows(ends).to_pylist()


@settings(max_examples=100, derandomize=True)
@given(
    end_times,
    st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.booleans()), max_size=12),
    st.integers(1, 12),
    st.lists(st.integers(0, 59), max_size=30),
)
def test_saved_and_flushed_in_the_middle_it_goes_on(
    ends: list[float], steps: list[tuple[int, bool, bool]], max_held: int, exits: list[int]
) -> None:
    at_exit = [i in exits for i in range(len(ends))]
    batch = flows(ends, at_exit)
    order = EndOrder(30.0, max_held)
    found: list[pa.RecordBatch] = []
    flushes: set[int] = set()
    at = 0
    for rows, flush, save in [*steps, (len(ends), True, True)]:
        found += order.push(batch.slice(at, rows))
        at = min(at + rows, len(ends))
        held = order.held
        if save:
            saved = order.save()
            order = EndOrder.load(saved)
            assert order.held == held
            assert order.save() == saved
        if flush:
            found += order.flush()
            flushes.add(at)
            assert order.held == 0
    assert lines(found) == reference(ends, at_exit, 30.0, max_held, frozenset(flushes))
    table = pa.Table.from_batches(found).unify_dictionaries().sort_by("line")
    assert table.to_pylist() == flows(ends).to_pylist()


def test_a_restart_keeps_rows_as_they_are() -> None:
    rng = np.random.default_rng(4)
    ends = np.cumsum(rng.exponential(0.2, 3000)) + rng.uniform(0, 50, 3000)
    batch = flows(ends.tolist())
    batch = batch.append_column("original", pa.array([b"\xff\x00"] * 3000))
    whole, parts = EndOrder(), EndOrder()
    for i in range(0, 3000, 250):
        expected, found = whole.push(batch.slice(i, 250)), parts.push(batch.slice(i, 250))
        assert len(expected) == len(found)
        for one, other in zip(expected, found, strict=True):
            assert one.schema == other.schema
            assert one.to_pylist() == other.to_pylist()
        parts = EndOrder.load(parts.save(), originals=True)
    assert parts.held == whole.held > 0
    assert lines(parts.flush()) == lines(whole.flush())


@settings(max_examples=150, derandomize=True)
@given(st.data())
def test_damage_to_saved_bytes_is_refused(data: st.DataObject) -> None:
    order = EndOrder(30.0)
    order.push(flows([float(n % 7) for n in range(40)]))
    assert order.held == 40
    saved = order.save()
    at, bit = data.draw(st.integers(0, len(saved) - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(saved)
    damaged[at] ^= 1 << bit
    try:
        again = EndOrder.load(bytes(damaged)).save()
    except StateError:
        pass
    else:
        assert again == saved
    with pytest.raises(StateError):
        EndOrder.load(saved[:at])


def test_saved_bytes_that_contradict_themselves_are_refused() -> None:
    order = EndOrder(30.0)
    order.push(flows([1.0, 2.0, 3.0]))
    parts = unseal("order", 1, order.save())
    names = ["clock", "state", "ends", "numbers"]
    assert len(parts) == 3 + len(names)
    for number, wrong in [
        (0, b""),
        (1, b""),
        (3 + names.index("numbers"), np.array([0, 1, 3]).tobytes()),
        (3 + names.index("numbers"), np.array([0, 1, 1]).tobytes()),
        (3 + names.index("state"), np.array([2, 0]).tobytes()),
        (3 + names.index("ends"), np.array([2, 0]).tobytes()),
    ]:
        with pytest.raises(StateError):
            EndOrder.load(seal("order", 1, [*parts[:number], wrong, *parts[number + 1 :]]))
    with pytest.raises(StateError):
        EndOrder.load(seal("order", 1, parts[:1]))


def test_disorder_within_the_hold_is_mended() -> None:
    rng = np.random.default_rng(1)
    ends = np.cumsum(rng.exponential(0.5, 4000))
    arrival = np.argsort(ends + rng.uniform(0, 55, 4000), kind="stable")
    batch = flows(ends[arrival].tolist())
    found = lines(list(in_end_order(batch.slice(i, 512) for i in range(0, len(batch), 512))))
    assert (np.diff(ends[arrival][found]) >= 0).all()
    assert sorted(found) == list(range(4000))


def test_what_is_logged_at_exit_comes_in_order_and_at_once() -> None:
    rng = np.random.default_rng(2)
    ends = rng.uniform(0, 90_000, 3000).tolist()
    batch = flows([*ends, 100_000.0], [True] * 3000 + [False])
    order = EndOrder(60.0)
    found = [out for i in range(0, 3000, 500) for out in order.push(batch.slice(i, 500))]
    assert found == []
    assert lines(order.push(batch.slice(3000))) == np.argsort(ends, kind="stable").tolist()
    assert lines(order.flush()) == [3000]


def test_rows_that_went_on_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeekml.readers.flow_order._SPARE_ROWS", 100)
    rng = np.random.default_rng(3)
    # each batch leaves some rows behind that stay to the end
    ends = np.where(rng.random(20_000) < 0.01, 1e6, rng.uniform(0, 1e5, 20_000)).tolist()
    batch = flows(ends, [True] * 20_000)
    order = EndOrder(60.0, 300)
    found: list[pa.RecordBatch] = []
    for i in range(0, 20_000, 500):
        found += order.push(batch.slice(i, 500))
        assert sum(map(len, order._batches)) <= 2 * order.held + 100 + 500
    found += order.flush()
    assert lines(found) == reference(ends, [True] * 20_000, 60.0, 300)


def test_without_a_hold_nothing_moves() -> None:
    batch = flows([5.0, 1.0, 3.0])
    assert lines(list(in_end_order([batch], 0.0))) == [0, 1, 2]
    with pytest.raises(ValueError, match="above 0"):
        EndOrder(0.0)
    with pytest.raises(ValueError, match="at least 1"):
        EndOrder(1.0, 0)
