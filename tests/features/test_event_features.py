"""Features of what flows were about: shapes and shares, never which name it was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.features.event_features import write_event_features
from zeekml.features.feature_schema import EVENT_START, FEATURES
from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import DNS, EVENTS, HTTP, TLS

DAY = 86400.0


def column(*of_flows: list[Event] | None) -> pa.ListArray:
    rows = [None if f is None else [event._asdict() for event in f] for f in of_flows]
    return pa.array(rows, EVENTS)


def matrix_of(events: pa.ListArray) -> np.ndarray[Any, np.dtype[np.float32]]:
    out = np.zeros((len(events), len(FEATURES)), np.float32)
    write_event_features(events, out)
    assert not out[:, :EVENT_START].any(), "the columns before are others' business"
    return out


def features(*events: Event) -> dict[str, float]:
    """Natural values of what one flow's events tell; what they do not is left out."""
    row = matrix_of(column(list(events)))[0]
    places = range(EVENT_START, len(FEATURES))
    told = {FEATURES[i].name: FEATURES[i].natural(float(row[i])) for i in places}
    return {name: value for name, value in told.items() if not math.isnan(value)}


def test_flows_without_events_have_none() -> None:
    assert np.isnan(matrix_of(column(None, [], None))[:, EVENT_START:]).all()
    assert matrix_of(column()).shape == (0, len(FEATURES))


def test_a_name() -> None:
    got = features(Event(DNS, 1.0, "a1.files.xkcd-4.co.uk", "A"))
    assert got["name_is_address"] == 0
    assert got["name_length"] == pytest.approx(21)
    assert got["name_labels"] == 5
    assert got["name_entropy"] == pytest.approx(math.log2(6), abs=1e-6)
    assert got["subname_length"] == pytest.approx(8)


def test_what_a_name_is_made_of() -> None:
    got = features(Event(TLS, 1.0, "www.strng7aeiou.com"))
    assert got["name_consonants"] == 5
    assert got["name_digits"] == pytest.approx(1 / 15)
    assert got["name_vowels"] == pytest.approx(5 / 10)
    assert got["name_hyphens"] == 0
    assert (got["name_generic_suffix"], got["name_country_suffix"]) == (1, 0)
    country = features(Event(TLS, 1.0, "a-b-c.de"))
    assert (country["name_generic_suffix"], country["name_country_suffix"]) == (0, 1)
    assert country["name_hyphens"] == 2


@pytest.mark.parametrize("address", ["192.0.2.1", "[2001:db8::1]", "2001:db8::1"])
def test_an_address_has_no_shape(address: str) -> None:
    told = features(Event(HTTP, 1.0, address))
    assert told["name_is_address"] == 1
    assert not any(name.startswith(("name_l", "name_e", "subname")) for name in told)


@pytest.mark.parametrize("name", [".", "..", "-", "com", "x" * 255, "ü.example", "a..b", "_._"])
def test_strange_names(name: str) -> None:
    assert all(math.isfinite(value) for value in features(Event(DNS, 1.0, name)).values())


def test_the_first_name_counts() -> None:
    first = features(Event(HTTP, 1.0, None), Event(HTTP, 2.0, "a.net"), Event(HTTP, 3.0, "bbb.net"))
    assert first["name_length"] == pytest.approx(5)


def test_queries() -> None:
    got = features(
        Event(DNS, 1.0, "a.net", "TXT", "NXDOMAIN"),
        Event(DNS, 1.0, "b.net", "A", "NOERROR", ["192.0.2.1"], 60.0),
        Event(DNS, 1.0, "c.net", "NULL"),
        Event(DNS, 1.0, "d.net", None, "NOERROR", [], 30.0),
    )
    assert got["query_unusual"] == pytest.approx(0.5)
    # of those that were answered
    assert got["query_nxdomain"] == pytest.approx(1 / 3)
    assert got["query_ttl"] == pytest.approx(30)
    assert "query_nxdomain" not in features(Event(DNS, 1.0, "a.net", "A"))


def test_requests() -> None:
    got = features(
        Event(
            HTTP,
            1.0,
            "a.net",
            method="POST",
            uri="/x1/gate.php?id=22",
            status=200,
            user_agent="Mozilla/5.0 (X11)",
            mime_type="text/html",
        ),
        Event(HTTP, 2.0, "a.net", method="GET", uri="/logo.gif", status=404, referrer="http://a"),
        Event(HTTP, 3.0, "a.net", method="GET", uri="/", mime_type="application/x-dosexec"),
    )
    assert got["http_requests"] == pytest.approx(3)
    assert got["http_post"] == pytest.approx(1 / 3)
    assert got["uri_script"] == pytest.approx(1 / 3)
    # of those with a response
    assert (got["http_success"], got["http_error"]) == (0.5, 0.5)
    assert got["http_referrer"] == pytest.approx(1 / 3)
    assert (got["http_page"], got["http_no_type"], got["http_program"]) == (1, 0, 1)
    assert got["http_type_differs"] == 0
    assert got["uri_length"] == pytest.approx(18)
    assert got["uri_depth"] == 2
    assert got["uri_digits"] == pytest.approx(3 / 18)
    assert got["uri_query_length"] == pytest.approx(5)
    assert got["agent_length"] == pytest.approx(17)
    assert got["agent_browser"] == 1


def test_a_request_that_says_nothing() -> None:
    got = features(Event(HTTP, 1.0, None))
    assert got["agent_length"] == got["agent_browser"] == got["uri_length"] == 0
    assert got["uri_entropy"] == got["uri_depth"] == got["uri_query_length"] == 0
    assert got["http_no_type"] == 1
    assert "http_success" not in got
    assert "name_length" not in got


@pytest.mark.parametrize(
    ("uri", "mime", "program", "differs"),
    [
        ("/a.exe", "text/html", 1, 0),
        ("/a.exe?x", None, 1, 0),
        ("/exe", "application/octet-stream", 1, 0),
        ("/a.png", "application/octet-stream", 1, 1),
        ("/a.png", "text/html", 0, 1),
        ("/a.PNG?v=1", "image/png", 0, 0),
        ("/a.js", "application/javascript", 0, 0),
        ("/a.png", None, 0, 0),
    ],
)
def test_content(uri: str, mime: str | None, program: int, differs: int) -> None:
    got = features(Event(HTTP, 1.0, "a", uri=uri, mime_type=mime))
    assert (got["http_program"], got["http_type_differs"]) == (program, differs)


def test_a_handshake() -> None:
    got = features(
        Event(
            TLS,
            10 * DAY,
            "www.a.net",
            version="TLSv12",
            subject="CN=*.a.net, O=A",
            issuer="CN=ca",
            not_valid_before=4 * DAY,
            not_valid_after=94 * DAY,
        )
    )
    assert (got["tls_old"], got["tls_13"], got["tls_name"]) == (0, 0, 1)
    assert (got["certificate_self_signed"], got["issuer_organisation"]) == (0, 0)
    assert got["certificate_name_matches"] == 1
    assert got["subject_length"] == pytest.approx(15)
    assert got["issuer_length"] == pytest.approx(5)
    assert got["certificate_validity"] == pytest.approx(90, rel=1e-5)
    assert got["certificate_age"] == pytest.approx(6, rel=1e-5)


def test_handshakes_of_other_sorts() -> None:
    own = features(Event(TLS, 1.0, None, version="TLSv10", subject="O=x, CN=x", issuer="O=x, CN=x"))
    assert (own["tls_old"], own["tls_name"], own["certificate_self_signed"]) == (1, 0, 1)
    assert (own["issuer_organisation"], own["certificate_name_matches"]) == (1, 0)
    bare = features(Event(TLS, 1.0, "a.net", version="TLSv13"))
    assert bare["tls_13"] == 1
    assert "certificate_self_signed" not in bare
    silent = features(Event(TLS, None, None))
    assert silent == {"tls_name": 0}


TEXTS = st.none() | st.text(max_size=20) | st.sampled_from(["a.net", "/x.php?a=1", "CN=a, O=b"])
TIMES = st.none() | st.floats(0, 1e10)


@st.composite
def events_of_a_flow(draw: st.DrawFn) -> list[Event] | None:
    if draw(st.booleans()):
        return None
    found = []
    for kind in draw(st.lists(st.sampled_from([DNS, HTTP, TLS]), max_size=3)):
        text: dict[str, Any] = {n: draw(TEXTS) for n in Event._fields[2:] if n not in NUMBERS}
        found.append(Event(**text, **NUMBERS | {"kind": kind, "ts": draw(TIMES)}))
    return found


NUMBERS: dict[str, Any] = dict.fromkeys(
    ("answers", "ttl", "status", "not_valid_before", "not_valid_after")
)


@given(st.lists(events_of_a_flow(), min_size=1, max_size=5), st.integers(0, 5))
def test_every_flow_is_read_by_itself(flows: list[list[Event] | None], cut: int) -> None:
    events = column(*flows)
    whole = matrix_of(events)
    parts = [matrix_of(column(flow)) for flow in flows]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    np.testing.assert_array_equal(whole[cut:], matrix_of(events.slice(cut)))
    assert not np.isinf(whole).any()


def test_other_names_of_the_same_shape_change_nothing() -> None:
    def flow(name: str, path: str, agent: str) -> Event:
        return Event(HTTP, 1.0, name, uri=path, user_agent=agent, mime_type="text/html")

    assert features(flow("abcde1.example.com", "/ab/cd1.php", "agent/1")) == features(
        flow("vbcdy7.axemple.com", "/ba/dc2.php", "tnega/2")
    )
