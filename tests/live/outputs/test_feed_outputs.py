"""The feed of a watch: each notice once for whoever reads it, and files that follow the state."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_lines import HEALTH, NOTICE
from written import commit

from zeekml.alerts.health_notice import HealthNotice
from zeekml.core.directory_lock import TakenError
from zeekml.detection.notice import Notice
from zeekml.errors import OutputError
from zeekml.feeds import feed_directory
from zeekml.feeds.feed_directory import FEED_FILES, NOTICE_TABLE, NOTICES, NOTICES_BEFORE
from zeekml.feeds.hosts import HostList
from zeekml.feeds.zeek_lines import feed_key
from zeekml.live.outputs import feed_outputs
from zeekml.live.outputs.feed_outputs import QUIET, FeedOutputs
from zeekml.live.state.database import Mark, State

REMOTE = "192.0.2.66"
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def incident(number: int, seq: int = 0, **changes: Any) -> Notice:
    changes.setdefault("src", REMOTE)
    return replace(NOTICE, id=f"{number:024x}", seq=seq, **changes)


class Feed:
    """A feed with its state, and clocks that stand still."""

    def __init__(self, root: Path) -> None:
        self.root, self.directory = root, root / "feed"
        self.state = State(root / "state")
        self.now = 1000.0
        self.wall = NOTICE.ts
        self.open()

    def open(self) -> None:
        self.hosts = HostList()
        for line in self.state.incident_lines():
            self.hosts.add(json.loads(line))
        self.outputs = FeedOutputs(
            self.directory, self.state, self.hosts, lambda: self.now, lambda: self.wall
        )
        # before anything is read, a watch commits against what its outputs hold
        self.state.commit(marks=self.outputs.marks)
        self.outputs.committed()

    def raise_(self, *notices: Notice | HealthNotice, commits: bool = True) -> None:
        """What the watch does with notices; without the commit, as if it died before it."""
        self.outputs.add(notices)
        self.outputs.flush()
        if not commits:
            return
        found = [notice for notice in notices if isinstance(notice, Notice)]
        commit(self.state, found)
        self.state.commit(marks=self.outputs.marks)
        self.outputs.committed()
        for notice in found:
            self.hosts.add(json.loads(feed_outputs.encode_json(notice)))

    def die(self) -> None:
        """Be killed, and start again."""
        self.outputs.close()
        self.state.close()
        self.state = State(self.root / "state")
        self.open()

    def keys(self) -> Counter[str | None]:
        paths = [self.directory / NOTICES_BEFORE, self.directory / NOTICES]
        lines = [line for p in paths if p.exists() for line in p.read_bytes().splitlines(True)]
        return Counter(map(feed_key, lines))

    def text(self, name: str) -> str:
        return (self.directory / name).read_text()

    def close(self) -> None:
        self.outputs.close()
        self.state.close()


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    with closing(Feed(tmp_path)) as feed:
        yield feed


class StreamReader:
    """Reads as Zeek's reader of streams does: to the end, and anew where another file is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self.lines: list[bytes] = []

    def look(self) -> None:
        if self._path.exists() and (
            self._file is None
            or not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        ):
            self.close()
            self._file = self._path.open("rb")
        if self._file is not None:
            for line in self._file.readlines():
                assert line.endswith(b"\n")
                self.lines.append(line)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def test_all_files_are_there_from_the_start(feed: Feed) -> None:
    feed.outputs.publish(now=True)
    assert {path.name for path in feed.directory.iterdir()} == set(FEED_FILES)
    assert all(path.stat().st_mode & 0o777 & ~0o640 == 0 for path in feed.directory.iterdir())


def test_what_is_committed_is_told(feed: Feed) -> None:
    feed.raise_(incident(1), HEALTH)
    feed.outputs.publish(now=True)
    assert feed.keys() == {f"{1:024x}/0": 1, f"{HEALTH.id}/0": 1}
    assert feed.text(NOTICE_TABLE).count("\n") == 3
    assert feed.text("zeekml-attackers.lst") == f"{REMOTE}\n"
    before = {p.name: p.stat().st_ino for p in feed.directory.iterdir()}
    feed.outputs.publish(now=True)
    assert {p.name: p.stat().st_ino for p in feed.directory.iterdir()} == before
    feed.wall += 86_400.0
    feed.outputs.publish(now=True)
    assert feed.text("zeekml-attackers.lst") == ""


def test_whole_files_are_replaced_once_a_second_at_most(feed: Feed) -> None:
    feed.outputs.publish()
    feed.raise_(incident(1))
    feed.now += 0.9
    feed.outputs.publish()
    assert feed.text("zeekml-attackers.lst") == ""
    feed.now += 0.2
    feed.outputs.publish()
    assert feed.text("zeekml-attackers.lst") == f"{REMOTE}\n"


def test_after_a_kill_all_is_as_before(feed: Feed) -> None:
    feed.raise_(incident(1), incident(2, src="10.0.0.9"))
    feed.raise_(incident(1, 1, state="closed"))
    feed.outputs.publish(now=True)
    before = {name: feed.text(name) for name in FEED_FILES}
    feed.die()
    feed.outputs.publish(now=True)
    assert {name: feed.text(name) for name in FEED_FILES} == before
    # and after one between writing and committing, the lines come again
    feed.raise_(incident(3, src="192.0.2.9"), HEALTH, commits=False)
    feed.die()
    feed.outputs.publish(now=True)
    assert feed.text("zeekml-attackers.lst") == before["zeekml-attackers.lst"]
    feed.raise_(incident(3, src="192.0.2.9"), HEALTH)
    assert set(feed.keys().values()) == {1}
    assert len(feed.keys()) == 5
    feed.outputs.publish(now=True)
    assert feed.text("zeekml-attackers.lst").split() == ["192.0.2.9", REMOTE]


def test_the_table_holds_the_latest(feed: Feed) -> None:
    with patch.object(feed_outputs, "TABLE_LINES", 3):
        feed.raise_(*(incident(n) for n in range(5)))
        feed.outputs.publish(now=True)
        shown = [line.split("\t")[0] for line in feed.text(NOTICE_TABLE).splitlines()[1:]]
        assert shown == [f"{n:024x}" for n in (2, 3, 4)]
        feed.die()
        feed.outputs.publish(now=True)
        again = [line.split("\t")[0] for line in feed.text(NOTICE_TABLE).splitlines()[1:]]
        assert again == shown


def test_a_feed_that_was_cut_is_mended(feed: Feed) -> None:
    feed.raise_(*(incident(n) for n in range(4)))
    path = feed.directory / NOTICES
    whole = path.read_bytes()
    feed.outputs.close()
    os.truncate(path, len(whole) // 2)
    feed.open()
    assert path.read_bytes() == whole
    (shortened,) = feed.outputs.shortened
    assert (shortened.name, shortened.lines) == (NOTICES, 2)


def test_what_a_killed_watch_was_writing_is_removed(feed: Feed) -> None:
    feed.outputs.publish(now=True)
    (feed.directory / f".{NOTICE_TABLE}.4711").write_text("half a")
    (feed.directory / ".other").write_text("somebody's")
    feed.die()
    assert {path.name for path in feed.directory.iterdir()} == {*FEED_FILES, ".other"}


def test_another_watch_is_kept_out(feed: Feed, tmp_path: Path) -> None:
    state = State(tmp_path / "other")
    with closing(state), pytest.raises(TakenError, match="choose another --feed"):
        FeedOutputs(feed.directory, state, HostList(), lambda: 0.0, lambda: 0.0)


def test_what_cannot_be_written_is_told_once_and_tried_again(
    feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    feed.outputs.publish(now=True)
    feed.raise_(incident(1))
    with patch.object(feed_directory, "replacing", side_effect=OSError(28, "No space left")):
        for _ in range(3):
            feed.outputs.publish(now=True)
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    with caplog.at_level(logging.WARNING):
        feed.outputs.publish(now=True)
    assert "written again" in caplog.text
    assert feed.text("zeekml-attackers.lst") == f"{REMOTE}\n"


def test_a_full_disk_loses_no_notice(feed: Feed) -> None:
    feed.raise_(incident(1))
    with (
        patch("os.fsync", side_effect=OSError(28, "No space left on device")),
        pytest.raises(OutputError, match=r"notices\.jsonl: cannot write"),
    ):
        feed.raise_(incident(2))
    assert feed.keys() == {f"{1:024x}/0": 1}
    feed.raise_(incident(3))
    assert feed.keys() == {f"{n:024x}/0": 1 for n in (1, 2, 3)}


def test_a_directory_that_was_removed_is_made_again(feed: Feed) -> None:
    feed.raise_(incident(1))
    feed.outputs.publish(now=True)
    for path in feed.directory.iterdir():
        path.unlink()
    feed.directory.rmdir()
    feed.raise_(incident(2))
    feed.outputs.publish(now=True)
    assert {path.name for path in feed.directory.iterdir()} == set(FEED_FILES)
    assert feed.keys() == {f"{2:024x}/0": 1}


# -- rotation --------------------------------------------------------------------------------------


def test_a_reader_that_looks_each_second_misses_nothing(feed: Feed) -> None:
    reader = StreamReader(feed.directory / NOTICES)
    rotations, before = 0, -1
    with patch.object(feed_outputs, "ROTATE_AT", 2000), closing(reader):
        for number in range(40):
            feed.raise_(incident(number))
            # pauses up to ones that are long enough to rotate in
            for _ in range(1 + (number % 7 == 6) * int(QUIET + 1)):
                feed.now += 0.5
                feed.outputs.publish(now=True)
                feed.now += 0.5
                reader.look()
            inode = (feed.directory / NOTICES).stat().st_ino
            rotations += inode != before
            before = inode
    assert rotations > 3
    assert Counter(map(feed_key, reader.lines)) == {f"{n:024x}/0": 1 for n in range(40)}


def test_a_file_that_is_written_all_the_time_is_moved_away_at_last(feed: Feed) -> None:
    with patch.multiple(feed_outputs, ROTATE_AT=2000, ROTATE_ANYWAY=6000):
        for number in range(15):
            feed.raise_(incident(number))
            feed.now += 1.0
            feed.outputs.publish()
    sizes = [(feed.directory / name).stat().st_size for name in (NOTICES, NOTICES_BEFORE)]
    assert 6000 <= sizes[1] < 8000
    assert set(feed.keys().values()) == {1}
    assert len(feed.keys()) == 15


steps = st.lists(
    st.sampled_from(["raise", "raise", "lost", "die", "wait", "publish", "again"]), max_size=20
)


@settings(max_examples=30, deadline=None)
@given(steps)
def test_through_kills_and_rotations_each_notice_stands_once(drawn: Sequence[str]) -> None:
    with (
        tempfile.TemporaryDirectory(dir=_MEMORY) as root,
        patch.object(feed_outputs, "ROTATE_AT", 1),
        patch.object(feed_outputs, "NOTICES_BEFORE", "moved"),
        closing(Feed(Path(root))) as feed,
    ):
        wanted: set[str] = set()
        kept: list[str | None] = []
        waiting: list[Notice] = []
        number = 0

        def moved(rename: Callable[[], None]) -> None:
            """Keep what is in a file before another one takes its place."""
            path = feed.directory / "moved"
            was = path.stat().st_ino if path.exists() else None
            before = path.read_bytes().splitlines(True) if path.exists() else []
            rename()
            if was is not None and path.stat().st_ino != was:
                kept.extend(map(feed_key, before))

        for step in drawn:
            if step in ("raise", "lost"):
                number += 1
                made = [*waiting, incident(number)]
                feed.raise_(*made, commits=step == "raise")
                if step == "raise":
                    wanted |= {f"{n.id}/{n.seq}" for n in made}
                    waiting = []
                else:
                    waiting = made
                    feed.die()
            elif step == "again":
                if waiting:
                    feed.raise_(*waiting)
                    wanted |= {f"{n.id}/{n.seq}" for n in waiting}
                    waiting = []
            elif step == "die":
                feed.die()
            elif step == "wait":
                feed.now += QUIET
            else:
                moved(lambda: feed.outputs.publish(now=True))
        if waiting:
            feed.raise_(*waiting)
            wanted |= {f"{n.id}/{n.seq}" for n in waiting}
        for name in ("moved", NOTICES):
            if (path := feed.directory / name).exists():
                kept += map(feed_key, path.read_bytes().splitlines(True))
        assert Counter(kept) == dict.fromkeys(wanted, 1)


def test_marks_are_of_the_new_file_after_a_rotation(feed: Feed) -> None:
    with patch.object(feed_outputs, "ROTATE_AT", 1):
        feed.raise_(incident(1))
        feed.now += QUIET
        feed.outputs.publish(now=True)
    mark: Mark = feed.outputs.marks[NOTICES]
    assert (mark.inode, mark.offset) == ((feed.directory / NOTICES).stat().st_ino, 0)
    feed.die()
    feed.raise_(incident(2))
    assert [feed_key(line) for line in (feed.directory / NOTICES).read_bytes().splitlines()] == [
        f"{2:024x}/0"
    ]
