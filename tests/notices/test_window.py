from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.ensemble.classes import THREATS
from zeekml.notices.notice import UNKNOWN_AS, Candidate
from zeekml.notices.window import ANY_THREAT, MAX_ROWS, Group, Row, TopRows, Windows

MakeCandidate = Callable[..., Candidate]

steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 4.0, 20.0]),  # seconds since the row before
        st.sampled_from([0.0, 0.1, 0.5, 0.5000001, 0.9, 1.0]),
    ),
    max_size=60,
)


def rows_of(make: MakeCandidate, moves: list[tuple[float, float]]) -> list[Row]:
    clock = 0.0
    rows: list[Row] = []
    for step, score in moves:
        clock += step
        rows.append(Row(make(score=score, uid=f"C{len(rows)}"), clock))
    return rows


@settings(max_examples=150)
@given(steps, st.integers(1, 4), st.sampled_from([1.0, 5.0, 30.0]))
def test_top_rows_are_those_of_the_whole_window(
    make_candidate: MakeCandidate, moves: list[tuple[float, float]], top: int, span: float
) -> None:
    known = TopRows(ANY_THREAT, span, top)
    rows = rows_of(make_candidate, moves)
    for number, row in enumerate(rows):
        known.add(row)
        window = [r for r in rows[: number + 1] if r.clock > row.clock - span]
        window.reverse()  # highest first; of equals, the newest first
        expected = sorted(window, key=lambda r: -r.candidate.score)[:top]
        assert known.best(row.clock) == expected
    if rows:
        assert known.best(rows[-1].clock + span) == []


@settings(max_examples=60)
@given(steps, st.integers(0, 60))
def test_asking_late_changes_nothing(
    make_candidate: MakeCandidate, moves: list[tuple[float, float]], first_asked: int
) -> None:
    early, late = Group(), Group()
    for number, row in enumerate(rows_of(make_candidate, moves)):
        early.add(row, 30.0)
        late.add(row, 30.0)
        expected = early.best(ANY_THREAT, 5.0, 2, row.clock)
        if number >= first_asked:
            assert late.best(ANY_THREAT, 5.0, 2, row.clock) == expected


def test_the_window_is_open_at_its_old_end(make_candidate: MakeCandidate) -> None:
    group = Group()
    for clock in (0.0, 10.0, 20.0):
        group.add(Row(make_candidate(), clock), 60.0)
    assert [row.clock for row in group.since(10.0)] == [20.0]
    assert group.count(9.9) == 2
    group.add(Row(make_candidate(), 60.0), 60.0)
    assert [row.clock for row in group.rows] == [10.0, 20.0, 60.0]


def test_shares_of_a_row(make_candidate: MakeCandidate) -> None:
    row = Row(make_candidate(threat="web", share=0.7, score=0.5), 0.0)
    assert row.threat == THREATS.index("web")
    assert row.value(row.threat) == 0.35
    assert math.isclose(math.fsum(row.shares), 0.5)


def test_a_row_whose_threat_nobody_knows(make_candidate: MakeCandidate) -> None:
    silent = replace(make_candidate(score=0.8), threat="", classes=(math.nan,) * len(THREATS))
    row = Row(silent, 0.0)
    assert THREATS[row.threat] == UNKNOWN_AS
    assert [s for s in row.shares if s] == [0.8]


def test_one_group_is_bounded_and_keeps_its_highest_rows(make_candidate: MakeCandidate) -> None:
    group = Group()
    high = Row(make_candidate(score=1.0), 0.0)
    low = make_candidate(score=0.5)
    group.best(ANY_THREAT, 60.0, 3, 0.0)
    group.add(high, 60.0)
    dropped = 0
    for _ in range(MAX_ROWS + 10):
        dropped += group.add(Row(low, 1.0), 60.0)[1]
    assert len(group.rows) == MAX_ROWS
    assert dropped == 11
    assert group.best(ANY_THREAT, 60.0, 3, 1.0)[0] is high


def test_falling_scores_do_not_grow_without_bound(make_candidate: MakeCandidate) -> None:
    known = TopRows(ANY_THREAT, 1e9, 2)
    count = 1500
    for number in range(count):
        known.add(Row(make_candidate(score=1.0 - number / count), float(number)))
    assert [row.clock for row in known.best(float(count))] == [0.0, 1.0]
    assert len(known._current(0.0)) == 1024


def test_the_least_recent_groups_go_first(make_candidate: MakeCandidate) -> None:
    windows = Windows(60.0, max_groups=3, max_rows=1000)
    row = Row(make_candidate(), 0.0)
    for name in ("a", "b", "c", "a", "d"):
        windows.add((("id.orig_h",), (name,)), row)
    assert len(windows) == 3
    assert windows.evicted == 1
    # a was seen after b, so it was b that went: a has both its rows still, and b starts anew
    assert len(windows.add((("id.orig_h",), ("a",)), row).rows) == 3
    assert len(windows.add((("id.orig_h",), ("b",)), row).rows) == 1


def test_all_rows_together_are_bounded(make_candidate: MakeCandidate) -> None:
    windows = Windows(60.0, max_groups=1000, max_rows=20)
    for number in range(200):
        windows.add((("id.orig_h",), (number // 5,)), Row(make_candidate(), 0.0))
    assert len(windows) <= 4
    assert windows.evicted == 40 - len(windows)


def test_stale_groups_are_not_counted_as_evicted(make_candidate: MakeCandidate) -> None:
    windows = Windows(60.0, max_groups=2, max_rows=1000)
    for number in range(50):
        windows.add((("id.orig_h",), (number,)), Row(make_candidate(), number * 60.0))
    assert len(windows) == 1
    assert windows.evicted == 0


def test_a_forgotten_group_starts_anew(make_candidate: MakeCandidate) -> None:
    windows = Windows(60.0, max_groups=10, max_rows=2)
    key = (("id.orig_h",), ("a",))
    windows.add(key, Row(make_candidate(), 0.0))
    windows.forget(key)
    windows.forget(key)
    assert len(windows) == 0
    windows.add(key, Row(make_candidate(), 0.0))
    windows.add((("id.orig_h",), ("b",)), Row(make_candidate(), 0.0))
    assert windows.evicted == 0
