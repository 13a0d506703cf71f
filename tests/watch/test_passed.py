"""Times of files that were there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeekml.watch.passed import MAX_PASSED, Passed

TIMES = st.integers(0, 2**62)
SECOND = 10**9


@given(st.sets(TIMES, max_size=50), TIMES)
def test_what_is_stored_comes_back(times: set[int], other: int) -> None:
    passed = Passed.load(Passed(times).save())
    assert all(time in passed for time in times)
    if other % SECOND:
        assert (other in passed) == (other in times)


def test_a_compressor_that_keeps_whole_seconds() -> None:
    passed = Passed([5 * SECOND + 123])
    assert 5 * SECOND in passed
    assert 4 * SECOND not in passed
    assert 6 * SECOND not in passed
    assert 5 * SECOND + 122 not in passed


def test_of_too_many_the_oldest_are_known_by_their_age() -> None:
    passed = Passed(range(1001, 1001 + MAX_PASSED + 5))
    assert len(passed.save()) == 8 * MAX_PASSED
    assert 7 in passed
    assert 1001 in passed
    assert 1001 + MAX_PASSED + 5 not in passed
    assert passed.with_([]) is passed
    assert 99_999 in passed.with_([99_999])
