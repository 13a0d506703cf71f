"""An engine that is saved and loaded goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.errors import StateError
from zeekml.features.context._context import HEAD, LAST, TAIL
from zeekml.features.context.context_snapshot import SnapshotHead
from zeekml.features.context.engine import ContextEngine
from zeekml.features.feature_schema import FEATURES, WINDOWS
from zeekml.features.flow_features import FlowColumns

BOUND = 1000
BEGIN = 1_700_000_000_000_000
HOUR = WINDOWS[-1] * 1_000_000


def flows(seed: int, rows: int, hosts: int, jumps: Sequence[int]) -> FlowColumns:
    """Flows of so many hosts; before some of them the clock jumps by an hour or a half."""
    g = np.random.default_rng(seed)
    steps = g.integers(0, 4_000_000, rows)
    for at in jumps:
        # three in a row far ahead move the clock; a single one is misdated
        steps[at % rows] += HOUR // (1 + at % 2)
    end = BEGIN + np.cumsum(steps) - g.choice([0, 0, 0, 50_000_000], rows)
    duration = g.choice([0.0, 0.5, 20.0], rows)
    # counts of a few keys go beyond what small rows hold
    source = np.where(g.random(rows) < 0.4, 0, g.integers(0, hosts, rows)).astype(np.uint64)
    target = np.where(g.random(rows) < 0.5, 1, g.integers(0, hosts, rows)).astype(np.uint64)

    def counts(most: int) -> npt.NDArray[np.float64]:
        return g.integers(0, most, rows).astype(np.float64)

    return FlowColumns(
        start=end - (duration * 1e6).astype(np.int64),
        end=end,
        duration=duration,
        orig_pkts=counts(9),
        resp_pkts=counts(9),
        orig_ip_bytes=counts(9999),
        resp_ip_bytes=counts(9999),
        orig_payload=counts(9999) * g.choice([1.0, 1e7], rows),
        resp_payload=counts(99),
        proto=g.integers(0, 3, rows).astype(np.int8),
        services=g.integers(0, 4, rows).astype(np.uint32),
        orig_port=g.choice([53, 80, 443, -1, 65535], rows).astype(np.int32),
        resp_port=g.choice([53, 80, 443, -1, 65535], rows).astype(np.int32),
        failed=g.random(rows) < 0.2,
        is_contact=g.random(rows) < 0.9,
        orig_key=source * np.uint64(0x9E3779B97F4A7C15),
        resp_key=target * np.uint64(0x9E3779B97F4A7C15),
        orig_kind=np.zeros(rows, np.uint8),
        resp_kind=np.zeros(rows, np.uint8),
    )


def part(columns: FlowColumns, begin: int, end: int) -> FlowColumns:
    cut: Any = [column[begin:end] for column in columns]
    return FlowColumns(*cut)


def features(engine: ContextEngine, columns: FlowColumns) -> bytes:
    out = np.zeros((columns.rows, len(FEATURES)), np.float32)
    return out.tobytes() + engine.write(columns, out).tobytes() + out.tobytes()


def cut(parts: Sequence[npt.NDArray[np.uint8]], size: int) -> Iterator[bytes]:
    whole = b"".join(part.tobytes() for part in parts)
    for begin in range(0, len(whole), size):
        yield whole[begin : begin + size]


def again(engine: ContextEngine, size: int = 100_000) -> ContextEngine:
    head, parts = engine.save()
    other = ContextEngine(BOUND)
    other.load(head, cut(parts, size))
    return other


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(2, 4000),
    hosts=st.sampled_from([2, 30, 3000]),
    jumps=st.lists(st.integers(0, 4000), max_size=4),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=3).map(sorted),
    size=st.sampled_from([1001, 65536, 1 << 24]),
)
@settings(max_examples=60, derandomize=True)
def test_it_goes_on_bit_for_bit(
    seed: int, rows: int, hosts: int, jumps: list[int], cuts: list[float], size: int
) -> None:
    columns = flows(seed, rows, hosts, jumps)
    whole, one = ContextEngine(BOUND), ContextEngine(BOUND)
    begin = 0
    for end in [*(int(c * rows) for c in cuts), rows]:
        piece = part(columns, begin, end)
        assert features(one, piece) == features(whole, piece)
        assert (one.clock, one.held) == (whole.clock, whole.held)
        before = one
        one = again(before, size)
        # it is the same engine twice: the one that was saved is not in the other's way
        before.absorb(piece)
        begin = end


def test_what_is_counted_since_the_start_begins_anew() -> None:
    engine = ContextEngine(BOUND)
    features(engine, flows(1, 4000, 30, []))
    assert engine.evicted > 0
    assert engine.late > 0
    other = again(engine)
    assert (other.evicted, other.late) == (0, 0)
    assert other.held == engine.held == BOUND


def test_a_new_engine_is_saved_in_little() -> None:
    engine = ContextEngine(1 << 22)
    head, parts = engine.save()
    assert sum(map(len, parts)) < 4 << 20
    other = ContextEngine(1 << 22)
    other.load(head, cut(parts, 1 << 20))
    piece = flows(5, 300, 30, [])
    assert features(other, piece) == features(engine, piece)


@pytest.fixture(scope="module")
def saved() -> tuple[bytes, bytes]:
    engine = ContextEngine(BOUND)
    engine.absorb(flows(3, 2500, 300, [7]))
    head, parts = engine.save()
    return head, b"".join(cut(parts, 1 << 24))


def test_another_bound_is_refused(saved: tuple[bytes, bytes]) -> None:
    head, whole = saved
    with pytest.raises(StateError, match="context_records"):
        ContextEngine(BOUND + 1).load(head, iter([whole]))


@pytest.mark.parametrize("change", [-1, 1])
def test_too_little_and_too_much_is_refused(saved: tuple[bytes, bytes], change: int) -> None:
    head, whole = saved
    with pytest.raises(StateError, match="short" if change < 0 else "long"):
        ContextEngine(BOUND).load(head, iter([(whole + b"\0")[: len(whole) + change]]))


@pytest.mark.parametrize("head", [b"", b"\x00", b"\xc1" * 9, msgspec.msgpack.encode([1, 2])])
def test_a_head_that_is_none(head: bytes) -> None:
    with pytest.raises(StateError):
        ContextEngine(BOUND).load(head, iter([]))


def set_clock(at: int, number: int) -> Callable[[SnapshotHead], SnapshotHead]:
    def change(head: SnapshotHead) -> SnapshotHead:
        clock = list(head.clock)
        clock[at] = number
        return msgspec.structs.replace(head, clock=clock)

    return change


def set_counts(
    name: str, counts: tuple[int, int], at: int
) -> Callable[[SnapshotHead], SnapshotHead]:
    def change(head: SnapshotHead) -> SnapshotHead:
        values = list(getattr(head, name))
        values[at] = counts
        return msgspec.structs.replace(head, **{name: values})

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(set_clock(HEAD, number) for number in (-1, 0, 2**40, 2**62)),
        *(set_clock(TAIL + LAST, number) for number in (-1, 2**62)),
        *(set_clock(TAIL, number) for number in (-1, 0, 2**62)),
        *(
            set_counts("tables", counts, at)
            for at in (0, 5)
            for counts in ((0, 0), (-16, 0), (17, 0), (2**40, 0), (160, -1), (160, 161))
        ),
        *(
            set_counts("pools", counts, at)
            for at in (0, 6)
            for counts in ((-1, 5), (6, 5), (0, 2 * BOUND + 1), (0, 2**62), (-(2**62), 0))
        ),
        lambda head: msgspec.structs.replace(head, clock=head.clock[:-1]),
        lambda head: msgspec.structs.replace(head, tables=head.tables[:-1]),
        lambda head: msgspec.structs.replace(head, pools=[*head.pools, (0, 0)]),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    saved: tuple[bytes, bytes], change: Callable[[SnapshotHead], SnapshotHead]
) -> None:
    head = msgspec.msgpack.decode(saved[0], type=SnapshotHead)
    with pytest.raises(StateError, match="damaged"):
        ContextEngine(BOUND).load(msgspec.msgpack.encode(change(head)), iter([saved[1]]))
