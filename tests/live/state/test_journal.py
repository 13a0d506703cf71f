"""What was taken in comes out of the journal as it went in, or is known to be damaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.core.serialization import seal
from zeekml.errors import StateError
from zeekml.live.state.journal import (
    InterimPlace,
    JournalEntry,
    MemoryChange,
    joined_entries,
    pack,
    unpack,
)
from zeekml.readers.events.event_schema import EVENT, EVENTS
from zeekml.readers.events.flow_memory import packed_signature
from zeekml.readers.flow_order import EndOrder
from zeekml.readers.flow_schema import AT_EXIT_FIELD, FLOW_SCHEMA, ORIGINAL_FIELD, with_originals

TEXT = st.text(max_size=8)
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = {
    pa.float64(): st.floats(allow_nan=False),
    pa.string(): TEXT,
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): INT64,
    pa.list_(pa.string()): st.lists(st.none() | TEXT, max_size=3),
    pa.dictionary(pa.int32(), pa.string()): TEXT,
    pa.binary(): st.binary(max_size=20),
    pa.bool_(): st.booleans(),
}
EVENT_VALUES = {
    field.name: (VALUES | {pa.int16(): st.integers(-(2**15), 2**15 - 1)})[field.type]
    for field in EVENT
}
VALUES[EVENTS] = st.lists(st.fixed_dictionaries(EVENT_VALUES), max_size=2)


@st.composite
def batches(draw: st.DrawFn) -> list[pa.RecordBatch]:
    """Batches of one stream: each has dictionaries of its own, and may be cut out of another."""
    schema = FLOW_SCHEMA
    if draw(st.booleans()):
        schema = schema.append(ORIGINAL_FIELD)
    if draw(st.booleans()):
        schema = schema.append(AT_EXIT_FIELD)
    found = []
    for _ in range(draw(st.integers(0, 3))):
        n = draw(st.integers(0, 4))
        arrays = [
            pa.array(
                draw(
                    st.lists(
                        VALUES[field.type]
                        if not field.nullable
                        else st.none() | VALUES[field.type],
                        min_size=n,
                        max_size=n,
                    )
                ),
                field.type,
            )
            for field in schema
        ]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        found.append(batch.slice(draw(st.integers(0, n))))
    return found


CHANGES = st.lists(st.tuples(INT64, st.none() | TEXT.map(packed_signature)), max_size=4)


@given(flows=batches(), memory=CHANGES, release=st.booleans(), originals=st.booleans())
@settings(max_examples=150, derandomize=True)
def test_what_goes_in_comes_out(
    flows: list[pa.RecordBatch], memory: list[MemoryChange], release: bool, originals: bool
) -> None:
    packed = pack(JournalEntry(flows, memory, release), originals=originals)
    back = unpack(packed)
    assert back.memory == memory
    assert back.release is release
    assert back.rows == sum(map(len, flows))
    assert bool(back) == bool(flows or memory or release)
    expected = flows if originals else without_originals(flows)
    assert [batch.to_pylist() for batch in back.flows] == [b.to_pylist() for b in expected]
    assert [batch.schema for batch in back.flows] == [batch.schema for batch in expected]
    for batch in back.flows:
        batch.validate(full=True)


def without_originals(flows: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    return [
        batch.select([name for name in batch.schema.names if name != ORIGINAL_FIELD.name])
        for batch in flows
    ]


def flows_at(*ends: float, original: bool = False, at_exit: bool = False) -> pa.RecordBatch:
    rows = [
        {
            "ts": 1_700_000_000.0 + end,
            "id.orig_h": "10.0.0.1",
            "id.resp_h": "10.0.0.2",
            "proto": "udp",
            "signatures": ["a [sid 1]"],
            "sensor": "suricata",
            "source": "eve.json",
            "line": i,
            "original": b'{"line":%d}' % i,
            "at_exit": False,
        }
        for i, end in enumerate(ends)
    ]
    schema = FLOW_SCHEMA
    if original:
        schema = schema.append(ORIGINAL_FIELD)
    if at_exit:
        schema = schema.append(AT_EXIT_FIELD)
    return pa.Table.from_pylist(rows, schema).combine_chunks().to_batches()[0]


INTAKE = JournalEntry(
    [flows_at(1, 2, 3), flows_at(4)], [(1, packed_signature("x")), (1, None)], True
)


def test_interim_records_keep_their_places() -> None:
    first = JournalEntry([flows_at(1), flows_at(2)], interim=[InterimPlace(1, "a", flows_at(8))])
    later = JournalEntry([flows_at(3)], interim=[InterimPlace(0, "b", flows_at(9, 7))])
    back = unpack(pack(joined_entries([first, JournalEntry(memory=[(1, None)]), later])))
    assert [batch.to_pylist() for batch in back.flows] == [
        flows_at(at).to_pylist() for at in (1, 2, 3)
    ]
    assert [(at, log, len(flows)) for at, log, flows in back.interim] == [(1, "a", 1), (2, "b", 2)]
    assert back.interim[1].flows.to_pylist() == flows_at(9, 7).to_pylist()
    assert bool(JournalEntry(interim=first.interim))


@given(data=st.data())
@settings(max_examples=300, derandomize=True)
def test_damage_is_noticed(data: st.DataObject) -> None:
    whole = pack(INTAKE)
    at = data.draw(st.integers(0, len(whole) - 1))
    # the head of the frame is where a changed byte could claim sizes that nobody has
    at = data.draw(st.sampled_from([at, at % 16]))
    how = data.draw(st.sampled_from(["bit", "byte", "cut", "insert", "append"]))
    damaged = bytearray(whole)
    if how == "bit":
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    elif how == "byte":
        damaged[at] = data.draw(st.integers(0, 255))
    elif how == "cut":
        del damaged[at:]
    elif how == "insert":
        damaged[at:at] = data.draw(st.binary(min_size=1, max_size=4))
    else:
        damaged += data.draw(st.binary(min_size=1, max_size=4))
    try:
        back = unpack(bytes(damaged))
    except StateError as error:
        assert str(error).isprintable()
    else:
        # bits of the head that mean nothing may change
        assert [b.to_pylist() for b in back.flows] == [b.to_pylist() for b in INTAKE.flows]
        assert back.memory == INTAKE.memory


@given(data=st.binary(max_size=60))
@settings(max_examples=100, derandomize=True)
def test_what_is_no_entry(data: bytes) -> None:
    for garbage in (data, zstandard.compress(data)):
        with pytest.raises(StateError):
            unpack(garbage)


def test_flows_that_are_no_flows() -> None:
    class Head(msgspec.Struct):
        alerts: list[tuple[int, Any]]
        let_go: bool

    def entry(flows: bytes) -> bytes:
        return seal("journal", 1, [msgspec.msgpack.encode(Head(changes, False)), flows])

    changes: list[tuple[int, Any]] = [(1, "a [sid 1]"), (1, None)]
    # as the version before wrote them
    told = [(1, packed_signature("a [sid 1]")), (1, None)]
    assert unpack(entry(b"")) == JournalEntry([], told, False)
    for wrong in (3, b"", b"x", [b"s"]):
        changes = [(1, wrong)]
        with pytest.raises(StateError):
            unpack(entry(b""))
    changes = []
    sink = pa.BufferOutputStream()
    table = pa.record_batch({"x": [1]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_batch(table)
    other = sink.getvalue().to_pybytes()
    for flows in (b"no stream", other):
        with pytest.raises(StateError):
            unpack(entry(flows))


def test_an_entry_that_claims_a_monstrous_size() -> None:
    # single segment, content size of eight bytes: 2**62
    with pytest.raises(StateError):
        unpack(b"\x28\xb5\x2f\xfd\xe0" + (2**62).to_bytes(8, "little") + b"\x01\0\0")


@pytest.mark.parametrize("wanted_before", [False, True])
@pytest.mark.parametrize("wanted_now", [False, True])
def test_flows_held_over_a_restart_are_enriched_as_far_as_can_be(
    wanted_before: bool, wanted_now: bool
) -> None:
    """Flows held back by the last run come from the journal, whether or not it kept originals."""
    before = [flows_at(1, 0.5, 2, original=wanted_before, at_exit=True)]
    order = EndOrder(60.0)
    for batch in unpack(pack(JournalEntry(before), originals=True)).flows:
        assert order.push(with_originals(batch, wanted_now)) == []
    now = flows_at(0.25, 3, 1.5, original=wanted_now, at_exit=True)
    assert order.push(now) == []
    (ready,) = order.flush()
    assert [ts - 1.7e9 for ts in ready.column("ts").to_pylist()] == [0.25, 0.5, 1, 1.5, 2, 3]
    names = ready.schema.names
    assert (ORIGINAL_FIELD.name in names) == wanted_now
    if wanted_now:
        kept = [value is not None for value in ready.column("original").to_pylist()]
        of_now = [True, False, False, True, False, True]
        assert kept == [new or wanted_before for new in of_now]
