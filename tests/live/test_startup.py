"""Where a log begins is noted at once and for good, whatever happens to it until it is read."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeekml.live.startup import Startup
from zeekml.live.tail.events import Gap, Lines
from zeekml.live.tail.files_at_start import FileAtStart, open_live_files
from zeekml.live.tail.inputs import StreamLogs
from zeekml.readers.files.line_splitter import Block


def lines(first: int, last: int) -> bytes:
    """Numbered records."""
    return b"".join(b'{"timestamp":"2026-05-04","number":%d}\n' % n for n in range(first, last + 1))


class Start:
    """Starts on one log, each of which may die before it has read anything."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.live = root / "current" / "eve.json"
        self.now = 0.0

    def begin(self, *, sighted: bool = True) -> Startup:
        return self.begin_with(open_live_files([self.live]) if sighted else {})

    def begin_with(self, files: dict[Path, FileAtStart]) -> Startup:
        logs = [StreamLogs("eve", "suricata", (self.live,))]
        return Startup(logs, self.root / "state", files, clock=lambda: self.now)

    def read(self, begun: Startup) -> tuple[bytes, list[Gap]]:
        """All that a start comes to read, and what it reports as lost."""
        (tail,) = begun.tails.values()
        data, gaps = b"", []
        for _ in range(100):
            for event in tail.poll():
                if isinstance(event, Lines):
                    assert isinstance(event.lines, Block)
                    data += event.lines.data
                elif isinstance(event, Gap):
                    gaps.append(event)
            self.now += 0.5
        return data, gaps

    def rotate(self, name: str) -> Path:
        return self.live.rename(self.live.with_name(name))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    start = Start(tmp_path)
    start.live.parent.mkdir()
    yield start


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("sighted", [False, True])
def test_a_log_rotated_twice_before_it_is_read(start: Start, sighted: bool, killed: bool) -> None:
    start.live.with_name("eve.json.9").write_bytes(lines(900, 950))
    start.live.write_bytes(lines(1, 50))
    begun = start.begin(sighted=sighted)
    if killed:
        begun.close()
    start.rotate("eve.json.2")
    start.live.write_bytes(lines(51, 60))
    start.rotate("eve.json.1")
    start.live.write_bytes(lines(61, 90))
    if killed:
        begun = start.begin()
    with begun:
        assert start.read(begun) == (lines(1, 90), [])


@pytest.mark.parametrize("packed", [False, True])
def test_a_log_rotated_between_the_first_look_and_the_first_position(
    start: Start, packed: bool
) -> None:
    old = start.live.with_name("eve.json.7")
    old.write_bytes(lines(900, 950))
    start.live.write_bytes(lines(1, 50))
    files = open_live_files([start.live])
    rotated = start.rotate("eve.json.2")
    if packed:
        rotated.with_name("eve.json.2.gz").write_bytes(gzip.compress(rotated.read_bytes()))
        rotated.unlink()
    start.live.write_bytes(lines(51, 60))
    start.rotate("eve.json.1")
    start.live.write_bytes(lines(61, 90))
    with start.begin_with(files) as begun:
        assert start.read(begun) == (lines(1, 90), [])


def test_a_log_that_is_gone_before_it_was_read_is_told_of(start: Start) -> None:
    start.live.write_bytes(lines(1, 50))
    start.begin().close()
    start.live.unlink()
    start.live.write_bytes(lines(51, 60))
    with start.begin() as begun:
        data, (gap,) = start.read(begun)
    assert data == lines(51, 60)
    assert gap.at_least == len(lines(1, 50))


@pytest.mark.parametrize("killed", [False, True])
def test_a_log_whose_directory_appears_later_is_read_from_its_start(
    start: Start, killed: bool
) -> None:
    start.live.parent.rmdir()
    archive = start.root / "2026-05-03"
    archive.mkdir()
    (archive / "eve.10:00:00-11:00:00.json.gz").write_bytes(gzip.compress(lines(900, 950)))
    begun = start.begin()
    if killed:
        begun.close()
    start.live.parent.mkdir()
    start.live.write_bytes(lines(1, 50))
    start.rotate("eve.json.1")
    start.live.write_bytes(lines(51, 60))
    if killed:
        begun = start.begin()
    with begun:
        assert start.read(begun) == (lines(1, 60), [])


def test_what_a_directory_that_appears_brings_along_is_left_alone(start: Start) -> None:
    start.live.parent.rmdir()
    with start.begin() as begun:
        start.live.parent.mkdir()
        old = start.live.with_name("eve.json.1")
        old.write_bytes(lines(900, 950))
        os.utime(old, (time.time() - 86_400,) * 2)
        start.live.write_bytes(lines(1, 10))
        assert start.read(begun) == (lines(1, 10), [])


def test_a_position_that_is_known_is_not_taken_again(start: Start) -> None:
    start.live.write_bytes(lines(1, 5))
    with start.begin() as begun:
        commits = begun.state.commits
    with start.begin() as begun:
        assert (commits, begun.state.commits) == (1, 0)


def test_files_at_the_start_are_given_back(start: Start) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    start.live.write_bytes(lines(1, 5))
    start.live.with_name("eve-dns.json").write_bytes(b"")
    os.mkfifo(start.live.with_name("eve-pipe.json"))
    files = open_live_files([start.live.parent, start.live, start.root / "nowhere"])
    assert sorted(path.name for path in files) == ["eve-dns.json", "eve.json"]
    start.begin_with(files).close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
