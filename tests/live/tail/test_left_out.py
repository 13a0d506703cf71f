"""Rotated files that came while no watch ran, and that seem older than what was read."""

from __future__ import annotations

import gzip
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from follower import Follower

from zeekml.live.tail.events import Cause

DAY = 86_400.0
Span = tuple[float, float]
"""When a file was begun and last written, seconds after the last file that was read."""


def record(number: int) -> bytes:
    return b"%d\t%s\n" % (number, b"x" * 80)


def local(form: str, seconds: float) -> str:
    return time.strftime(form, time.localtime(seconds))


class ZeekLogs:
    """Zeek's directories, as zeekctl lays them out, with one record in each file."""

    def __init__(self, root: Path) -> None:
        spool = root / "spool" / "zeek"
        spool.mkdir(parents=True)
        self.archive = root / "logs"
        self.archive.mkdir()
        (self.archive / "current").symlink_to(spool)
        self.live = self.archive / "current" / "conn.log"
        self.begun = self.ended = 0.0
        self.written = 0
        self.end = 1_781_092_800.4
        self.write((-7200.0, -3607.3))
        self.follower = Follower(self.live)
        self.follower.poll()
        self.rotate()
        self.write((-3607.0, 0.0))
        self.follower.poll()

    def write(self, span: Span) -> None:
        """Begin the next file."""
        self.begun, self.ended = (self.end + seconds for seconds in span)
        opened = local("%Y-%m-%d-%H-%M-%S", self.begun).encode()
        head = b"#separator \\x09\n#path\tconn\n#open\t" + opened + b"\n#fields\tts\tuid\n"
        self.live.write_bytes(head + record(self.written))
        os.utime(self.live, (self.ended, self.ended))
        self.written += 1

    def rotate(self, archive: Path | None = None, *, packed: bool = True) -> None:
        """Put the live file where zeekctl would."""
        day = (archive or self.archive) / local("%Y-%m-%d", self.begun)
        day.mkdir(exist_ok=True, parents=True)
        span = f"{local('%H:%M:%S', self.begun)}-{local('%H:%M:%S', self.ended)}"
        data = self.live.read_bytes()
        target = day / (f"conn.{span}.log.gz" if packed else f"conn.{span}.log")
        target.write_bytes(gzip.compress(data) if packed else data)
        os.utime(target, (self.ended, self.ended))
        self.live.unlink()

    def go_on(self, spans: Sequence[Span], *, packed: bool = True) -> None:
        """Write and rotate while nobody follows; the last one is the live file."""
        self.follower.tail.close()
        for span in spans:
            self.rotate(packed=packed)
            self.write(span)
        self.follower.restart()
        self.follower.poll(10)
        # what was decided is remembered
        self.follower.restart()
        self.follower.poll(10)

    @property
    def numbers(self) -> list[int]:
        """Of the records that came."""
        return [int(n) for n in re.findall(rb"^(\d+)\tx", self.follower.text, re.MULTILINE)]

    @property
    def told(self) -> list[tuple[str, Cause]]:
        return [(gap.source, gap.cause) for gap in self.follower.gaps]


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[ZeekLogs]:
    made = ZeekLogs(tmp_path)
    yield made
    made.follower.tail.close()


def minutes(*spans: Span) -> list[Span]:
    return [(60.0 * begun, 60.0 * ended) for begun, ended in spans]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "spans",
    [
        minutes((-60, -30), (-30, -20)),
        minutes((-60, -30), (-120, -90), (-90, -80)),
        minutes((-60, -30), (-30, 5), (5, 20)),
        minutes((-120, -61), (0, 20)),
        minutes((-121, -61), (-61, 10), (10, 20)),
        minutes((0, -120), (-120, -61), (0, 20)),
        minutes((-10, -5), (-50, -49), (-90, -89), (-100, -99), (-200, -199), (-240, -239)),
        minutes((-10, -5), (-50, -49), (-90, -89), (-100, -99), (-200, -199), (40, 45)),
        minutes((-2700, -2640), (0, 20)),
        minutes((-7200, -7100), (-7100, -7000)),
        minutes((-180, 10), (10, 20)),
        [(-3609.0, -1.0), (-1.0, 60.0)],
    ],
    ids=lambda spans: " ".join(f"{b / 60:g}..{e / 60:g}" for b, e in spans),
)
def test_clocks_that_are_set_back_and_right_again_while_no_watch_runs(
    logs: ZeekLogs, spans: list[Span], packed: bool
) -> None:
    logs.go_on(spans, packed=packed)
    assert logs.numbers == list(range(len(spans) + 2))
    assert logs.told == []


def test_an_archive_that_is_new_with_old_files_in_it_is_left_alone_and_told_of(
    logs: ZeekLogs, tmp_path: Path
) -> None:
    queue = tmp_path / "spool" / "log-queue"
    queue.mkdir()
    old = []
    for number in (1, 2, 3):
        day = queue / local("%Y-%m-%d", logs.end - number * 100 * DAY)
        day.mkdir()
        old.append(day / "conn.10:00:00-11:00:00.log")
        old[-1].write_bytes(b"#fields\tts\tuid\n" + record(100 + number))
        os.utime(old[-1], (logs.end - number * 100 * DAY,) * 2)
    another = old[0].with_name("conn.11:00:00-12:00:00.log")
    another.write_bytes(old[0].read_bytes().replace(b"101", b"999"))
    os.utime(another, (logs.end - 99.9 * DAY,) * 2)
    logs.go_on(minutes((0, 20)))
    assert logs.numbers == [0, 1, 2]
    left_out = [old[0].parent, old[1], old[2]]
    assert sorted(logs.told) == sorted((str(path), Cause.LEFT_OUT) for path in left_out)
    # from now on it is an archive like any other
    logs.follower.tail.close()
    logs.rotate()
    logs.write((-3000.0, -2000.0))
    logs.rotate(queue)
    logs.write((1200.0, 1300.0))
    logs.follower.restart()
    logs.follower.poll(10)
    assert logs.numbers == [0, 1, 2, 3, 4]
    assert len(logs.told) == 3


def test_what_was_read_and_is_archived_elsewhere_is_not_told_of(
    logs: ZeekLogs, tmp_path: Path
) -> None:
    logs.rotate(tmp_path / "spool" / "log-queue")
    [archived] = (tmp_path / "spool").glob("log-queue/*/*")
    # when it was packed
    os.utime(archived, (logs.ended + 30, logs.ended + 30))
    logs.write((1.0, 3500.0))
    logs.rotate()
    logs.write((3501.0, 3600.0))
    logs.follower.poll(10)
    logs.follower.restart()
    logs.follower.poll(10)
    assert logs.numbers == [0, 1, 2, 3]
    assert logs.told == []


def test_a_new_archive_is_read_if_the_clock_is_still_set_back(
    logs: ZeekLogs, tmp_path: Path
) -> None:
    logs.follower.tail.close()
    logs.rotate()
    for span in minutes((-10, -5), (-90, -50)):
        logs.write(span)
        logs.rotate(tmp_path / "spool" / "log-queue")
    logs.write((-6000.0, -5900.0))
    logs.follower.restart()
    logs.follower.poll(10)
    assert logs.numbers == [0, 1, 2, 3, 4]
    assert logs.told == []


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("packed_at", [-1700.0, 1800.0])
def test_files_that_are_packed_long_after_are_not_read_again(
    logs: ZeekLogs, packed_at: float, beside: bool, watched: bool
) -> None:
    """Though they seem to have been written lately, and more than are remembered."""
    if not watched:
        logs.follower.tail.close()
    for hour in range(40):
        logs.rotate(packed=False)
        logs.write((3600.0 * hour + 1, 3600.0 * hour + 3500))
        if watched:
            logs.follower.poll()
    if not watched:
        logs.follower = Follower(logs.live)
        logs.follower.poll()
    read = list(range(42)) if watched else [41]
    assert logs.numbers == read
    for number, path in enumerate(sorted(logs.archive.glob("20*/*.log"))):
        target = path.with_name(path.name + ".gz")
        if beside:
            begun = f"{path.parent.name}-{path.name[5:13].replace(':', '-')}"
            target = logs.live.with_name(f"conn.{begun}.log.gz")
        target.write_bytes(gzip.compress(path.read_bytes()))
        os.utime(target, (logs.ended + packed_at + 1.1 * number,) * 2)
        path.unlink()
    logs.rotate()
    logs.write((3600.0 * 40, 3600.0 * 41))
    for _ in range(2):
        logs.follower.poll(10)
        logs.follower.restart()
    assert logs.numbers == [*read, 42]


def test_a_forgotten_file_that_is_copied_is_told_of(logs: ZeekLogs) -> None:
    first = logs.live.read_bytes()
    for hour in range(20):
        logs.rotate()
        logs.write((3600.0 * hour + 1, 3600.0 * hour + 3500))
        logs.follower.poll()
    name = local("conn.%Y-%m-%d-%H-%M-%S.log", logs.end - 3607)
    copy = logs.live.with_name(name)
    copy.write_bytes(first)
    logs.rotate()
    logs.write((3600.0 * 40, 3600.0 * 41))
    os.utime(copy, (logs.ended - 60, logs.ended - 60))
    logs.follower.poll(10)
    logs.follower.restart()
    logs.follower.poll(10)
    assert logs.numbers == list(range(23))
    assert logs.told == [(str(copy), Cause.LEFT_OUT)]
