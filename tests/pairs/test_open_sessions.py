"""Flows that are still open count in the ledger as what they are so far, and never twice."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_contacts import BEGIN, beacon, contacts_of

from zeekml.errors import StateError
from zeekml.pairs import open_sessions as module
from zeekml.pairs.contacts import with_interim
from zeekml.pairs.layout import HORIZON, MICROS, Records
from zeekml.pairs.ledger import PairLedger
from zeekml.pairs.open_sessions import OpenSessions
from zeekml.readers.flow_schema import FLOW_SCHEMA

SUMS = ("contacts", "flows", "failed", "sent", "received", "duration", "longest", "first", "last")


def cut(contact: Any, share: float) -> Any:
    """An interim record of a flow, when that share of its time is over."""
    so_far = contact.copy()
    for name in ("sent", "received"):
        so_far[name] = int(contact[name] * share)
    so_far["end"] = contact["start"] + int((contact["end"] - contact["start"]) * share)
    so_far["clock"], so_far["open"] = so_far["end"], 1
    return so_far


def take(ledger: PairLedger, contacts: Records) -> Records:
    return ledger.take(ledger.sessions.count(contacts))


def with_sessions(*flows: dict[str, Any]) -> Records:
    contacts = contacts_of(*flows)
    contacts["session"] = 1000 + np.arange(len(contacts))
    return contacts


def interim_of(contacts: Records, shares: list[list[float]]) -> Records:
    found = [cut(c, s) for c, of in zip(contacts, shares, strict=True) for s in of]
    interim = np.array(found, contacts.dtype)
    return interim[np.argsort(interim["clock"], kind="stable")]


SESSIONS = st.fixed_dictionaries(
    {
        "at": st.integers(0, 30_000).map(float),
        "lasts": st.sampled_from([60.0, 700.0, 7200.0, 90_000.0]),
        "destination": st.integers(10, 12),
        "sent": st.integers(0, 50_000_000),
        "received": st.integers(0, 50_000_000),
        "failed": st.integers(0, 1),
    }
)


@settings(max_examples=60)
@given(st.lists(SESSIONS, min_size=1, max_size=8), st.data())
def test_nothing_counts_twice_however_it_is_cut_and_stored(
    flows: list[dict[str, Any]], data: st.DataObject
) -> None:
    contacts = with_sessions(*flows)
    some = st.lists(st.floats(0.01, 1.0), max_size=5)
    shares = data.draw(st.lists(some, min_size=len(contacts), max_size=len(contacts)))
    both = with_interim(contacts, interim_of(contacts, shares))
    assert (np.diff(both["clock"]) >= 0).all()
    whole = PairLedger(64)
    expected = take(whole, both)
    found, ledger = [], PairLedger(64)
    stored: dict[tuple[int, int], Any] = {}
    cuts = data.draw(st.lists(st.integers(0, len(both)), max_size=4))
    for begin, end in pairwise(sorted({0, len(both), *cuts})):
        looks = take(ledger, both[begin:end])
        found.append(looks)
        stored |= {(change.kind, change.place): change for change in ledger.changes()}
        ledger.stored()
        assert not list(ledger.changes())
        ledger = PairLedger.load(ledger.head(), stored.values())
    again = np.concatenate(found)
    for name in SUMS:
        assert again["pair"][name].tolist() == expected["pair"][name].tolist()
    # what it comes to is what the flows alone come to
    used = whole._used(0)
    for pair in whole._records[0][used]:
        own = contacts[contacts["destination"] == pair["destination"]]
        assert pair["flows"] == len(own)
        assert pair["failed"] == own["failed"].sum()
        assert pair["sent"] == own["sent"].sum()
        assert pair["received"] == own["received"].sum()
        lasted = own["end"] - own["start"]
        assert (pair["duration"], pair["longest"]) == (lasted.sum(), lasted.max())
    assert sum(whole._records[1]["sent"]) == contacts["sent"].sum()


@given(st.floats(0.05, 1.0), st.integers(0, 20))
def test_a_row_made_while_it_is_open_is_the_one_had_it_just_ended(
    share: float, before: int
) -> None:
    session = with_sessions({"at": 20_000.0, "lasts": 40_000.0, "sent": 90_000_000, "port": 443})
    earlier = beacon(before, 600.0, port=443)
    so_far = interim_of(session, [[share]])
    had_ended = so_far.copy()
    had_ended["open"] = had_ended["session"] = 0
    looks = [take(PairLedger(64), np.concatenate([earlier, one])) for one in (so_far, had_ended)]
    assert looks[0].tobytes() == looks[1].tobytes()


def test_it_is_looked_at_from_its_first_hour_on() -> None:
    session = with_sessions({"at": 0.0, "lasts": 36_000.0})
    hours = interim_of(session, [[i / 10 for i in range(1, 10)]])
    looks = take(PairLedger(64), hours)
    assert (looks["pair"]["longest"] // (3600 * MICROS)).tolist() == [1, 2, 4, 8]
    assert looks["pair"]["contacts"].tolist() == [1] * 4


def test_sizes_of_later_contacts_are_not_those_of_a_flow_beside_them() -> None:
    session = with_sessions({"at": 0.0, "lasts": 9000.0, "sent": 90_000_000, "port": 443})
    beacons = beacon(14, 600.0, port=443)
    beacons["start"] += 60 * MICROS
    beacons["end"] += 60 * MICROS
    beacons["clock"] += 60 * MICROS
    contacts = with_interim(beacons, interim_of(session, [[0.01, 0.2, 0.4, 0.6, 0.8]]))
    looks = take(PairLedger(64), contacts)
    # the session's own contact, with what there was when the next one began, and small ones
    sizes = looks[-1]["pair"]["sent_sizes"]
    assert (sizes.sum(), sizes[10:].sum()) == (looks[-1]["pair"]["contacts"] - 1, 1)
    assert looks[-1]["pair"]["sent"] > 60_000_000


def test_what_is_written_after_the_end_is_not_used() -> None:
    session = with_sessions({"at": 0.0, "lasts": 9000.0, "sent": 5_000_000})
    early, late = interim_of(session, [[0.2, 0.7]])
    ledger = PairLedger(64)
    for contact in (early, session[0], late):
        take(ledger, np.array([contact]))
    (pair,) = ledger._records[0][ledger._used(0)]
    assert (pair["flows"], pair["sent"]) == (1, 5_000_000)
    # of less than was told before, nothing is taken back
    ledger = PairLedger(64)
    for contact in (late, early):
        take(ledger, np.array([contact]))
    (pair,) = ledger._records[0][ledger._used(0)]
    assert (pair["flows"], pair["sent"]) == (1, 3_500_000)


def test_a_pair_is_kept_while_its_flow_is_open() -> None:
    lasts = 3.0 * HORIZON
    session = with_sessions({"at": 0.0, "lasts": lasts, "sent": 1000})
    days = interim_of(session, [[i / 21 for i in range(1, 21)]])
    ledger = PairLedger(64)
    for day in days:
        # and somebody else's traffic, which moves the clock
        other = contacts_of({"at": (day["clock"] / MICROS - BEGIN), "destination": 99})
        take(ledger, with_interim(other, np.array([day])))
    kept = ledger._records[0][ledger._used(0)]
    (pair,) = kept[kept["destination"] == 2]
    assert pair["sent"] == days[-1]["sent"]
    take(ledger, contacts_of({"at": lasts + HORIZON, "destination": 99}))
    kept = ledger._records[0][ledger._used(0)]
    assert kept["destination"].tolist() == [99]


def flows_at(*ends: float, uid: str = "C") -> pa.RecordBatch:
    """Flows that ended then, each after a second."""
    rows = [
        {
            "ts": BEGIN + end - 1.0,
            "duration": 1.0,
            "uid": f"{uid}{number}",
            "id.orig_h": "10.0.0.1",
            "id.resp_h": "192.0.2.1",
            "proto": "tcp",
            "sensor": "zeek",
            "source": f"{uid}.log",
            "line": number,
        }
        for number, end in enumerate(ends)
    ]
    return pa.RecordBatch.from_pylist(rows, FLOW_SCHEMA)


def ready(sessions: OpenSessions, until: float) -> list[str]:
    found = sessions.until(BEGIN + until)
    return [] if found is None else found[0].column("uid").to_pylist()


def test_records_wait_for_the_clock_in_the_order_of_their_logs() -> None:
    sessions = OpenSessions()
    # the second is written behind the first: it was silent for some time
    sessions.push("open_conn", flows_at(100.0, 40.0, 200.0))
    sessions.push("conn_long", flows_at(100.0, 150.0, uid="L"))
    assert ready(sessions, 99.0) == []
    sessions = OpenSessions.load(sessions.save())
    assert ready(sessions, 100.0) == ["L0", "C0", "C1"]
    assert ready(sessions, 100.0) == []
    assert ready(sessions, 1e6) == ["L1", "C2"]
    sessions.push("open_conn", flows_at(50.0, uid="D"))
    assert ready(sessions, 199.0) == []
    assert ready(sessions, 200.0) == ["D0"]


def test_one_wrong_time_keeps_no_other_waiting() -> None:
    sessions, far = OpenSessions(), 40.0 * HORIZON
    sessions.push("conn_long", flows_at(100.0, far, 200.0, far, far + 1.0))
    assert ready(sessions, 300.0) == ["C0", "C2"]
    # two in a row are the log's time
    sessions.push("conn_long", flows_at(400.0, uid="D"))
    assert ready(sessions, 500.0) == []
    assert ready(sessions, far + 1.0) == ["C1", "C3", "C4", "D0"]


def test_what_is_remembered_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_SESSIONS", "MAX_ENDED", "MAX_WAITING", "MAX_TOLD"):
        monkeypatch.setattr(module, name, 3)
    sessions = OpenSessions()
    contacts = with_sessions(*({"at": 100.0 * i, "lasts": 7000.0} for i in range(9)))
    sessions.count(interim_of(contacts, [[0.5]] * 9))
    sessions.count(contacts)
    flows = flows_at(*range(9))
    sessions.push("conn_long", flows)
    for row in range(9):
        sessions.tell(flows, row)
    again = OpenSessions.load(sessions.save())
    assert (len(again._counted), len(again._ended), len(again._waiting)) == (0, 3, 3)
    assert list(again.told) == ["C6", "C7", "C8"]


def test_without_interim_records_nothing_is_remembered() -> None:
    ledger = PairLedger(64)
    contacts = with_sessions(*({"at": 100.0 * i, "lasts": 7000.0} for i in range(9)))
    assert ledger.sessions.count(contacts) is contacts
    take(ledger, contacts)
    assert {change.kind for change in ledger.changes()} == {0, 1, 2}


def test_states_of_the_version_before_are_read_and_damage_is_told() -> None:
    ledger = PairLedger(64)
    ledger.take(beacon(14))
    head = ledger.head().replace(b'"version":2', b'"version":1')
    before = PairLedger.load(head, list(ledger.changes()))
    assert len(before) == 1
    # of what it counted it does not know the sessions
    now = int(before._position["now"][0]) / MICROS - BEGIN
    before.sessions.push("conn_long", flows_at(now - 1.0, now))
    again = PairLedger.load(before.head(), [*ledger.changes(), *before.changes()])
    again.sessions.push("open_conn", flows_at(now - 1.0, now + 1.0, uid="O"))
    assert ready(again.sessions, now + 1.0) == ["C1", "O1"]
    session = with_sessions({"at": 20_000.0, "lasts": 40_000.0})
    take(ledger, interim_of(session, [[0.5]]))
    ledger.sessions.push("conn_long", flows_at(1.0))
    *records, sessions = ledger.changes()
    assert sessions.kind == 3
    assert sessions.data is not None
    for damaged in (b"", b"rubbish", sessions.data[:-3], sessions.data[:40]):
        with pytest.raises(StateError):
            PairLedger.load(ledger.head(), [*records, sessions._replace(data=damaged)])
