"""The last line of a log that nobody writes any more, and what becomes of it if one does."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest
from follower import HEADER, Follower, append, text
from hypothesis import given
from hypothesis import strategies as st

from zeekml.live.tail.events import Cause, Event, FileOpened, Lines
from zeekml.live.tail.fingerprint import may_be_header
from zeekml.live.tail.log_tail import LogTail
from zeekml.readers.files.line_splitter import MAX_LINE, Block, LongLine

RECORD = b'{"timestamp":"2026-01-01T00:00:00.000001+0000","event_type":"flow","n":%d}'
FIRST, LAST, NEXT = RECORD % 1 + b"\n", RECORD % 2, RECORD % 3 + b"\n"


def finish(follower: Follower, *, restart: bool = False) -> list[Event]:
    events = follower.tail.finish()
    follower.events += events
    if restart:
        follower.restart()
    return events


def lines(events: list[Event]) -> list[object]:
    return [event.lines for event in events if isinstance(event, Lines)]


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("first", [FIRST, b""])
def test_the_last_line_comes_once(
    log: Path, follower: Follower, first: bytes, restart: bool
) -> None:
    number = 2 if first else 1
    log.write_bytes(first + LAST)
    assert text(follower.poll()) == first
    assert lines(finish(follower, restart=restart)) == [Block(LAST, number, complete=False)]
    assert finish(follower, restart=restart) == []
    assert follower.poll() == []
    append(log, b"\n" + NEXT)
    assert lines(follower.poll()) == [Block(NEXT, number + 1)]
    assert follower.gaps == []


@pytest.mark.parametrize("restart", [True, False])
def test_the_rest_of_a_line_is_passed_over_and_told(
    log: Path, follower: Follower, restart: bool
) -> None:
    log.write_bytes(FIRST + LAST[:20])
    follower.poll()
    assert lines(finish(follower, restart=restart)) == [Block(LAST[:20], 2, complete=False)]
    append(log, LAST[20:30])
    follower.poll()
    append(log, LAST[30:] + b"\r\n" + NEXT)
    follower.poll()
    assert follower.text == FIRST + LAST[:20] + NEXT
    (gap,) = follower.gaps
    assert (gap.cause, gap.line, gap.offset) == (Cause.CUT, 2, len(FIRST) + 20)
    assert gap.at_least == len(LAST) - 20
    assert (gap.checkpoint.offset, gap.checkpoint.line) == (len(FIRST) + len(LAST) + 2, 3)


def test_a_rest_that_has_no_end_either(log: Path, follower: Follower) -> None:
    log.write_bytes(FIRST + LAST[:20])
    finish(follower)
    append(log, LAST[20:30])
    finish(follower, restart=True)
    append(log, LAST[30:] + b"\n" + NEXT)
    follower.poll()
    assert follower.text == FIRST + LAST[:20] + NEXT
    assert [gap.at_least for gap in follower.gaps] == [10, len(LAST) - 30]


def test_a_rest_without_an_end_is_told_when_its_file_is_left(log: Path, follower: Follower) -> None:
    log.write_bytes(FIRST + LAST[:20])
    finish(follower)
    append(log, LAST[20:30])
    follower.poll()
    log.rename(log.with_name("eve.json.1"))
    log.write_bytes(NEXT)
    follower.poll()
    assert follower.text == FIRST + LAST[:20] + NEXT
    assert [(gap.cause, gap.at_least) for gap in follower.gaps] == [(Cause.CUT, 10)]


def test_what_came_since_the_last_poll_comes_first(log: Path, follower: Follower) -> None:
    log.write_bytes(FIRST)
    follower.poll()
    log.rename(log.with_name("eve.json.1"))
    log.write_bytes(NEXT + LAST)
    follower.poll()
    append(log, b"\n" + NEXT + LAST)
    assert text(finish(follower)) == LAST + b"\n" + NEXT + LAST


@pytest.mark.parametrize("how", ["renamed", "compressed", "copied and emptied"])
def test_its_file_is_known_again(log: Path, follower: Follower, how: str) -> None:
    log.write_bytes(LAST)
    finish(follower, restart=True)
    append(log, b"\n" + FIRST)
    if how == "renamed":
        log.rename(log.with_name("eve.json.1"))
    elif how == "compressed":
        log.with_name("eve.json.1.gz").write_bytes(gzip.compress(log.read_bytes()))
        log.unlink()
    else:
        shutil.copy(log, log.with_name("eve.json.1"))
        os.truncate(log, 0)
    append(log, NEXT)
    follower.poll()
    assert follower.text == LAST + FIRST + NEXT
    assert follower.gaps == []


def test_another_file_in_its_place_is_no_rest(log: Path, follower: Follower) -> None:
    log.write_bytes(LAST)
    finish(follower, restart=True)
    log.write_bytes(NEXT + FIRST)
    follower.poll()
    assert follower.text == LAST + NEXT + FIRST


@pytest.mark.parametrize("kept", [10, 40])
def test_the_line_is_cut_shorter_afterwards(log: Path, follower: Follower, kept: int) -> None:
    """What is written then is another line, unless what was delivered is still there."""
    log.write_bytes(FIRST + LAST[:20])
    follower.poll()
    finish(follower)
    append(log, LAST[20:50])
    follower.poll()
    os.truncate(log, len(FIRST) + kept)
    follower.poll()
    append(log, b"...\n" + NEXT)
    follower.poll()
    rest = LAST[:kept] + b"...\n" if kept < 20 else b""
    assert follower.text == FIRST + LAST[:20] + rest + NEXT
    causes = [Cause.TRUNCATED] if kept < 20 else [Cause.TRUNCATED, Cause.CUT]
    assert [gap.cause for gap in follower.gaps] == causes


def test_too_little_to_know_its_file_by_is_left_alone(log: Path, follower: Follower) -> None:
    log.write_bytes(LAST[:40])
    follower.poll()
    assert finish(follower, restart=True) == []
    append(log, LAST[40:] + b"\n")
    follower.poll()
    assert follower.text == LAST + b"\n"


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("cut", [1, 5, 13, 40, 56, 64])
def test_a_header_that_is_being_written_is_left_alone(
    tmp_path: Path, cut: int, restart: bool
) -> None:
    header = HEADER % 10
    follower = Follower(tmp_path / "conn.log")
    follower.path.write_bytes(header[:cut])
    follower.poll()
    finish(follower, restart=restart)
    append(follower.path, header[cut:] + b"1\ta\n#fie")
    follower.poll()
    finish(follower, restart=restart)
    append(follower.path, b"lds\tuid\tts\nb\t2\n")
    follower.poll()
    # before its first record a header is read again by who starts again
    assert follower.text.removesuffix(header + b"1\ta\n#fields\tuid\tts\nb\t2\n") in header
    assert follower.gaps == []
    follower.tail.close()


def test_names_alone_are_left_alone(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "conn.log")
    names = b"\t".join([*(b"column%d" % i for i in range(20)), b"ts", b"id.orig_h"])
    for cut in (90, len(names)):
        follower.path.write_bytes(names[:cut])
        follower.poll()
        assert finish(follower) == []
    follower.tail.close()


def test_a_header_without_its_end_says_nothing_about_its_file(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "conn.log")
    header = HEADER % 10 + b"#types\t" + b"time\t" * 20
    follower.path.write_bytes(header)
    follower.poll()
    assert finish(follower) == []
    follower.path.rename(tmp_path / "conn.2026-01-01-10-00-00.log")
    follower.path.write_bytes(header + b"\n1\ta\n")
    follower.poll()
    assert follower.text.endswith(header + header + b"\n1\ta\n")
    follower.tail.close()


def test_the_header_is_given_to_who_goes_on(tmp_path: Path) -> None:
    header = HEADER % 10
    follower = Follower(tmp_path / "conn.log")
    follower.path.write_bytes(header + b"1\ta\n2\tb")
    follower.poll()
    finish(follower, restart=True)
    append(follower.path, b"bb\n3\tc\n")
    events = follower.poll()
    assert [e.header for e in events if isinstance(e, FileOpened)] == [Block(header + b"\n", 1)]
    assert lines(events) == [Block(b"3\tc\n", 7)]
    follower.tail.close()


def test_nuls_at_the_end_are_no_line(log: Path, follower: Follower) -> None:
    log.write_bytes(FIRST + b"\0" * 100)
    follower.poll()
    assert finish(follower, restart=True) == []
    append(log, NEXT)
    follower.poll()
    assert follower.text == FIRST + NEXT


def test_a_line_that_is_too_long_and_has_no_end(log: Path, follower: Follower) -> None:
    log.write_bytes(FIRST + b"x" * (MAX_LINE + 1))
    follower.poll()
    (long,) = lines(finish(follower))
    assert isinstance(long, LongLine)
    append(log, b"xx\n" + NEXT)
    assert lines(follower.poll()) == [Block(NEXT, 3)]


def test_a_compressed_file_is_the_last(log: Path, follower: Follower) -> None:
    log.write_bytes(FIRST)
    follower.poll()
    data = FIRST + b"".join(RECORD % i + b"\n" for i in range(10_000)) + LAST
    packed = gzip.compress(data)
    log.unlink()
    archived = log.with_name("eve.json.1.gz")
    archived.write_bytes(packed[: len(packed) // 2])
    follower.restart()
    follower.poll()
    # nobody knows what would come after the damage
    assert finish(follower) == []
    assert follower.tail.waiting
    archived.write_bytes(packed)
    follower.poll()
    assert lines(finish(follower, restart=True)) == [Block(LAST, 10_002, complete=False)]
    follower.poll()
    assert finish(follower) == []
    assert follower.text == data
    assert follower.gaps == []


def test_who_stops_between_two_files_has_the_last_line_of_the_first(log: Path) -> None:
    follower = Follower(log)
    log.write_bytes(b"1")
    follower.poll()
    log.rename(log.with_name("eve.json.1"))
    log.write_bytes(NEXT)
    events = follower.poll()
    follower.tail.close()
    last = next(event for event in events if isinstance(event, Lines))
    assert last.lines == Block(b"1", 1, complete=False)
    follower.tail = LogTail(log, last.checkpoint, clock=lambda: follower.now)
    assert text(follower.poll()) == NEXT
    follower.tail.close()


def test_it_is_told_whether_waiting_may_help(log: Path, follower: Follower) -> None:
    log.write_bytes(FIRST)
    follower.poll(2)
    assert not follower.tail.waiting
    log.rename(log.with_name("eve.json.1"))
    log.write_bytes(NEXT)
    follower.poll(0.25)
    assert follower.tail.idle
    assert follower.tail.waiting
    follower.poll(2)
    assert not follower.tail.waiting
    log.unlink()
    log.with_name("eve.json.1").unlink()
    follower.restart()
    follower.poll(0.25)
    assert follower.tail.waiting
    follower.poll(2)
    assert not follower.tail.waiting
    assert [gap.cause for gap in follower.gaps] == [Cause.VANISHED]


@given(
    line=st.sampled_from([FIRST, HEADER % 10, b"%separator |\n", b"1.5\tC1\n"]),
    cut=st.integers(1, 100),
    first=st.booleans(),
)
def test_what_may_be_a_header(line: bytes, cut: int, first: bool) -> None:
    begun = line.partition(b"\n")[0][:cut]
    header = not line.startswith((b"{", b"1"))
    # in the middle of a file its prefix is known, at its beginning that of the one before is
    prefix = b"#" if first or not header else line[:1]
    assert may_be_header(begun, prefix, first=first) == header
