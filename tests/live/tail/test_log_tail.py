"""Each way in which a log is rotated, truncated, moved or lost."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import time
from contextlib import closing
from pathlib import Path

import pytest
from follower import HEADER, Follower, append, text

from zeekml.live.tail import directory_listing, directory_scan, rotated_files
from zeekml.live.tail.default_paths import COMPRESSED
from zeekml.live.tail.events import Cause, FileOpened, How, Lines, Recovered, Trouble
from zeekml.live.tail.log_tail import LogTail
from zeekml.readers.files.line_splitter import MAX_LINE, Block, LongLine


def test_a_log_that_appears_late_and_grows(log: Path, follower: Follower) -> None:
    assert follower.events == []
    assert follower.tail.idle
    log.write_bytes(b"one\ntw")
    events = follower.poll()
    assert isinstance(events[0], FileOpened)
    assert isinstance(events[1], Lines)
    assert events[1].lines == Block(b"one\n", 1)
    assert (events[1].checkpoint.offset, events[1].checkpoint.line) == (4, 2)
    append(log, b"o\nthree\n")
    assert [e.lines for e in follower.poll() if isinstance(e, Lines)] == [Block(b"two\nthree\n", 2)]
    assert follower.poll() == []


def test_files_from_before_the_first_start_are_left_alone(log: Path) -> None:
    log.with_name("eve.json.1").write_bytes(b"old\n")
    log.write_bytes(b"new\n")
    follower = Follower(log)
    follower.poll()
    log.with_name("eve.json.1").rename(log.with_name("eve.json.2"))
    log.rename(log.with_name("eve.json.1"))
    log.write_bytes(b"newer\n")
    follower.poll()
    follower.restart()
    follower.poll()
    assert follower.text == b"new\nnewer\n"
    follower.tail.close()


def test_a_log_that_becomes_json_has_no_header_any_more(log: Path, follower: Follower) -> None:
    log.write_bytes(HEADER + b"1\n")
    follower.poll()
    log.rename(log.with_name("eve.json.1"))
    log.write_bytes(b'{"ts":2}\n')
    events = follower.poll()
    assert [event.header for event in events if isinstance(event, FileOpened)] == [None]
    follower.restart()
    append(log, b'{"ts":3}\n')
    events = follower.poll()
    assert [event.header for event in events if isinstance(event, FileOpened)] == [None]


def test_rename_and_create(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\n")
    follower.poll()
    with log.open("ab") as writer:
        log.rename(log.with_name("eve.json.1"))
        # the sensor has not been told yet
        writer.write(b"2\n")
        writer.flush()
        log.touch()
        follower.poll()
        writer.write(b"3\n")
    log.write_bytes(b"4\n")
    follower.poll()
    assert follower.text == b"1\n2\n3\n4\n"
    assert follower.ways == [How.STARTED, How.ROTATED]
    assert follower.gaps == []


def test_several_rotations_between_two_polls(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\n")
    follower.poll()
    for number in (2, 3, 4):
        for shift in (3, 2, 1):
            older = log.with_name(f"eve.json.{shift}")
            if older.exists():
                older.rename(log.with_name(f"eve.json.{shift + 1}"))
        log.rename(log.with_name("eve.json.1"))
        log.write_bytes(b"%d\n" % number)
    follower.poll()
    assert follower.text == b"1\n2\n3\n4\n"


@pytest.mark.parametrize("keep_time", [True, False])
def test_zeekctl_moves_and_compresses_while_we_are_away(tmp_path: Path, keep_time: bool) -> None:
    log = tmp_path / "current" / "conn.log"
    log.parent.mkdir()
    follower = Follower(log)
    log.write_bytes(HEADER % 10 + b"1\ta\n2\tb\n")
    follower.poll()
    follower.restart()
    append(log, b"3\tc\n#close\t2026-01-01-11-00-00\n")
    day = tmp_path / "2026-01-01"
    day.mkdir()
    for hour in (10, 11, 12):
        archived = day / f"conn.{hour}:00:00-{hour + 1}:00:00.log.gz"
        archived.write_bytes(gzip.compress(log.read_bytes()))
        if keep_time:
            shutil.copystat(log, archived)
        log.unlink()
        log.write_bytes(HEADER % (hour + 1) + b"%d\tx\n" % hour)
    # dated directories are looked at from the day of the latest finished file
    follower.poll()
    records = re.findall(rb"^\d+\t\w", follower.text, re.MULTILINE)
    assert records == [b"1\ta", b"2\tb", b"3\tc", b"10\tx", b"11\tx", b"12\tx"]
    assert follower.gaps == []
    assert follower.ways == [How.STARTED, How.RESUMED, How.ROTATED, How.ROTATED, How.ROTATED]
    follower.tail.close()


@pytest.mark.parametrize(
    "names",
    [
        ["eve.json.3.gz", "eve.json.2", "eve.json.1"],
        ["eve.json-20260101.gz", "eve.json-20260102.gz", "eve.json-20260103"],
        ["eve-2026-01-01-10:00.json", "eve-2026-01-01-11:00.json", "eve-2026-01-01-12:00.json"],
    ],
)
def test_rotated_files_are_finished_in_order(
    log: Path, follower: Follower, names: list[str]
) -> None:
    log.write_bytes(b"1\n")
    follower.poll()
    follower.restart()
    for number, name in enumerate(names):
        data = b"1\n2\n" if number == 0 else b"%d\n" % (number + 2)
        packed = gzip.compress(data) if name.endswith(".gz") else data
        log.with_name(name).write_bytes(packed)
    log.write_bytes(b"5\n")
    follower.poll()
    assert follower.text == b"1\n2\n3\n4\n5\n"
    assert follower.gaps == []


def minute(number: int) -> bytes:
    """The beginning of a log that was opened in a minute of the hour."""
    return HEADER.replace(b"%d-00-00", b"10-%02d-00" % number)


@pytest.mark.parametrize("back", [0, 30])
def test_many_files_that_were_packed_while_we_were_away(tmp_path: Path, back: int) -> None:
    """More than a position remembers in any case, and a clock that is set back among them."""
    log = tmp_path / "current" / "conn.log"
    log.parent.mkdir()
    log.write_bytes(minute(9) + b"9\ta\n")
    follower = Follower(log)
    follower.poll()
    follower.restart()
    append(log, b"9\tb\n")
    for number in range(10, 50):
        opened = number - back * (number >= 45)
        archived = log.with_name(f"conn.2026-01-01-10-{number}-00.log.gz")
        archived.write_bytes(gzip.compress(log.read_bytes()))
        os.utime(archived, (1_700_000_000 + 60 * number,) * 2)
        log.write_bytes(minute(opened) + b"%d\ta\n" % number)
    follower.poll(60)
    follower.restart()
    follower.poll()
    records = re.findall(rb"^\d+\t\w", follower.text, re.MULTILINE)
    assert sorted(records) == [b"%d\ta" % n for n in range(10, 50)] + [b"9\ta", b"9\tb"]
    assert follower.tail.idle
    assert follower.gaps == []
    follower.tail.close()


@pytest.mark.parametrize("watched", [True, False])
def test_files_that_are_packed_together_later_are_not_read_again(
    tmp_path: Path, watched: bool
) -> None:
    """Neither those that were read, nor those from before the first start."""
    log = tmp_path / "current" / "conn.log"
    log.parent.mkdir()
    follower = Follower(log)
    for number in range(10, 50):
        log.write_bytes(minute(number) + b"%d\ta\n" % number)
        os.utime(log, (time.time() + 60 * (number - 50),) * 2)
        if watched:
            follower.poll()
        log.rename(log.with_name(f"conn.2026-01-01-10-{number}-00.log"))
    log.write_bytes(minute(50) + b"50\ta\n")
    if not watched:
        follower.tail.close()
        follower = Follower(log)
    follower.poll()
    before = follower.text
    for path in log.parent.glob("conn.2026*"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    follower.poll()
    log.rename(log.with_name("conn.2026-01-01-10-50-00.log"))
    log.write_bytes(minute(51) + b"51\ta\n")
    follower.poll()
    assert follower.text == before + minute(51) + b"51\ta\n"
    assert b"\n50\ta\n" in before
    assert follower.gaps == []
    follower.tail.close()


def test_suricata_puts_the_time_into_the_live_name(log: Path) -> None:
    log.with_name("eve-2026-01-01-09:00.json").write_bytes(b"old\n")
    first = log.with_name("eve-2026-01-01-10:00.json")
    first.write_bytes(b"1\n")
    follower = Follower(log)
    follower.poll()
    append(first, b"2\n")
    follower.poll()
    log.with_name("eve-2026-01-01-11:00.json").write_bytes(b"3\n")
    follower.poll()
    assert follower.text == b"1\n2\n3\n"
    follower.tail.close()


@pytest.mark.parametrize("packed", [True, False])
def test_copytruncate_with_unread_lines(log: Path, follower: Follower, packed: bool) -> None:
    log.write_bytes(b"1\n")
    follower.poll()
    append(log, b"2\n3\n")
    copy = log.with_name("eve.json.1.gz" if packed else "eve.json.1")
    copy.write_bytes(gzip.compress(log.read_bytes()) if packed else log.read_bytes())
    os.truncate(log, 0)
    append(log, b"4\n")
    follower.poll()
    assert follower.text == b"1\n2\n3\n4\n"
    assert follower.ways == [How.STARTED, How.RESUMED, How.TRUNCATED]
    assert follower.gaps == []


def test_copytruncate_under_a_writer_that_does_not_append(log: Path, follower: Follower) -> None:
    """The log has NULs then, whose number tells what was written between copy and truncation."""
    with log.open("wb", buffering=0) as writer:
        writer.write(b"1\n")
        follower.poll()
        shutil.copy(log, log.with_name("eve.json.1"))
        writer.write(b"lost\n")
        os.truncate(log, 0)
        writer.write(b"2\n3\n")
        follower.poll()
    assert follower.text == b"1\n2\n3\n"
    assert [(g.cause, g.offset, g.line, g.at_least) for g in follower.gaps] == [
        (Cause.TRUNCATED, 2, 2, 5)
    ]
    assert follower.tail.checkpoint is not None
    assert follower.tail.checkpoint.offset == 11


def test_the_header_stays_in_force_after_copytruncate(log: Path, follower: Follower) -> None:
    header = HEADER % 10
    log.write_bytes(header + b"1\ta\n")
    follower.poll()
    shutil.copy(log, log.with_name("eve.json.1"))
    os.truncate(log, 0)
    append(log, b"2\tb\n")
    follower.poll()
    log.with_name("eve.json.1").unlink()
    follower.restart()
    append(log, b"3\tc\n")
    follower.poll()
    known = [event.header for event in follower.events if isinstance(event, FileOpened)]
    # an empty line ends the run of its lines
    assert known == [None, *[Block(header + b"\n", 1)] * 2]
    assert follower.text == header + b"1\ta\n2\tb\n3\tc\n"


def test_a_restart_in_place_loses_what_was_not_read(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\n2\nhal")
    follower.poll()
    log.write_bytes(b"3\n")
    follower.poll()
    assert follower.text == b"1\n2\n3\n"
    gap = follower.gaps[0]
    assert (gap.cause, gap.offset, gap.line, gap.at_least) == (Cause.TRUNCATED, 4, 3, 3)
    assert follower.ways == [How.STARTED, How.TRUNCATED]
    # told once, though nothing new was delivered after the gap
    follower.restart()
    follower.poll()
    assert len(follower.gaps) == 1


def test_nothing_is_lost_when_zeek_had_closed_its_log(log: Path, follower: Follower) -> None:
    log.write_bytes(HEADER % 10 + b"1\ta\n#close\t2026-01-01-11-00-00\n")
    follower.poll()
    log.write_bytes(HEADER % 11 + b"2\tb\n")
    follower.poll()
    assert follower.gaps == []
    assert follower.text.endswith(b"2\tb\n")


def test_rewritten_in_place_to_the_same_size(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\n2\n")
    follower.poll()
    log.write_bytes(b"3\n4\n")
    follower.poll()
    assert follower.text == b"1\n2\n3\n4\n"


def test_an_end_that_is_cut_off_is_not_read_again(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\n2\n3\n")
    follower.poll()
    os.truncate(log, 4)
    follower.poll()
    append(log, b"4\n")
    follower.poll()
    assert follower.text == b"1\n2\n3\n4\n"
    assert [gap.cause for gap in follower.gaps] == [Cause.TRUNCATED]
    lines = [e for e in follower.events if isinstance(e, Lines)]
    assert isinstance(lines[-1].lines, Block)
    assert lines[-1].lines.first_line == 3


def test_a_log_that_vanished_while_we_were_away(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\n")
    follower.poll()
    follower.restart()
    log.unlink()
    # keeps the inode from being given to the next file
    log.with_name("other").touch()
    log.write_bytes(b"9\n")
    follower.poll()
    assert follower.text == b"1\n9\n"
    assert [(g.cause, g.offset, g.at_least) for g in follower.gaps] == [(Cause.VANISHED, 2, 0)]


def test_a_log_that_is_deleted_while_open_is_read_to_its_end(log: Path, follower: Follower) -> None:
    with log.open("wb", buffering=0) as writer:
        writer.write(b"1\n")
        follower.poll()
        log.unlink()
        writer.write(b"2\n")
        follower.poll()
        writer.write(b"3\n")
    log.write_bytes(b"4\n")
    follower.poll()
    assert follower.text == b"1\n2\n3\n4\n"
    assert follower.gaps == []


@pytest.mark.parametrize("linked", [True, False])
def test_the_directory_is_moved_away(tmp_path: Path, linked: bool) -> None:
    current = tmp_path / "current"
    if linked:
        (tmp_path / "spool").mkdir()
        (tmp_path / "spool" / "1").mkdir()
        current.symlink_to(tmp_path / "spool" / "1")
    else:
        current.mkdir()
    log = current / "conn.log"
    follower = Follower(log)
    log.write_bytes(b"1\n")
    follower.poll()
    append(log, b"2\n")
    log.rename(current / "conn.2026-01-01-10-00-00.log")
    log.write_bytes(b"3\n")
    if linked:
        current.unlink()
        (tmp_path / "spool" / "2").mkdir()
        current.symlink_to(tmp_path / "spool" / "2")
    else:
        current.rename(tmp_path / "post-terminate")
        current.mkdir()
    log.write_bytes(b"4\n")
    follower.poll()
    assert follower.text == b"1\n2\n3\n4\n"
    follower.tail.close()


def test_an_inode_that_is_used_again_is_another_file(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\n2\n")
    follower.poll()
    inode = log.stat().st_ino
    follower.restart()
    log.write_bytes(b"3\n4\n")
    assert log.stat().st_ino == inode
    follower.poll()
    assert follower.text == b"1\n2\n3\n4\n"


def test_a_half_line_waits_until_its_file_is_left(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\nhal")
    assert text(follower.poll()) == b"1\n"
    log.rename(log.with_name("eve.json.1"))
    assert follower.poll() == []
    log.write_bytes(b"2\n")
    lines = [e.lines for e in follower.poll() if isinstance(e, Lines)]
    assert lines == [Block(b"hal", 2, complete=False), Block(b"2\n", 1)]


def test_a_line_that_is_too_long(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\n" + b"x" * (MAX_LINE + 1))
    follower.poll()
    checkpoint = follower.tail.checkpoint
    assert checkpoint is not None
    assert checkpoint.offset == 2
    append(log, b"\n2\n")
    follower.poll()
    lines = [e for e in follower.events if isinstance(e, Lines)]
    assert isinstance(lines[1].lines, LongLine)
    assert lines[1].checkpoint.offset == MAX_LINE + 4
    assert lines[1].checkpoint.line == 3
    assert lines[2].lines == Block(b"2\n", 3)


def test_a_poll_reads_no_more_than_it_may(log: Path) -> None:
    log.write_bytes(b"".join(b"%06d\n" % i for i in range(200_000)))
    with closing(LogTail(log, max_poll=1 << 18)) as tail:
        sizes = []
        while not tail.idle:
            sizes.append(len(text(tail.poll())))
    assert sum(sizes) == 1_400_000
    # and what was left of a line before
    assert max(sizes) < (1 << 18) + 7


def test_few_files_are_open(log: Path, follower: Follower) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for i in range(30):
        log.write_bytes(b"%d\n" % i)
        if i % 2:
            follower.poll()
            follower.restart()
        log.rename(log.with_name(f"eve.json-202601{i + 1:02}"))
    follower.poll()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    assert follower.text == b"".join(b"%d\n" % i for i in range(30))


def test_a_file_that_is_just_being_compressed(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\n")
    follower.poll()
    follower.restart()
    data = gzip.compress(b"1\n" + b"".join(b"%d\n" % i for i in range(2, 50_000)))
    packed = log.with_name("eve.json.1.gz")
    log.unlink()
    packed.write_bytes(data[:100])
    log.write_bytes(b"50000\n")
    follower.poll()
    packed.write_bytes(data[: len(data) // 2])
    follower.poll(30)
    packed.write_bytes(data)
    follower.poll()
    assert follower.text == b"".join(b"%d\n" % i for i in range(1, 50_001))
    assert follower.gaps == []


def test_a_compressed_file_that_stays_damaged(log: Path, follower: Follower) -> None:
    log.write_bytes(b"1\n")
    follower.poll()
    follower.restart()
    lines = b"".join(b"%d\n" % i for i in range(1, 50_000))
    data = gzip.compress(lines)
    log.with_name("eve.json.1.gz").write_bytes(data[: len(data) // 2])
    log.write_bytes(b"new\n")
    follower.poll(100)
    found = follower.text
    assert found.endswith(b"new\n")
    assert lines.startswith(found.removesuffix(b"new\n"))
    assert len(found) > len(lines) // 3
    assert [gap.cause for gap in follower.gaps] == [Cause.DAMAGED]


@pytest.fixture
def forbidden(log: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that may not be read: at first the second of three, of which the first was read."""
    log.write_bytes(b"1\n")
    follower.poll()
    log.rename(log.with_name("eve.json.2"))
    log.with_name("eve.json.1").write_bytes(b"2\n")
    log.write_bytes(b"3\n")
    real, forbidden = rotated_files.open_listed, [log.with_name("eve.json.1")]

    def guarded(path: Path, place: tuple[int, int]) -> object:
        if path in forbidden:
            raise PermissionError(13, "Permission denied")
        return real(path, place)

    monkeypatch.setattr(rotated_files, "open_listed", guarded)
    return forbidden


def test_a_rotated_file_that_may_not_be_read(follower: Follower, forbidden: list[Path]) -> None:
    events = follower.poll(10)
    assert events == [Trouble(str(forbidden[0]), "Permission denied")]
    forbidden.clear()
    assert isinstance(follower.poll(10)[0], Recovered)
    assert follower.text == b"1\n2\n3\n"


@pytest.mark.usefixtures("forbidden")
def test_one_that_stays_forbidden_is_given_up(follower: Follower) -> None:
    follower.poll(100)
    assert follower.text == b"1\n3\n"
    assert [gap.cause for gap in follower.gaps] == [Cause.UNREADABLE]


def test_the_directory_may_not_be_read_for_a_while(
    log: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_bytes(b"1\n")
    follower.poll()
    log.rename(log.with_name("eve.json.1"))
    log.write_bytes(b"2\n")
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        patch.setattr(directory_listing, "list_directory", refuse)
        assert follower.poll(5) == [Trouble(str(log), "Permission denied")]
    assert follower.poll()[0] == Recovered(str(log))
    assert follower.text == b"1\n2\n"
    assert follower.gaps == []


@pytest.mark.parametrize("kind", ["directory", "fifo", "gzip"])
def test_something_else_takes_the_place_of_the_log(
    log: Path, follower: Follower, kind: str
) -> None:
    log.write_bytes(b"1\n")
    follower.poll()
    log.rename(log.with_name("eve.json.1"))
    if kind == "directory":
        log.mkdir()
    elif kind == "fifo":
        os.mkfifo(log)
    else:
        log.write_bytes(gzip.compress(b"2\n"))
    append(log.with_name("eve.json.1"), b"2\n")
    events = follower.poll(5)
    assert text(events) == b"2\n"
    reason = COMPRESSED if kind == "gzip" else "is no regular file"
    assert [e for e in events if isinstance(e, Trouble)] == [Trouble(str(log), reason)]
    log.rmdir() if kind == "directory" else log.unlink()
    log.write_bytes(b"3\n")
    follower.poll()
    assert follower.text == b"1\n2\n3\n"


def test_a_file_that_was_waiting_and_is_gone(log: Path) -> None:
    follower = Follower(log)
    follower.tail = LogTail(log, max_poll=1, clock=lambda: follower.now)
    log.write_bytes(b"1\n")
    follower.poll()
    log.rename(log.with_name("eve.json.3"))
    log.with_name("eve.json.2").write_bytes(b"2\n")
    log.with_name("eve.json.1").write_bytes(b"three\n")
    log.write_bytes(b"4\n")
    while b"2\n" not in follower.text:
        follower.poll(0.25)
    log.with_name("eve.json.1").unlink()
    follower.poll(10)
    assert follower.text == b"1\n2\n4\n"
    assert [(g.cause, g.at_least) for g in follower.gaps] == [(Cause.VANISHED, 6)]
    follower.tail.close()


def test_links_and_special_files_among_the_rotated(
    log: Path, follower: Follower, tmp_path: Path
) -> None:
    log.write_bytes(b"1\n")
    follower.poll()
    (tmp_path / "secret").write_bytes(b"secret\n")
    log.with_name("eve.json.1").symlink_to(tmp_path / "secret")
    os.mkfifo(log.with_name("eve.json.2"))
    log.with_name(".eve.json.3").write_bytes(b"hidden\n")
    log.with_name("stats.json.1").write_bytes(b"other\n")
    log.rename(log.with_name("eve.json.3"))
    log.write_bytes(b"2\n")
    follower.poll()
    assert follower.text == b"1\n2\n"


def test_too_many_rotated_files_are_told(
    log: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_bytes(b"0\n")
    follower.poll()
    follower.restart()
    monkeypatch.setattr(directory_scan, "MAX_FILES", 4)
    log.rename(log.with_name("eve.json.9"))
    for number in range(8, 0, -1):
        rotated = log.with_name(f"eve.json.{number}")
        rotated.write_bytes(b"%d\n" % number)
        os.utime(rotated, (2e9 - number, 2e9 - number))
    log.write_bytes(b"live\n")
    follower.poll()
    assert follower.text == b"0\n4\n3\n2\n1\nlive\n"
    # the file that was being read is found all the same
    assert {gap.cause for gap in follower.gaps} == {Cause.TOO_MANY_FILES}


def test_gigabytes_of_leading_nuls_are_passed_over(log: Path, follower: Follower) -> None:
    with log.open("wb") as file:
        file.seek(1 << 36)
        file.write(b"1\n")
    follower.poll()
    assert follower.text == b"1\n"
    assert follower.tail.checkpoint is not None
    assert follower.tail.checkpoint.offset == (1 << 36) + 2
    follower.restart()
    append(log, b"2\n")
    follower.poll()
    assert follower.text == b"1\n2\n"


def test_two_loggers_do_not_read_each_others_files(tmp_path: Path) -> None:
    directory = tmp_path / "spool" / "logger-1"
    directory.mkdir(parents=True)
    (tmp_path / "current").symlink_to(directory)
    log = tmp_path / "current" / "conn.log"
    follower = Follower(log)
    log.write_bytes(HEADER % 10 + b"1\ta\n")
    follower.poll()
    follower.restart()
    day = tmp_path / "2026-01-01"
    day.mkdir()
    for logger in (1, 2):
        data = HEADER % 10 + b"%d\ta\n" % logger
        path = day / f"conn.10:00:00-11:00:00-logger-{logger}.log.gz"
        path.write_bytes(gzip.compress(data + b"%d\tb\n" % logger))
    log.write_bytes(HEADER % 11 + b"1\tc\n")
    follower.poll()
    records = re.findall(rb"^\d\t\w", follower.text, re.MULTILINE)
    assert records == [b"1\ta", b"1\tb", b"1\tc"]
    follower.tail.close()


def lines(*numbers: int) -> bytes:
    return b"".join(b"<%d %s>\n" % (number, b"x" * 80) for number in numbers)


def rewind(path: Path, seconds: float) -> None:
    """Have a file written so long ago."""
    written = path.stat().st_mtime - seconds
    os.utime(path, (written, written))


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("names", ["eve.json.%d", "eve.json.2026_0301_101%d", "eve.json~%d~"])
def test_a_clock_that_is_set_back_before_files_were_seen(
    log: Path, follower: Follower, running: bool, names: str
) -> None:
    log.write_bytes(lines(1))
    follower.poll()
    log.rename(log.with_name("eve-2026-03-09.json"))
    log.write_bytes(lines(2))
    follower.poll()
    if not running:
        follower.tail.close()
    for number in (2, 4):
        append(log, lines(number + 1))
        rewind(log, 86_400 * 3 - number)
        # numbered files are shifted by those who rotate
        if "%d" in names[-2:] and (first := log.with_name(names % 1)).exists():
            first.rename(log.with_name(names % 2))
        log.rename(log.with_name(names % (1 if "%d" in names[-2:] else number)))
        log.write_bytes(lines(number + 2))
    rewind(log, 86_400 * 3)
    if not running:
        follower.restart()
    follower.poll()
    follower.restart()
    follower.poll()
    assert follower.text == lines(1, 2, 3, 4, 5, 6)
    assert follower.gaps == []


@pytest.mark.parametrize("last", ["rotated", "live"])
def test_two_files_that_were_last_written_in_one_tick_of_the_clock(
    log: Path, follower: Follower, last: str
) -> None:
    """The kernel's, by which files are dated: every few milliseconds."""
    log.write_bytes(lines(1))
    follower.poll()
    log.rename(log.with_name("eve.json-01"))
    log.write_bytes(lines(2))
    names = ["eve.json-01", "eve.json"]
    if last == "rotated":
        log.rename(log.with_name("eve.json-02"))
        log.write_bytes(lines(3))
        names[1] = "eve.json-02"
    tick = time.time_ns() // 10**9 * 10**9 - 123_456_789
    for name in names:
        os.utime(log.with_name(name), ns=(tick, tick))
    follower.restart()
    follower.tail.max_poll = 1
    while (at := follower.tail.checkpoint) is not None and not at.finished:
        follower.poll(0.25)
    # of the next one nothing was delivered
    assert at is not None
    assert at.identity is None
    assert follower.text == lines(1)
    if last == "live":
        log.rename(log.with_name("eve.json-02"))
        log.write_bytes(lines(3))
    follower.restart()
    follower.poll()
    assert follower.text == lines(1, 2, 3)
    assert follower.gaps == []


def test_a_log_that_begins_in_the_tick_in_which_another_file_ended(log: Path) -> None:
    old = log.with_name("eve.json.1")
    old.write_bytes(lines(0))
    written = old.stat().st_mtime_ns
    log.write_bytes(lines(1)[:9])
    os.utime(log, ns=(written, written))
    follower = Follower(log)
    # not enough to tell the file from others
    assert follower.tail.begin()
    append(log, lines(1)[9:])
    os.utime(log, ns=(written, written))
    old.rename(log.with_name("eve.json.2"))
    log.rename(old)
    log.write_bytes(lines(2))
    follower.restart()
    follower.poll()
    assert follower.text == lines(1, 2)
    follower.tail.close()


def test_old_files_that_turn_up_in_an_archive_are_left_alone(log: Path, follower: Follower) -> None:
    log.write_bytes(lines(1))
    follower.poll()
    log.rename(log.with_name("eve.json.1"))
    log.write_bytes(lines(2))
    follower.poll()
    archive = log.parent.parent / "log-queue"
    archive.mkdir()
    for number in range(5):
        old = archive / f"eve.json.{number + 2}"
        old.write_bytes(lines(100 + number))
        rewind(old, 86_400.0 * number + 3600)
    log.rename(log.with_name("eve.json.0"))
    log.write_bytes(lines(3))
    follower.poll()
    follower.restart()
    follower.poll()
    assert follower.text == lines(1, 2, 3)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("directory", ["old", "../kept/old", "rotated/2026"])
def test_a_directory_that_nobody_told_of(
    log: Path, follower: Follower, directory: str, packed: bool
) -> None:
    old = log.parent / directory
    old.mkdir(parents=True)
    log.write_bytes(lines(1))
    follower.poll()
    follower.tail.close()
    append(log, lines(2))
    first = old / "eve.json.2"
    log.rename(first)
    if packed:
        first.with_suffix(".2.gz").write_bytes(gzip.compress(first.read_bytes()))
        first.unlink()
    (old / "eve.json.1").write_bytes(lines(3))
    log.write_bytes(lines(4))
    follower.restart()
    follower.poll()
    follower.restart()
    follower.poll()
    assert follower.text == lines(1, 2, 3, 4)
    assert follower.gaps == []


def test_a_directory_is_remembered_once_a_file_went_there(log: Path, follower: Follower) -> None:
    away = log.parent.parent / "elsewhere" / "past"
    away.mkdir(parents=True)
    log.write_bytes(lines(1))
    follower.poll()
    log.rename(away / "eve.json.20260301")
    log.write_bytes(lines(2))
    follower.poll()
    follower.tail.close()
    log.rename(away / "eve.json.20260302")
    (away / "eve.json.20260303").write_bytes(lines(3))
    log.write_bytes(lines(4))
    follower.restart()
    follower.poll()
    assert follower.text == lines(1, 2, 3, 4)
    assert follower.gaps == []


def test_a_name_that_nobody_thought_of(log: Path, follower: Follower) -> None:
    log.write_bytes(lines(1))
    follower.poll()
    follower.tail.close()
    append(log, lines(2))
    log.rename(log.with_name("eve.json=before=noon"))
    time.sleep(0.01)
    log.with_name("eve.json=after=noon").write_bytes(lines(3))
    log.write_bytes(lines(4))
    follower.restart()
    follower.poll()
    assert follower.text == lines(1, 2, 3, 4)
    assert follower.gaps == []


@pytest.mark.parametrize("between", [0, 400])
def test_files_come_in_the_order_in_which_one_goes_on_from_another(
    log: Path, follower: Follower, between: int
) -> None:
    """Clocks were set back within files, and by so many seconds between the first and second."""
    log.write_bytes(lines(0))
    follower.poll()
    follower.tail.close()
    spans = [(0, 60), (60 - between, -5000), (-5000, -4940), (-4940, -9000), (-9000, -8000)]
    now = time.time() - 60
    for number, (begun, ended) in enumerate(spans):
        name = time.strftime("eve-%Y-%m-%dT%H-%M-%S.json", time.localtime(now + begun))
        rotated = log.with_name(name)
        if number:
            rotated.write_bytes(lines(number))
        else:
            log.rename(rotated)
        os.utime(rotated, (now + ended, now + ended))
    log.write_bytes(lines(len(spans)))
    os.utime(log, (now - 8000, now - 8000))
    follower.restart()
    follower.poll()
    follower.restart()
    follower.poll()
    assert follower.text == lines(*range(len(spans) + 1))
    assert follower.gaps == []
