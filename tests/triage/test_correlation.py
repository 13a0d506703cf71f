"""Which incidents of different streams are one attack."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.triage.correlation import APART, are_one_attack, counterparts


@dataclass
class Seen:
    id: str = "a"
    group: str = "g"
    first_ts: float = 1000.0
    last_ts: float = 1100.0


ONE = Seen()


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Seen("b"), True),
        (Seen("b", first_ts=1100.0 + APART, last_ts=2000.0), True),
        (Seen("b", first_ts=1101.0 + APART, last_ts=2000.0), False),
        (Seen("b", first_ts=0.0, last_ts=1000.0 - APART), True),
        (Seen("b", first_ts=0.0, last_ts=999.0 - APART), False),
        (Seen("b", group="h"), False),
        (ONE, False),  # the incident itself
    ],
)
def test_one_group_at_one_time(other: Seen, same: bool) -> None:
    assert are_one_attack(ONE, other) is same


def test_lines_without_a_group_are_nobodys() -> None:
    assert not are_one_attack(replace(ONE, group=""), Seen("b", group=""))


spans = st.tuples(st.integers(0, 999), st.integers(0, 999)).map(sorted)


@given(st.sampled_from("ab"), spans, st.sampled_from("ab"), spans)
def test_it_does_not_matter_from_which_side_one_looks(
    one_id: str, one: list[float], other_id: str, other: list[float]
) -> None:
    a, b = Seen(one_id, "g", *one), Seen(other_id, "g", *other)
    assert are_one_attack(a, b) == are_one_attack(b, a)


@given(st.lists(st.tuples(st.sampled_from("gh"), spans), max_size=12))
def test_all_at_once_finds_what_pairs_do(seen: list[tuple[str, list[float]]]) -> None:
    incidents = [Seen(str(n), group, *span) for n, (group, span) in enumerate(seen)]
    found = counterparts(incidents)
    assert found.keys() == {i.id for i in incidents}
    for one in incidents:
        wanted = {other.id for other in incidents if are_one_attack(one, other)}
        assert {other.id for other in found[one.id]} == wanted
        assert len(found[one.id]) == len(wanted)


def test_a_group_that_comes_back_often_takes_no_longer_each_time() -> None:
    many = [Seen(f"{n}", "g", 1000.0 * n, 1000.0 * n + 10) for n in range(50_000)]
    assert not any(counterparts(many).values())


def test_lines_without_a_group_have_none() -> None:
    assert counterparts([Seen("a", ""), Seen("b", "")]) == {"a": [], "b": []}
