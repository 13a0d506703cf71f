"""Events wait for their flow, as many as there is room for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import DNS, EVENT_SCHEMA, HTTP, MOST_OF_A_FLOW
from zeekml.readers.events.pending_events import PendingEvents, events_column

ASKED = Event(DNS, 1.0, "a.example.net", "A")
ANSWERED = Event(DNS, 1.5, "a.example.net", "A", "NOERROR", ["192.0.2.1"], 60.0)


def request(number: int) -> Event:
    return Event(HTTP, float(number), "example.net", uri=f"/{number}")


def test_a_flow_takes_its_events_once_and_in_order() -> None:
    pending = PendingEvents()
    for number in range(3):
        pending.add("1", request(number))
    pending.add("2", request(9))
    assert pending.take("1") == [request(0), request(1), request(2)]
    assert pending.take("1") is None
    assert pending.take(None) is None
    assert len(pending) == 1


def test_an_answer_takes_the_place_of_its_query() -> None:
    pending = PendingEvents()
    pending.add("1", ASKED)
    pending.add("1", ASKED._replace(name="b.example.net"))
    pending.add("1", ANSWERED)
    pending.add("1", ANSWERED)
    assert pending.take("1") == [
        ANSWERED._replace(ts=1.0),
        ASKED._replace(name="b.example.net"),
        ANSWERED,
    ]


def test_the_first_of_a_kind_are_kept_and_the_others_counted() -> None:
    pending = PendingEvents()
    for number in range(MOST_OF_A_FLOW + 5):
        pending.add("1", request(number))
    pending.add("1", ASKED)
    events = pending.take("1") or []
    assert [e.more for e in events] == [0] * (MOST_OF_A_FLOW - 1) + [5, 0]
    assert events[-1] == ASKED


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 5))
def test_the_flow_heard_of_longest_ago_is_forgotten(flows: list[int], most: int) -> None:
    pending = PendingEvents(most)
    for number, flow in enumerate(flows):
        pending.add(str(flow), request(number))
    kept = list(dict.fromkeys(reversed(flows)))[:most]
    left = {flow: pending.take(str(flow)) for flow in range(10)}
    assert {flow for flow, events in left.items() if events} == set(kept)
    held = sum(1 + e.more for events in left.values() for e in events or [])
    assert held + pending.forgotten == len(flows)


def test_a_column_of_events() -> None:
    column = events_column([[ANSWERED, request(1)], None, [], [ASKED]])
    assert column.type.value_type == EVENT_SCHEMA
    rows = column.to_pylist()
    assert [None if r is None else len(r) for r in rows] == [2, None, 0, 1]
    assert Event(**rows[0][0]) == ANSWERED
    assert Event(**rows[3][0]) == ASKED
    assert events_column([]).to_pylist() == []
    assert events_column([None]).to_pylist() == [None]
