"""The clock alone: the rule as documented, cuts anywhere, and the same clock as the engine's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.readers._stream_clock import CLOCK_SLACK
from zeekml.readers.stream_clock import ClockState, StreamClock

SECOND = 1_000_000
NOON = 1_795_435_200 * SECOND
STEPS = st.sampled_from([0, 1, -1, 5, 299, 300, 301, 400, 10_000, -3599, -3601, -10_000, -(10**9)])


def microseconds(steps: list[int]) -> np.ndarray:
    return NOON + np.cumsum(np.array(steps, np.int64)) * SECOND


@pytest.mark.parametrize(
    ("seconds", "now"),
    [
        ([0, 10, 5], 10),
        ([0, CLOCK_SLACK], CLOCK_SLACK),
        ([0, CLOCK_SLACK + 1], 0),
        ([0, 1, 2, 10_000, 10_001], 2),
        ([0, 1, 2, 10_000, 10_001, 10_002], 10_002),
        ([0, 1, 2, 10_000, 10_001, 3, 10_002], 3),
        # of the first records, two that agree win against one that is far ahead
        ([10**8, 0, 1], 1),
        ([10**8, 10**8, 0], 0),
        ([10**8, 10**8, 10**8, 0], 10**8),
    ],
)
def test_what_moves_the_clock(seconds: list[int], now: int) -> None:
    clock = StreamClock()
    state = clock.run(NOON + np.array(seconds, np.int64) * SECOND)
    assert state.now == NOON + now * SECOND
    assert state.seen == len(seconds)


@given(st.lists(STEPS, min_size=1, max_size=60), st.data())
def test_a_clock_goes_on_where_another_stopped(steps: list[int], data: st.DataObject) -> None:
    ends = microseconds(steps)
    cut = data.draw(st.integers(0, len(ends)))
    whole = StreamClock().run(ends)
    before = StreamClock().run(ends[:cut])
    assert StreamClock(before).run(ends[cut:]) == whole


def test_a_clock_that_saw_nothing() -> None:
    assert StreamClock().run(np.empty(0, np.int64)) == ClockState()
