"""What is logged of a flow before it waits for it: as much as there is room for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.readers.events import flow_memory
from zeekml.readers.events._packed_events import pack, unpack
from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import DNS, EVENTS, HTTP, MOST_OF_A_FLOW, TLS
from zeekml.readers.events.events_column import remembered_columns
from zeekml.readers.events.flow_memory import (
    Answer,
    FlowMemory,
    OneByOne,
    Told,
    packed_signature,
    signatures,
)

ASKED = Event(DNS, 1.0, "a.example.net", "A")
ANSWERED = Event(DNS, 1.5, "a.example.net", "A", "NOERROR", ["192.0.2.1"], 60.0)
SHAKEN = Event(TLS, None, None, version="TLSv12", subject="CN=x", not_valid_before=5.0)


def request(number: int) -> Event:
    return Event(HTTP, float(number), "example.net", uri=f"/{number}", user_agent='ü\\x1b"')


def events_of(*of_flows: Answer) -> list[list[Event] | None]:
    """The events in a column."""
    _, column = remembered_columns(list(of_flows))
    if column is None:
        return [None] * len(of_flows)
    assert column.type == EVENTS
    column.validate(full=True)
    return [None if row is None else [Event(**one) for one in row] for row in column.to_pylist()]


def test_signatures_and_events_of_a_flow_are_told_apart() -> None:
    memory = FlowMemory()
    a, b = packed_signature("a [sid 1]"), packed_signature("b")
    for one in (a, pack(request(0)), b, pack(request(1))):
        memory.add(1, one)
    memory.add(2, pack(ASKED))
    columns = remembered_columns([memory.take(1), memory.take(1), memory.take(2)])
    assert columns[0] is not None
    assert columns[1] is not None
    assert columns[0].to_pylist() == [["a [sid 1]", "b"], None, None]
    assert columns[1].is_valid().to_pylist() == [True, False, True]
    assert remembered_columns([None, None]) == (None, None)
    assert remembered_columns([[a], None])[1] is None


def test_an_answer_takes_the_place_of_its_query() -> None:
    other = ASKED._replace(name="b.example.net")
    told = [pack(event) for event in (ASKED, other, ANSWERED, ANSWERED)]
    assert events_of(told) == [[ANSWERED._replace(ts=1.0), other, ANSWERED]]
    # of another type, of another name, or answered: no query of this answer
    for query in (ASKED._replace(query_type="AAAA"), ASKED._replace(name="a"), ANSWERED):
        assert events_of([pack(query), pack(ANSWERED)]) == [[query, ANSWERED]]


def test_the_first_of_each_kind_are_kept() -> None:
    memory = FlowMemory()
    for number in range(MOST_OF_A_FLOW + 5):
        memory.add(1, pack(request(number)))
        memory.add(1, packed_signature(str(number)))
    memory.add(1, pack(ASKED))
    told = memory.take(1)
    assert signatures(told) == [str(n) for n in range(flow_memory.MAX_SIGNATURES)]
    assert events_of(told) == [[*(request(n) for n in range(MOST_OF_A_FLOW)), ASKED]]


def test_the_flow_heard_of_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_memory, "MAX_FLOWS", 2)
    memory = FlowMemory()
    for flow in (1, 2, 1, 3):
        memory.add(flow, pack(ASKED))
    assert [memory.take(flow) is None for flow in (1, 2, 3)] == [False, True, False]


TEXTS = st.none() | st.text(max_size=12)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    DNS: {
        **dict.fromkeys(("query_type", "rcode"), TEXTS),
        "answers": st.none() | st.lists(st.text(max_size=5), max_size=4),
        "ttl": NUMBERS,
    },
    HTTP: {
        **dict.fromkeys(("method", "uri", "user_agent", "referrer", "mime_type"), TEXTS),
        "status": st.none() | st.integers(0, 999),
    },
    TLS: {
        **dict.fromkeys(("version", "subject", "issuer"), TEXTS),
        **dict.fromkeys(("not_valid_before", "not_valid_after"), NUMBERS),
    },
}


@st.composite
def any_event(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(sorted(FIELDS)))
    more = {name: draw(values) for name, values in FIELDS[kind].items()}
    return Event(kind, draw(NUMBERS), draw(TEXTS), **more)


@given(st.lists(st.none() | st.lists(any_event(), max_size=3), max_size=4))
def test_events_come_out_as_they_went_in(of_flows: list[list[Event] | None]) -> None:
    told: list[Answer] = [None if e is None else [pack(one) for one in e] for e in of_flows]
    expected = []
    for events in of_flows:
        placed: list[Event] = []
        for event in events or ():
            asked = [
                n
                for n, e in enumerate(placed)
                if event.rcode is not None and e[:1] + e[2:5] == event[:1] + event[2:4] + (None,)
            ]
            if asked and event.kind == DNS:
                placed[asked[0]] = event._replace(ts=placed[asked[0]].ts)
            else:
                placed.append(event)
        expected.append(placed or None)
    assert events_of(*told) == expected


@pytest.mark.parametrize("event", [ANSWERED, request(1), SHAKEN])
def test_what_is_no_event_is_refused(event: Event) -> None:
    packed = pack(event)
    unpack([[packed]], 1, len(packed))
    for cut in range(len(packed)):
        with pytest.raises(ValueError, match="event"):
            unpack([[packed[:cut]]], 1, len(packed))
    with pytest.raises(ValueError, match="no event"):
        unpack([[b"x" + packed[1:]]], 1, len(packed))
    with pytest.raises(ValueError, match=r"counted|more text"):
        unpack([[packed, packed]], 1, len(packed))
    with pytest.raises(ValueError, match="more events"):
        unpack([[packed] * 65], 65, 65 * len(packed))
    with pytest.raises(TypeError):
        unpack([[1]], 1, 1)  # type: ignore[list-item]


FLOWS = st.integers(1, 3)
STEPS = st.lists(st.tuples(st.booleans(), FLOWS, st.integers(0, 2)), max_size=30)


@given(STEPS)
def test_many_lines_at_once_are_as_one_after_the_other(steps: list[tuple[bool, int, int]]) -> None:
    def lines(which: bool) -> list[int]:
        return [line for line, (asks, _, _) in enumerate(steps) if asks == which]

    told = Told(
        np.array(lines(False), np.int64),
        [flow for asks, flow, _ in steps if not asks],
        [pack(request(n)) for asks, _, n in steps if not asks],
    )
    asking: list[Any] = [flow for asks, flow, _ in steps if asks]
    one_by_one = FlowMemory()
    expected = []
    for asks, flow, n in steps:
        if asks:
            expected.append(one_by_one.take(flow))
        else:
            one_by_one.add(flow, pack(request(n)))
    for memory in (FlowMemory(), OneByOne()):
        assert memory.exchange(told, np.array(lines(True), np.int64), asking) == expected
        assert memory.save() == one_by_one.save()
