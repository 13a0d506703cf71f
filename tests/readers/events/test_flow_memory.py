"""What is logged of a flow before it waits for it: as much as there is room for."""

from __future__ import annotations

import pytest

from zeekml.readers.events import flow_memory
from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import DNS, EVENTS, HTTP, MOST_OF_A_FLOW
from zeekml.readers.events.events_column import events_column, remembered_columns
from zeekml.readers.events.flow_memory import FlowMemory, event_as_text, parted

ASKED = Event(DNS, 1.0, "a.example.net", "A")
ANSWERED = Event(DNS, 1.5, "a.example.net", "A", "NOERROR", ["192.0.2.1"], 60.0)


def request(number: int) -> Event:
    return Event(HTTP, float(number), "example.net", uri=f"/{number}", user_agent='ü\\x1b"')


def test_signatures_and_events_of_a_flow_are_told_apart() -> None:
    memory = FlowMemory()
    for text in ("a [sid 1]", event_as_text(request(0)), "b", event_as_text(request(1))):
        memory.add(1, text)
    memory.add(2, event_as_text(ASKED))
    assert parted(memory.take(1)) == (["a [sid 1]", "b"], [request(0), request(1)])
    assert parted(memory.take(1)) == (None, None)
    assert parted(memory.take(2)) == (None, [ASKED])


def test_an_answer_takes_the_place_of_its_query() -> None:
    other = ASKED._replace(name="b.example.net")
    texts = [event_as_text(event) for event in (ASKED, other, ANSWERED, ANSWERED)]
    assert parted(texts) == (None, [ANSWERED._replace(ts=1.0), other, ANSWERED])


def test_the_first_of_each_kind_are_kept() -> None:
    memory = FlowMemory()
    for number in range(MOST_OF_A_FLOW + 5):
        memory.add(1, event_as_text(request(number)))
        memory.add(1, str(number))
    memory.add(1, event_as_text(ASKED))
    signatures, events = parted(memory.take(1))
    assert signatures == [str(n) for n in range(flow_memory.MAX_SIGNATURES)]
    assert events == [*(request(n) for n in range(MOST_OF_A_FLOW)), ASKED]


def test_the_flow_heard_of_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_memory, "MAX_FLOWS", 2)
    memory = FlowMemory()
    for flow in (1, 2, 1, 3):
        memory.add(flow, event_as_text(ASKED))
    assert [memory.take(flow) is None for flow in (1, 2, 3)] == [False, True, False]


def test_a_column_of_events() -> None:
    column = events_column([[ANSWERED, request(1)], None, [], [ASKED]])
    assert column.type == EVENTS
    rows = column.to_pylist()
    assert [None if r is None else len(r) for r in rows] == [2, None, 0, 1]
    assert Event(**rows[0][0]) == ANSWERED
    assert Event(**rows[3][0]) == ASKED
    assert events_column([]).to_pylist() == []
    assert events_column([None]).to_pylist() == [None]


def test_columns_of_what_was_remembered() -> None:
    signatures, events = remembered_columns([["a"], None, ["b", event_as_text(ASKED)]])
    assert signatures is not None
    assert events is not None
    assert signatures.to_pylist() == [["a"], None, ["b"]]
    assert [row and len(row) for row in events.to_pylist()] == [None, None, 1]
    assert remembered_columns([None, None]) == (None, None)
