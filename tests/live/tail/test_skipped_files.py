"""Times of files that were there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeekml.live.tail.skipped_files import MAX_PASSED, SkippedFiles

TIMES = st.integers(0, 2**62)
SECOND = 10**9


@given(st.sets(TIMES, max_size=50), TIMES)
def test_what_is_stored_comes_back(times: set[int], other: int) -> None:
    passed = SkippedFiles.load(SkippedFiles(times).save())
    assert all(time in passed for time in times)
    if other % SECOND and not any(abs(other - time) <= 1000 for time in times):
        assert other not in passed
        assert not passed.surely(other)


def test_a_compressor_that_keeps_whole_seconds() -> None:
    passed = SkippedFiles([5 * SECOND + 123])
    assert 5 * SECOND in passed
    assert 4 * SECOND not in passed
    assert 6 * SECOND not in passed
    assert 5 * SECOND + 122_000 not in passed
    assert not passed.surely(5 * SECOND)


def test_a_tool_that_counts_in_microseconds() -> None:
    passed = SkippedFiles([5 * SECOND + 123_456])
    assert 5 * SECOND + 123_000 in passed
    assert passed.surely(5 * SECOND + 123_000)


def test_of_too_many_the_oldest_are_known_by_their_age() -> None:
    passed = SkippedFiles(range(10_000, 10_000 * (MAX_PASSED + 6), 10_000))
    assert len(passed.save()) == 8 * MAX_PASSED
    assert 7 in passed
    assert 10_000 in passed
    assert 10_000 * (MAX_PASSED + 7) not in passed
    assert passed.with_([]) is passed
    assert 10**12 + 1 in passed.with_([10**12 + 1])
