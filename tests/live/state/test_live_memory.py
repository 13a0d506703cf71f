"""What a live stream remembers of flows comes back from what the journal says was done to them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.live.state.journal import JournalEntry, LiveMemory, pack, unpack
from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.decoder import TailDecoder
from zeekml.live.tail.events import FileOpened, How, Lines
from zeekml.readers.events import _packed_events as packed_events
from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import HTTP
from zeekml.readers.events.flow_memory import MAX_SIGNATURES, FlowMemory, packed_signature
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.rejects import ReadCounters, SourceAccount

REQUESTS = [Event(HTTP, float(n), "example.net", uri=f"/{n}") for n in range(3)]
THINGS = [*map(packed_signature, "abcdefgh"), *map(packed_events.pack, REQUESTS)]
X = packed_signature("x")

Deed = tuple[str, int | None, bytes]
DEEDS = st.lists(
    st.tuples(st.sampled_from(["add", "take"]), st.integers(1, 4), st.sampled_from(THINGS)),
    max_size=40,
)


def do(memory: FlowMemory, deeds: list[Deed]) -> list[list[bytes] | None]:
    taken = []
    for what, flow_id, thing in deeds:
        if what == "add" and flow_id is not None:
            memory.add(flow_id, thing)
        else:
            taken.append(memory.take(flow_id))
    return taken


@given(before=DEEDS, meanwhile=DEEDS, after=DEEDS, cut=st.integers(0, 40))
@settings(max_examples=200, derandomize=True)
def test_changes_bring_another_to_the_same_state(
    before: list[Deed], meanwhile: list[Deed], after: list[Deed], cut: int
) -> None:
    def remembered() -> FlowMemory:
        memory = FlowMemory()
        do(memory, before)
        return memory

    plain, live, again = remembered(), LiveMemory(remembered()), LiveMemory(remembered())
    assert do(plain, meanwhile) == do(live, meanwhile[:cut]) + do(live, meanwhile[cut:])
    changes = live.changes()
    assert live.changes() == []
    again.apply(unpack(pack(JournalEntry(memory=changes))).memory)
    assert again.changes() == [], "what is done again is in the journal already"
    assert len(plain) == len(live) == len(again)
    assert do(plain, after) == do(live, after) == do(again, after)


def test_nothing_is_noted_where_nothing_changes() -> None:
    live = LiveMemory(FlowMemory())
    assert live.take(5) is None
    assert live.take(None) is None
    assert live.changes() == []


def test_the_oldest_go_first_in_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeekml.readers.events.flow_memory.MAX_FLOWS", 3)
    live, again = LiveMemory(FlowMemory()), LiveMemory(FlowMemory())
    for flow_id in (1, 2, 1, 3, 4):
        live.add(flow_id, X)
    again.apply(live.changes())
    assert [again.take(n) for n in (1, 2, 3, 4)] == [[X], None, [X], [X]]


def test_at_most_some_signatures_of_a_flow() -> None:
    live, again = LiveMemory(FlowMemory()), LiveMemory(FlowMemory())
    for n in range(MAX_SIGNATURES + 3):
        live.add(1, packed_signature(str(n)))
    again.apply(live.changes())
    assert (
        again.take(1) == live.take(1) == [packed_signature(str(n)) for n in range(MAX_SIGNATURES)]
    )


@pytest.mark.parametrize("flow_id", [-1, 2**63, 2**64, 10**30])
def test_an_id_that_cannot_be_stored_is_not_remembered(flow_id: int) -> None:
    memory = LiveMemory(FlowMemory())
    account = SourceAccount("eve.json", ReadCounters(), None)
    decoder = TailDecoder("suricata", lambda _: account, memory=memory, keep_originals=False)
    decoder.opened(FileOpened("eve.json", How.STARTED))
    events = [
        {"flow_id": n, "event_type": "alert", "alert": {"signature": "s\x1b\n", "signature_id": 7}}
        for n in (flow_id, 2**63 - 1)
    ]
    text = "".join(json.dumps(event) + "\n" for event in events).encode()
    assert list(decoder.lines(Lines("eve.json", Block(text, 1), Checkpoint()))) == []
    assert account.counters.skipped == {"alert": 2}
    changes = memory.changes()
    assert changes == [(2**63 - 1, packed_signature("s\\x1b\\x0a [sid 7]"))]
    assert unpack(pack(JournalEntry(memory=changes))).memory == changes
