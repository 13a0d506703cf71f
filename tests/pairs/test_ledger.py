"""The pair ledger against a plain one, cut anywhere, stored and loaded anywhere."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_contacts import beacon, contacts_of

from zeekml.errors import StateError
from zeekml.pairs import ledger as module
from zeekml.pairs.layout import (
    BURST,
    FIRST_DUE_SENT,
    GAP_STEP,
    HORIZON,
    HOST,
    INBOUND,
    MICROS,
    OUTBOUND,
    PAIR,
)
from zeekml.pairs.ledger import PairLedger
from zeekml.pairs.pair_features import hours_seen


def test_when_a_pair_is_looked_at() -> None:
    looks = PairLedger(64).take(beacon(70))
    assert looks["pair"]["contacts"].tolist() == [12, 16, 24, 32, 48, 64]
    assert looks["number"].tolist() == [11, 15, 23, 31, 47, 63]
    looks = PairLedger(64).take(beacon(8, sent=FIRST_DUE_SENT // 2))
    assert looks["pair"]["contacts"].tolist() == [2, 4, 8]
    looks = PairLedger(64).take(beacon(3, period=40_000, lasts=3600))
    assert looks["pair"]["contacts"].tolist() == [1]


def test_flows_of_a_moment_are_one_contact() -> None:
    contacts = contacts_of(
        *({"at": 100.0 * i + j, "sent": 10} for i in range(12) for j in (0.0, 0.5, BURST - 0.1))
    )
    (look,) = PairLedger(64).take(contacts)
    # the last contact has only begun
    assert look["pair"]["contacts"] == 12
    assert look["pair"]["flows"] == 34
    assert look["pair"]["sent"] == 340
    assert look["gap_count"] == 11


class Plain:
    """What of each pair is known, without bounds."""

    def __init__(self) -> None:
        self.gaps: dict[Any, list[float]] = defaultdict(list)
        self.last: dict[Any, int] = {}
        self.sums: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0])

    def add(self, contact: Any) -> Any:
        key = tuple(int(contact[n]) for n in ("source", "destination", "port", "proto"))
        start = int(contact["start"])
        sums = self.sums[key]
        if key not in self.last:
            self.last[key] = start
            sums[0] = 1
        elif start - self.last[key] >= BURST * MICROS:
            self.gaps[key].append((start - self.last[key]) / MICROS)
            self.last[key] = start
            sums[0] += 1
        sums[1] += 1
        sums[2] += int(contact["sent"])
        sums[3] += int(contact["failed"])
        return key


FLOWS = st.fixed_dictionaries(
    {
        "at": st.integers(0, 600_000).map(lambda tenths: tenths / 10),
        "lasts": st.sampled_from([0.0, 0.1, 3.0, 900.0]),
        "source": st.integers(1, 4),
        "destination": st.integers(10, 13),
        "port": st.sampled_from([53, 443]),
        "sent": st.integers(0, 5_000_000),
        "failed": st.integers(0, 1),
        "direction": st.sampled_from([OUTBOUND, INBOUND]),
    }
)


@settings(max_examples=60)
@given(st.lists(FLOWS, min_size=1, max_size=120), st.lists(st.integers(0, 120), max_size=4))
def test_the_same_however_it_is_cut_and_stored(
    flows: list[dict[str, Any]], cuts: list[int]
) -> None:
    contacts = contacts_of(*flows)
    whole = PairLedger(64)
    expected = whole.take(contacts)
    plain = Plain()
    for number, contact in enumerate(contacts):
        key = plain.add(contact)
        for look in expected[expected["number"] == number]:
            pair = look["pair"]
            assert [pair["contacts"], pair["flows"], pair["sent"], pair["failed"]] == plain.sums[
                key
            ]
            bins = [
                math.floor(math.log(gap / BURST) / math.log(GAP_STEP)) for gap in plain.gaps[key]
            ]
            assert pair["gaps"].sum() == len(bins)
            # rounding may put a gap on an edge into the bin beside
            assert abs(int((pair["gaps"] * np.arange(len(pair["gaps"]))).sum()) - sum(bins)) <= len(
                bins
            )
    found, ledger = [], PairLedger(64)
    stored: dict[tuple[int, int], Any] = {}
    for begin, end in pairwise(
        sorted({0, len(contacts), *(c % (len(contacts) + 1) for c in cuts)})
    ):
        looks = ledger.take(contacts[begin:end])
        looks["number"] += begin
        found.append(looks)
        stored |= {(change.kind, change.place): change for change in ledger.changes()}
        ledger.stored()
        assert not list(ledger.changes())
        ledger = PairLedger.load(ledger.head(), stored.values())
        assert len(ledger) == len(plain.last) or end < len(contacts)
    again = np.concatenate(found)
    # what is where does not matter
    for looks in (expected, again):
        looks["place"] = 0
        for name in ("source_place", "destination_place", "of_source", "of_destination"):
            looks["pair"][name] = 0
    assert again.tobytes() == expected.tobytes()


def test_room_is_made_by_those_with_the_fewest_contacts() -> None:
    ledger = PairLedger(8)
    ledger.take(beacon(5, destination=1))
    ledger.take(contacts_of(*({"at": 2000 + i, "destination": 10 + i} for i in range(40))))
    assert ledger.evicted == 33
    (look,) = ledger.take(
        contacts_of(*({"at": 3000 + 300 * i, "destination": 1} for i in range(7)))
    )
    assert look["pair"]["contacts"] == 12


def test_what_is_not_heard_of_is_forgotten() -> None:
    ledger = PairLedger(64)
    ledger.take(beacon(3, destination=1))
    ledger.take(contacts_of({"at": HORIZON + 2000, "destination": 2}))
    assert len(ledger) == 1
    assert ledger.evicted == 0


def test_what_is_old_weighs_less() -> None:
    count = HORIZON // 3600 + 2
    looks = PairLedger(64).take(beacon(count, 3600.0))
    # 168 hours are over: half of it stays
    assert looks["pair"]["contacts"].max() <= 170
    later = PairLedger(64).take(beacon(2 * count, 3600.0))
    assert later["pair"]["gaps"].sum(axis=1).max() < 260  # of 339


def test_the_hours_of_a_pair() -> None:
    hours = [0, 1, 1, 5, 70, 71, 100, 101, 102, 103, 104, 105, 160]
    contacts = contacts_of(*({"at": 3600 * h + 60 * i} for i, h in enumerate(hours)))
    looks = PairLedger(64).take(contacts)
    latest = int(contacts["start"][11] // (3600 * MICROS))
    seen = {latest - int(h) for h in np.flatnonzero(hours_seen(looks)[0])}
    assert seen == set((contacts["start"][:12] // (3600 * MICROS)).tolist())


def test_what_else_the_hosts_do() -> None:
    regular = [{"at": 300 * i + j, "destination": 10 + j} for i in range(40) for j in range(3)]
    others = [{"at": 300 * i + 50, "source": 5, "destination": 10} for i in range(40)]
    looks = PairLedger(64).take(contacts_of(*regular, *others))
    look = looks[looks["pair"]["contacts"] == 32][-1]
    assert look["pair"]["source"] == 5
    assert look["same_from_others"] == 1
    assert look["sources"] == 1  # one host alone contacts several
    own = looks[(looks["pair"]["source"] == 1) & (looks["pair"]["contacts"] == 32)][-1]
    assert (own["same_to_others"], own["regular_to_others"]) == (2, 2)
    assert bin(own["seen"]).count("1") == 1
    assert own["source_pairs"] == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda head, records: (b"", records),
        lambda head, records: (head.replace(b'"version":2', b'"version":9'), records),
        lambda head, records: (head, [r._replace(data=b"rubbish") for r in records]),
        lambda head, records: (head, [r._replace(place=10_000_000) for r in records]),
        lambda head, records: (head, [r for r in records if r.kind]),
        lambda head, records: (head, records[:1]),
    ],
)
def test_damage_is_told(damage: Any) -> None:
    ledger = PairLedger(64)
    ledger.take(beacon(14))
    head, records = damage(ledger.head(), list(ledger.changes()))
    with pytest.raises(StateError):
        PairLedger.load(head, records)


def test_pairs_are_many_but_not_without_end() -> None:
    assert module.MAX_PAIRS * (PAIR.itemsize + 2 * HOST.itemsize) < 130 << 20


def test_what_is_newer_weighs_more_once_a_bin_is_full() -> None:
    ledger = PairLedger()
    ledger.take(beacon(300, 60.0))
    gaps = ledger.take(beacon(1025, 60.0))[-1]["pair"]["gaps"]
    assert 128 <= gaps.max() <= 255
    assert gaps.sum() == gaps.max()


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=1, max_size=60), st.data())
def test_the_lowest_are_those_that_sorting_puts_first(rows: Any, data: Any) -> None:
    keys = data.draw(st.permutations(range(len(rows))))
    columns = [np.array(column) for column in (*zip(*rows, strict=True), keys)]
    count = data.draw(st.integers(1, len(rows)))
    expected = np.lexsort(columns[::-1])[:count]
    assert sorted(module._lowest(columns, count).tolist()) == sorted(expected.tolist())
