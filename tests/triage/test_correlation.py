"""Which incidents of different streams are one attack."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import ONE as WRITTEN

from zeekml.triage.correlation import APART, are_one_attack, correlate
from zeekml.triage.notice_reader import NoticeLine, read_notice

LINE = read_notice(WRITTEN)


def seen(
    id: str, group: str = "g", first_ts: float = 1000.0, last_ts: float = 1100.0
) -> NoticeLine:
    return replace(LINE, id=id, group=group, first_ts=first_ts, last_ts=last_ts)


ONE = seen("a")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (seen("b"), True),
        (seen("b", first_ts=1100.0 + APART, last_ts=2000.0), True),
        (seen("b", first_ts=1101.0 + APART, last_ts=2000.0), False),
        (seen("b", first_ts=0.0, last_ts=1000.0 - APART), True),
        (seen("b", first_ts=0.0, last_ts=999.0 - APART), False),
        (seen("b", group="h"), False),
        (ONE, False),  # the incident itself
    ],
)
def test_one_group_at_one_time(other: NoticeLine, same: bool) -> None:
    assert are_one_attack(ONE, other) is same


def test_lines_without_a_group_are_nobodys() -> None:
    assert not are_one_attack(replace(ONE, group=""), seen("b", group=""))


spans = st.tuples(st.integers(0, 999), st.integers(0, 999)).map(sorted)


@given(st.sampled_from("ab"), spans, st.sampled_from("ab"), spans)
def test_it_does_not_matter_from_which_side_one_looks(
    one_id: str, one: list[float], other_id: str, other: list[float]
) -> None:
    a, b = seen(one_id, "g", *one), seen(other_id, "g", *other)
    assert are_one_attack(a, b) == are_one_attack(b, a)


@given(st.lists(st.tuples(st.sampled_from("gh"), spans), max_size=12))
def test_all_at_once_finds_what_pairs_do(found: list[tuple[str, list[float]]]) -> None:
    incidents = [seen(str(n), group, *span) for n, (group, span) in enumerate(found)]
    others, attacks = correlate(incidents)
    assert others.keys() == {i.id for i in incidents}
    for one in incidents:
        wanted = {other.id for other in incidents if are_one_attack(one, other)}
        assert {other.id for other in others[one.id]} == wanted
        assert len(others[one.id]) == len(wanted)
    assert sorted(i.id for attack in attacks for i in attack) == sorted(others)
    for first, *rest in attacks:
        assert all(are_one_attack(first, other) for other in rest)
        assert all((first.first_ts, first.id) <= (other.first_ts, other.id) for other in rest)


def test_a_group_that_comes_back_often_takes_no_longer_each_time() -> None:
    many = [seen(f"{n}", "g", 1000.0 * n, 1000.0 * n + 10) for n in range(50_000)]
    assert not any(correlate(many)[0].values())


def test_lines_without_a_group_have_none() -> None:
    assert correlate([seen("a", ""), seen("b", "")])[0] == {"a": [], "b": []}
