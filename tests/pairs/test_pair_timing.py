"""When the contacts of a pair were, as evidence keeps it."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pair_contacts import BEGIN, beacon, contacts_of

from zeekml.pairs.ledger import PairLedger
from zeekml.pairs.pair_timing import PairTiming, timing_of


def timing(contacts: np.ndarray) -> PairTiming:
    return msgspec.json.decode(timing_of(PairLedger().take(contacts)[-1:]), type=PairTiming)


def test_every_gap_lies_in_its_bin() -> None:
    found = timing(beacon(12, period=300.0))
    [(begin, end, count)] = found.gaps
    assert begin <= 300.0 < end
    assert count == 11


def test_hours_are_those_of_the_contacts() -> None:
    found = timing(beacon(12, period=1800.0))
    first = BEGIN // 3600
    assert found.hours == sorted({(BEGIN + i * 1800) // 3600 for i in range(12)})
    assert found.hours[0] == first


@given(st.lists(st.floats(2.0, 40_000.0), min_size=11, max_size=11))
def test_no_gap_is_lost(gaps: list[float]) -> None:
    times = np.cumsum([0.0, *gaps])
    found = timing(contacts_of(*({"at": float(at), "lasts": 0.0} for at in times)))
    assert sum(count for *_, count in found.gaps) == len(gaps)
    assert all(begin < end for begin, end, _ in found.gaps)
    assert [begin for begin, *_ in found.gaps] == sorted(begin for begin, *_ in found.gaps)
