"""What the events of flows say in words."""

from __future__ import annotations

import pyarrow as pa

from zeekml.detection.flow_texts import TEXT_COLUMNS, flow_texts
from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import DNS, EVENTS, HTTP, TLS

NOTHING: dict[str, list[str]] = {name: [] for name in TEXT_COLUMNS}


def told(*of_flows: list[Event] | None) -> list[dict[str, list[str]]]:
    rows = [None if f is None else [event._asdict() for event in f] for f in of_flows]
    column = pa.array(rows, EVENTS)
    texts = [each.to_pylist() for each in flow_texts(column)]
    whole = pa.concat_arrays([pa.array([[]], EVENTS), column, column]).slice(1, len(column))
    assert [each.to_pylist() for each in flow_texts(whole)] == texts
    return [dict(zip(TEXT_COLUMNS, row, strict=True)) for row in zip(*texts, strict=True)]


def test_each_kind_says_what_it_knows() -> None:
    request = Event(HTTP, 1.0, "a.net", user_agent="curl/8")
    silent = Event(HTTP, 1.0, None)
    asked = Event(DNS, 1.0, "b.net", "A")
    shaken = Event(TLS, 1.0, "c.net", subject="CN=c.net", issuer="CN=ca")
    signed = Event(TLS, 1.0, None, subject="CN=d", issuer="CN=d")
    strange = Event(TLS, 1.0, None, subject="CN=e")
    assert told([request, silent, asked], None, [shaken, signed, strange], []) == [
        {"names": ["a.net", "b.net"], "server_names": [], "agents": ["curl/8"], "certificates": []},
        NOTHING,
        {
            "names": ["c.net"],
            "server_names": ["c.net"],
            "agents": [],
            "certificates": [
                "CN=c.net, signed by CN=ca",
                "CN=d, signed by its owner",
                "CN=e, signed by nobody named",
            ],
        },
        NOTHING,
    ]


def test_flows_without_any() -> None:
    assert told(None, None) == [NOTHING] * 2
    assert told() == []
