from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.detection.candidates import Candidates
from zeekml.detection.incidents.candidate_rows import SCORE, UNIT, number_rows
from zeekml.detection.incidents.compiled_policy import CompiledPolicy, make_plan
from zeekml.detection.incidents.sliding_windows import (
    claim,
    clear,
    drop_stale,
    enter_group,
    forget,
    let_go,
    make_room,
    own_rows,
    place_row,
)
from zeekml.detection.incidents.window_arrays import MAX_ROWS, NONE, new_windows
from zeekml.detection.notice import UNKNOWN_AS, Candidate
from zeekml.detection.policy import Policy
from zeekml.ensemble.classes import THREATS

MakeCandidate = Callable[..., Candidate]
MakeColumns = Callable[[Sequence[Candidate]], Candidates]
MakePolicy = Callable[..., Policy]

SECRET = np.uint64(1)


class Stream:
    """Windows of one lane, and what enters them."""

    def __init__(
        self, plan: CompiledPolicy, make_columns: MakeColumns, groups: int, rows: int
    ) -> None:
        self.plan = plan
        self.windows = new_windows(plan, groups, rows, 16)
        self.places = len(self.windows.rows)
        self._columns = make_columns
        self._number = 0

    def add(self, candidate: Candidate, key: int = 1) -> tuple[int, int]:
        """Let a candidate enter the group of this key; return its row and group."""
        batch = number_rows(self._columns([candidate]), self.plan, 0.0, self._number, SECRET)
        self._number += 1
        w = self.windows
        drop_stale(w, candidate.clock)
        row = place_row(w, batch, 0)
        group = enter_group(w, 0, np.uint64(key), row)
        make_room(w, 1)
        let_go(w, row)
        return row, group

    def rows(self, group: int) -> list[int]:
        """Numbers of the rows of a group, oldest first."""
        numbers, row = [], int(self.windows.groups["oldest"][group])
        while row != NONE:
            numbers.append(int(self.windows.rows["place"][row]))
            row = int(self.windows.links["newer"][row, 0])
        return numbers

    def best(self, group: int, measure: int = SCORE) -> list[int]:
        """Numbers of the highest rows of a group."""
        layout = self.windows.layout[0]
        ranking = layout["measure"].tolist().index(measure)
        numbers, row = [], int(self.windows.groups["highest"][group, ranking])
        while row != NONE and len(numbers) < layout["top"][ranking]:
            numbers.append(int(self.windows.rows["place"][row]))
            row = int(self.windows.links["lower"][row, ranking])
        return numbers

    @property
    def groups(self) -> int:
        return int(self.windows.tally["groups"][0])

    @property
    def unused(self) -> int:
        return int(self.windows.tally["unused"][0])


MakeStream = Callable[..., Stream]


@pytest.fixture(scope="session")
def make_stream(make_policy: MakePolicy, make_columns: MakeColumns) -> MakeStream:
    def make(window: float = 60.0, top: int = 3, groups: int = 1000, rows: int = 10_000) -> Stream:
        policy = make_policy(window=window, suppress_for=window, top=top, group_by=("id.orig_h",))
        return Stream(make_plan(policy, {}), make_columns, groups, rows)

    return make


steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 4.0, 20.0]),  # seconds since the row before
        st.sampled_from([0.0, 0.1, 0.5, 0.5000001, 0.9, 1.0]),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(1, 4), st.sampled_from([1.0, 5.0, 30.0]))
def test_the_highest_rows_are_those_of_the_whole_window(
    make_stream: MakeStream,
    make_candidate: MakeCandidate,
    moves: list[tuple[float, float]],
    top: int,
    span: float,
) -> None:
    stream = make_stream(span, top)
    clock = 0.0
    added: list[tuple[float, float]] = []
    for step, score in moves:
        clock += step
        added.append((clock, score))
        _, group = stream.add(make_candidate(clock, score=score))
        window = [n for n, (c, _) in enumerate(added) if c > clock - span]
        assert stream.rows(group) == window
        window.reverse()  # highest first; of equals, the newest first
        assert stream.best(group) == sorted(window, key=lambda n: -added[n][1])[:top]
    clear(stream.windows)
    assert (stream.groups, stream.unused) == (0, stream.places)


def test_the_window_is_open_at_its_old_end(
    make_stream: MakeStream, make_candidate: MakeCandidate
) -> None:
    stream = make_stream(60.0)
    for clock in (0.0, 10.0, 20.0, 60.0):
        _, group = stream.add(make_candidate(clock))
    assert stream.rows(group) == [1, 2, 3]


def test_shares_of_a_row(
    make_stream: MakeStream, make_candidate: MakeCandidate, make_columns: MakeColumns
) -> None:
    columns = make_columns([make_candidate(threat="web", share=0.75, score=0.5)])
    row = number_rows(columns, make_stream().plan, 0.0, 0, SECRET).rows[0]
    assert row["threat"] == THREATS.index("web")
    assert row["values"][row["threat"]] * UNIT == 0.375
    assert row["values"][SCORE] * UNIT == 0.5


def test_a_row_whose_threat_nobody_knows(
    make_stream: MakeStream, make_candidate: MakeCandidate, make_columns: MakeColumns
) -> None:
    nan = (float("nan"),) * len(THREATS)
    columns = make_columns([make_candidate(score=0.75, threat="", classes=nan)])
    row = number_rows(columns, make_stream().plan, 0.0, 0, SECRET).rows[0]
    assert THREATS[row["threat"]] == UNKNOWN_AS
    assert not row["named"]
    assert [v * UNIT for v in row["values"] if v] == [0.75, 0.75]  # one share, and the score


def test_one_group_is_bounded(make_stream: MakeStream, make_candidate: MakeCandidate) -> None:
    stream = make_stream()
    for score in (1.0, *[0.5] * (MAX_ROWS + 10)):
        _, group = stream.add(make_candidate(score=score))
    assert stream.rows(group) == list(range(11, MAX_ROWS + 11))
    assert stream.windows.tally["dropped"] == 11
    # what was dropped does not count any more, however high
    assert stream.best(group) == [MAX_ROWS + 10, MAX_ROWS + 9, MAX_ROWS + 8]


def test_the_least_recent_groups_go_first(
    make_stream: MakeStream, make_candidate: MakeCandidate
) -> None:
    stream = make_stream(groups=3)
    for key in (1, 2, 3, 1, 4):
        stream.add(make_candidate(), key)
    assert stream.groups == 3
    assert stream.windows.tally["evicted"] == 1
    # 1 was seen after 2, so it was 2 that went: 1 has both its rows still, and 2 starts anew
    assert stream.rows(stream.add(make_candidate(), 1)[1]) == [0, 3, 5]
    assert stream.rows(stream.add(make_candidate(), 2)[1]) == [6]


def test_all_rows_together_are_bounded(
    make_stream: MakeStream, make_candidate: MakeCandidate
) -> None:
    stream = make_stream(rows=20)
    for number in range(200):
        stream.add(make_candidate(), number // 5)
        assert stream.places - stream.unused == stream.windows.tally["rows"] <= 20
    assert stream.windows.tally["evicted"] == 40 - stream.groups


def test_stale_groups_are_not_counted_as_evicted(
    make_stream: MakeStream, make_candidate: MakeCandidate
) -> None:
    stream = make_stream(60.0, groups=2)
    for number in range(50):
        stream.add(make_candidate(number * 60.0), number)
    assert stream.groups == 1
    assert stream.windows.tally["evicted"] == 0


def test_a_forgotten_group_starts_anew(
    make_stream: MakeStream, make_candidate: MakeCandidate
) -> None:
    stream = make_stream()
    stream.add(make_candidate())
    for _ in range(2):
        forget(stream.windows, np.uint64(1), 0)
        assert (stream.groups, stream.unused) == (0, stream.places)
    assert stream.rows(stream.add(make_candidate())[1]) == [1]


def test_rows_are_contested_where_most_between_two_hosts_are_claimed(
    make_stream: MakeStream, make_candidate: MakeCandidate
) -> None:
    stream = make_stream()
    a, b = {"resp_h": "10.0.0.1"}, {"resp_h": "10.0.0.2"}
    low = {"resp_h": "10.0.0.1", "score": 0.49}
    rows = [stream.add(make_candidate(n, **c))[0] for n, c in enumerate((a, a, a, a, b, b, low))]
    windows = stream.windows
    group = int(windows.links["group"][rows[0], 0])
    scan = THREATS.index("scan")
    counts = []
    for row in (None, *rows[:4]):
        if row is not None:
            claim(windows, row)
            claim(windows, row)
        counts.append((windows.groups["uncontested"][group], windows.groups["own"][group, scan]))
    # until half of the four are claimed, the others count; the two of b always do
    assert counts == [(6, 6), (5, 5), (2, 4), (2, 3), (2, 2)]
    out = np.zeros(MAX_ROWS, np.int32)
    assert out[: own_rows(windows, group, NONE, out)].tolist() == rows[4:6]
    assert own_rows(windows, group, THREATS.index("web"), out) == 0
    # the claimed rows leave first, and then nothing is contested
    _, group = stream.add(make_candidate(62.5, **a))
    assert stream.rows(group) == [3, 4, 5, 6, 7]
    assert windows.groups["uncontested"][group] == 2
    _, group = stream.add(make_candidate(63.5, **a))
    assert windows.groups["uncontested"][group] == 4
