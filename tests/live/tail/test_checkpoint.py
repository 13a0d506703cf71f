"""What a checkpoint keeps, and times of files that were there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.errors import InputError
from zeekml.live.tail.checkpoint import MAX_SKIPPED, Checkpoint, Finished, SkippedFiles
from zeekml.live.tail.fingerprint import identify

TIMES = st.integers(0, 2**62)
SECOND = 10**9


def test_checkpoints_go_through_json() -> None:
    known = identify(b"1\ta\n", 1, 2)
    checkpoint = Checkpoint(known, 80, 6, 90, b"#fields\xff", (Finished(known, 5, 6),), 7)
    assert Checkpoint.from_plain(json.loads(json.dumps(checkpoint.to_plain()))) == checkpoint
    with pytest.raises(InputError, match="damaged"):
        Checkpoint.from_plain({"identity": 3})


@given(st.sets(TIMES, max_size=50), TIMES)
def test_what_is_stored_comes_back(times: set[int], other: int) -> None:
    skipped = SkippedFiles.load(SkippedFiles(times).save())
    assert all(time in skipped for time in times)
    if other % SECOND and not any(abs(other - time) <= 1000 for time in times):
        assert other not in skipped
        assert not skipped.surely(other)


def test_a_compressor_that_keeps_whole_seconds() -> None:
    skipped = SkippedFiles([5 * SECOND + 123])
    assert 5 * SECOND in skipped
    assert 4 * SECOND not in skipped
    assert 6 * SECOND not in skipped
    assert 5 * SECOND + 122_000 not in skipped
    assert not skipped.surely(5 * SECOND)


def test_a_tool_that_counts_in_microseconds() -> None:
    skipped = SkippedFiles([5 * SECOND + 123_456])
    assert 5 * SECOND + 123_000 in skipped
    assert skipped.surely(5 * SECOND + 123_000)


def test_times_are_alike_within_a_microsecond_and_no_further() -> None:
    time = 5 * SECOND + 123_456_000
    skipped = SkippedFiles([time])
    assert all(skipped.surely(time + apart) for apart in (-1000, 0, 1000))
    assert not any(skipped.surely(time + apart) for apart in (-1001, 1001))


def test_of_too_many_the_oldest_are_known_by_their_age() -> None:
    skipped = SkippedFiles(range(10_000, 10_000 * (MAX_SKIPPED + 6), 10_000))
    assert len(skipped.save()) == 8 * MAX_SKIPPED
    assert 7 in skipped
    assert 10_000 in skipped
    assert 10_000 * (MAX_SKIPPED + 7) not in skipped
    assert skipped.with_([]) is skipped
    assert 10**12 + 1 in skipped.with_([10**12 + 1])


@given(st.sets(TIMES, max_size=20), st.sets(TIMES, max_size=20))
def test_no_time_is_noted_that_something_to_be_read_has(old: set[int], to_read: set[int]) -> None:
    skipped = SkippedFiles().with_([*old, *to_read], to_read)
    assert not any(skipped.surely(time) for time in to_read)
    apart = {time for time in old if all(abs(time - other) > SECOND for other in to_read)}
    assert all(time in skipped for time in apart)
