"""Flows take the events that stand in their logs before them, however both are cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.readers.events._packed_events import pack
from zeekml.readers.events.event import Event
from zeekml.readers.events.event_join import CONTEXT_HOLD, EventJoin
from zeekml.readers.events.event_schema import DNS, HTTP
from zeekml.readers.events.flow_memory import Told
from zeekml.readers.flow_schema import FLOW_SCHEMA

HOLD = int(CONTEXT_HOLD)


def flows(*rows: tuple[str | None, float]) -> pa.RecordBatch:
    """Flows by uid and end."""
    base = {"id.orig_h": "10.0.0.1", "id.resp_h": "192.0.2.1", "proto": "tcp", "line": 1}
    records = [
        base | {"uid": uid, "ts": end, "sensor": "zeek", "source": "conn.log"} for uid, end in rows
    ]
    return pa.Table.from_pylist(records, FLOW_SCHEMA).combine_chunks().to_batches()[0]


def told(*events: tuple[str, int], name: str = "x") -> Told:
    """Events by uid and clock in seconds, each with a name of its own."""
    packed = [pack(Event(HTTP, float(at), f"{name}{uid}{at}")) for uid, at in events]
    clocks = np.array([at * 1_000_000 for _, at in events], np.int64)
    return Told(clocks, [uid for uid, _ in events], packed)


def names(batch: pa.RecordBatch) -> list[list[str] | None]:
    column = batch.column("events").to_pylist()
    return [None if row is None else [event["name"] for event in row] for row in column]


def test_events_go_to_their_flow() -> None:
    join = EventJoin({HTTP: iter([told(("a", 1), ("b", 1), ("a", 2))])})
    first = join.attach(flows(("a", 3.0), (None, 3.0), ("c", 3.0)))
    assert names(first) == [["xa1", "xa2"], None, None]
    assert names(join.attach(flows(("b", 4.0), ("a", 4.0)))) == [["xb1"], None]


def test_what_comes_more_than_the_hold_after_it_is_not_waited_for() -> None:
    join = EventJoin({HTTP: iter([told(("a", 10 + HOLD - 1), ("b", 10 + HOLD))])})
    assert names(join.attach(flows(("a", 10.0), ("b", 10.0)))) == [[f"xa{9 + HOLD}"], None]


def test_the_hold_may_be_another() -> None:
    join = EventJoin({HTTP: iter([told(("a", 11), ("b", 12))])}, hold=2)
    assert names(join.attach(flows(("a", 10.0), ("b", 10.0)))) == [["xa11"], None]


def test_what_no_flow_asked_for_is_counted() -> None:
    late = 10 + HOLD
    events = told(("a", 1), ("late", late), ("late", late), ("never", late + HOLD))
    join = EventJoin({HTTP: iter([events])})
    assert names(join.attach(flows(("a", 10.0), ("late", 10.0)))) == [["xa1"], None]
    assert join.finish() == 2


def test_logs_of_several_kinds() -> None:
    asked = Told(np.array([0]), ["a"], [pack(Event(DNS, 0.0, "q", "A"))])
    join = EventJoin({HTTP: iter([told(("a", 1))]), DNS: iter([asked]), "tls": iter([])})
    assert names(join.attach(flows(("a", 1.0)))) == [["xa1", "q"]]
    none = EventJoin({})
    assert names(none.attach(flows(("a", 1.0)))) == [None]


UIDS = st.sampled_from("abc")


def cut(items: list[Any], places: list[int]) -> Iterator[list[Any]]:
    edges = sorted({0, len(items), *(p % (len(items) + 1) for p in places)})
    for start, end in pairwise(edges):
        yield items[start:end]


@settings(max_examples=200)
@given(
    st.lists(st.tuples(UIDS, st.integers(0, 3 * HOLD)), min_size=1, max_size=12),
    st.lists(st.tuples(UIDS, st.integers(0, 3 * HOLD)), max_size=12),
    st.lists(st.integers(0, 20), max_size=4),
    st.lists(st.integers(0, 20), max_size=4),
)
def test_however_both_are_cut(
    conns: list[tuple[str, int]],
    events: list[tuple[str, int]],
    flow_cuts: list[int],
    event_cuts: list[int],
) -> None:
    # a log's clock never goes back
    clocks = np.maximum.accumulate([at for _, at in events]).tolist() if events else []
    ordered = [(uid, at) for (uid, _), at in zip(events, clocks, strict=True)]
    pieces = [told(*piece) for piece in cut(ordered, event_cuts)]
    join = EventJoin({HTTP: iter(pieces)})
    parts = [join.attach(flows(*piece)) for piece in cut(conns, flow_cuts)]
    found = [row for part in parts for row in names(part)]
    # the rule, event by event
    expected: list[list[str] | None] = []
    waiting = list(ordered)
    now = 0
    for uid, end in conns:
        now = max(now, end)
        own = [event for event in waiting if event[0] == uid and event[1] < now + HOLD]
        waiting = [event for event in waiting if event not in own]
        expected.append([f"x{u}{at}" for u, at in dict.fromkeys(own)][:8] or None)
    assert found == expected
