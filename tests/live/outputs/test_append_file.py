"""One output file: every line once, whatever becomes of the file, the disk and the watcher."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from small_disk import FULL, SmallDisk
from unprivileged import run_unprivileged

from zeekml.errors import OutputError
from zeekml.live.outputs.append_file import AppendFile
from zeekml.live.state.database import Mark

OPENING = [b"# first\n", b"# second\n"]


def key_of(line: bytes) -> str | None:
    return None if line.startswith(b"#") else line.split(b" ")[0].decode()


def opened(path: Path, mark: Mark | None = None) -> AppendFile:
    return AppendFile(path, mark, key_of, lambda: list(OPENING))


def put(file: AppendFile, *numbers: int) -> None:
    for number in numbers:
        file.add(str(number), line_of(number))


def line_of(number: int) -> bytes:
    # of many lengths, so that a full disk or a cut hits lines in the middle
    return b"%d %s\n" % (number, b"x" * (number * 7919 % 3000))


def numbers_in(data: bytes) -> list[int]:
    assert data.endswith(b"\n") or not data
    lines = data.splitlines(keepends=True)
    found = [line for line in lines if not line.startswith(b"#")]
    numbers = [int(line.split(b" ")[0]) for line in found]
    assert found == [line_of(n) for n in numbers], "a line is not whole"
    return numbers


def starts_rightly(data: bytes) -> bool:
    return data.startswith(b"".join(OPENING)) and data.count(b"#") == len(OPENING)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out" / "notice.log"


class Output(RuleBasedStateMachine):
    """A watcher that numbers its lines, and everybody who handles its file meanwhile.

    What makes the lines goes on from `committed` after a crash and makes the same lines again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.path = self.root / "notice.log"
        self.committed = 0
        self.made = 0
        self.flushed = 0
        self.rotated = 0
        self.gone: set[int] = set()  # somebody removed or emptied their file
        self.survived: set[int] = set()  # written before a crash and not committed
        self.file = opened(self.path)
        self.mark = self.file.mark

    def teardown(self) -> None:
        self.file.close()
        shutil.rmtree(self.root)

    # once lines are flushed a watcher commits them before it makes others
    @precondition(lambda self: self.flushed == self.committed)
    @rule(n=st.integers(1, 5))
    def make(self, n: int) -> None:
        put(self.file, *range(self.made, self.made + n))
        self.made += n

    @rule()
    def flush(self) -> None:
        self.file.flush()
        assert len(self.file._pending) == 0
        self.flushed = self.made

    @rule()
    def flush_and_commit(self) -> None:
        self.flush()
        self.commit()

    @precondition(lambda self: self.flushed == self.made)
    @rule()
    def commit(self) -> None:
        """As a watcher does: with nothing between the last flush and this."""
        self.file.flush()
        self.mark = self.file.mark
        self.file.committed()
        self.committed = self.made

    @rule(again=st.booleans())
    def crash(self, again: bool) -> None:
        self.file.close()
        self.file = opened(self.path, self.mark)
        self.made = self.flushed = self.committed
        self.survived = {n for n in self.there() if n >= self.committed}
        if not again:
            return
        self.file.close()
        self.file = opened(self.path, self.mark)

    @rule(half=st.binary(min_size=1, max_size=9).map(lambda data: data.replace(b"\n", b"")))
    def lose_power(self, half: bytes) -> None:
        """The crash comes in the middle of a line."""
        self.file.close()
        if self.path.exists():
            with self.path.open("ab") as file:
                file.write(half)
        self.crash(False)

    @rule()
    def rotate(self) -> None:
        if not self.path.exists():
            return
        # whoever crashes after this finds the file that the mark is about, and the one in place
        if self.flushed == self.committed or self.path.stat().st_ino == self.mark.inode:
            self.rotated += 1
            self.path.rename(self.root / f"notice-{self.rotated}.log")

    @rule()
    def look(self) -> None:
        self.file.flush()
        if self.flushed < self.made:
            self.flushed = self.made

    @rule()
    def remove(self) -> None:
        """Nobody can bring back what was committed; what was not is written again."""
        if self.path.exists():
            there = set(numbers_in(self.path.read_bytes()))
            self.gone |= {n for n in there if n < self.committed or n in self.survived}
            self.path.unlink()

    @precondition(lambda self: self.flushed == self.committed)
    @rule()
    def empty(self) -> None:
        if self.path.exists():
            self.gone |= set(numbers_in(self.path.read_bytes()))
            os.truncate(self.path, 0)

    @precondition(lambda self: self.flushed == self.committed)
    @rule(keep=st.floats(0, 1))
    def cut(self, keep: float) -> None:
        """Somebody cuts the file anywhere behind its header."""
        if not self.path.exists() or not self.path.stat().st_size:
            return
        head = len(b"".join(OPENING))
        whole = self.path.read_bytes()
        size = head + int(keep * (len(whole) - head))
        os.truncate(self.path, size)
        kept = whole[: whole.rfind(b"\n", 0, size) + 1]
        self.gone |= set(numbers_in(whole)) - set(numbers_in(kept))
        self.file.flush()
        self.flushed = self.made
        self.commit()

    @precondition(lambda self: self.flushed == self.committed)
    @invariant()
    def all_is_there(self) -> None:
        there = self.there()
        assert there == sorted(set(there)), "twice or out of order"
        missing = set(range(self.committed)) - set(there)
        assert missing <= self.gone

    def there(self) -> list[int]:
        files = [p for p in self.root.iterdir() if p != self.path]
        files.sort(key=lambda p: int(re.sub(r"\D", "", p.name)))
        there: list[int] = []
        for path in [*files, *([self.path] if self.path.exists() else [])]:
            data = path.read_bytes()
            assert not data or starts_rightly(data)
            there += numbers_in(data)
        return there


TestOutput = Output.TestCase
TestOutput.settings = settings(
    max_examples=80, stateful_step_count=30, derandomize=True, deadline=None
)


def test_opening_lines_come_once_though_the_first_tries_fail(path: Path) -> None:
    file = opened(path)
    put(file, 1)
    path.rename(path.with_suffix(".old"))
    # the new file cannot be made at first
    path.mkdir()
    with pytest.raises(OutputError):
        file.flush()
    path.rmdir()
    file.flush()
    path.rename(path.with_suffix(".1"))
    file.flush()
    file.close()
    assert starts_rightly(path.read_bytes())
    data = path.with_suffix(".1").read_bytes()
    assert starts_rightly(data)
    assert numbers_in(data) == [1]


def test_modes_and_missing_directories(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "notice.log"
    opened(path).close()
    assert stat.S_IMODE(path.stat().st_mode) & ~0o640 == 0


def test_lines_of_a_removed_file_wait_for_the_commit(path: Path) -> None:
    file = opened(path)
    put(file, 1, 2)
    file.flush()
    path.unlink()
    put(file, 3)
    file.flush()
    assert numbers_in(path.read_bytes()) == [1, 2, 3]
    file.committed()
    path.unlink()
    put(file, 4)
    file.flush()
    file.close()
    assert numbers_in(path.read_bytes()) == [4]


def test_what_is_there_already_is_found_in_all_files_since_the_mark(path: Path) -> None:
    file = opened(path)
    put(file, 1)
    file.flush()
    mark = file.mark
    file.committed()
    put(file, 2)
    file.flush()
    # named as logrotate's `extension` does it
    path.rename(path.with_name("notice-20261123.log"))
    put(file, 3)
    file.flush()
    file.close()
    again = opened(path, mark)
    assert [again.add(str(n), line_of(n)) for n in (2, 3, 4)] == [False, False, True]
    assert again.mark.already == ()
    # the same key once more is another line
    assert again.add("2", line_of(2))
    again.close()


def test_what_is_there_already_is_known_after_a_second_crash(path: Path) -> None:
    first = opened(path)
    mark = first.mark
    put(first, 1, 2, 3)
    first.flush()
    first.close()
    second = opened(path, mark)
    assert not second.add("1", line_of(1))
    mark = second.mark
    second.committed()
    assert sorted(mark.already) == ["2", "3"]
    second.close()
    third = opened(path, mark)
    put(third, 2, 3, 4)
    third.flush()
    third.forget_already()
    assert third.mark.already == ()
    third.close()
    assert numbers_in(path.read_bytes()) == [1, 2, 3, 4]


def test_a_long_half_line_is_cut_off(path: Path) -> None:
    opened(path).close()
    with path.open("ab") as file:
        file.write(line_of(1) + b"y" * 3_000_000)
    again = opened(path)
    put(again, 2)
    again.flush()
    assert again.last_line() == line_of(2)[:-1]
    again.close()
    assert numbers_in(path.read_bytes()) == [1, 2]
    assert starts_rightly(path.read_bytes())


def test_last_line(path: Path) -> None:
    file = opened(path)
    assert file.last_line() == b"# second"
    os.truncate(path, 0)
    file.close()
    file = AppendFile(path, None, key_of)
    assert file.last_line() == b""
    file.close()


def link_elsewhere(path: Path) -> None:
    path.symlink_to(path.parent / "precious")


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [(Path.mkdir, "directory"), (os.mkfifo, "no regular file"), (link_elsewhere, "symbolic link")],
)
def test_what_is_no_file(path: Path, obstacle: Callable[[Path], None], reason: str) -> None:
    path.parent.mkdir()
    precious = path.parent / "precious"
    precious.write_bytes(b"half a line")
    obstacle(path)
    with pytest.raises(OutputError, match=reason):
        opened(path)
    assert precious.read_bytes() == b"half a line"


@pytest.mark.parametrize("obstacle", [Path.mkdir, os.mkfifo, link_elsewhere])
def test_what_takes_the_files_place_meanwhile(path: Path, obstacle: Callable[[Path], None]) -> None:
    file = opened(path)
    path.rename(path.with_suffix(".1"))
    obstacle(path)
    put(file, 1)
    for _ in range(3):
        with pytest.raises(OutputError, match=re.escape(str(path))):
            file.flush()
    assert len(file._pending) == 1
    assert not (path.parent / "precious").exists()
    path.rmdir() if path.is_dir() else path.unlink()
    file.flush()
    file.close()
    assert starts_rightly(path.read_bytes())
    assert numbers_in(path.read_bytes()) == [1]


def test_nothing_is_left_open_where_it_cannot_start(path: Path) -> None:
    path.parent.mkdir()
    path.mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(OutputError):
            opened(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_full_disk(small_disk: SmallDisk) -> None:
    path = small_disk.path / "notice.log"
    file = opened(path)
    put(file, 0, 1, 2)
    file.flush()
    file.committed()
    before = path.read_bytes()
    # room for some lines but not for all
    small_disk.fill(20_000, path)
    put(file, *range(3, 60))
    for _ in range(3):
        with pytest.raises(OutputError, match=FULL):
            file.flush()
        assert path.read_bytes() == before, "a failed try leaves nothing"
    assert file.mark.offset == len(before)
    assert len(file._pending) == 57
    # rotating does not help: a new file can be made, but nothing goes into it
    small_disk.fill(0, path.with_name("new"))
    path.rename(path.with_name("notice.log.1"))
    for _ in range(3):
        with pytest.raises(OutputError, match=FULL):
            file.flush()
        assert path.read_bytes() == b""
    small_disk.make_room()
    file.flush()
    file.close()
    data = path.read_bytes()
    assert starts_rightly(data)
    assert numbers_in(data) == list(range(3, 60))
    assert path.with_name("notice.log.1").read_bytes() == before


def test_starting_on_a_full_disk(small_disk: SmallDisk) -> None:
    path = small_disk.path / "notice.log"
    small_disk.fill(0, path)
    with pytest.raises(OutputError, match=FULL):
        opened(path)
    small_disk.make_room()
    opened(path).close()
    assert starts_rightly(path.read_bytes())


UNPRIVILEGED = """
import sys
from pathlib import Path
from zeekml.errors import OutputError
from zeekml.live.outputs.append_file import AppendFile
directory = Path(sys.argv[1])
path = directory / "notice.log"
file = AppendFile(path, None, lambda line: None, lambda: [b"# first\\n"])
file.add("1", b"1\\n")
file.flush()
path.rename(directory / "notice.log.1")
file.add("2", b"2\\n")
directory.chmod(0o500)
for _ in range(2):
    try:
        file.flush()
    except OutputError as error:
        print(error)
directory.chmod(0o700)
file.flush()
file.close()
path.chmod(0)
try:
    AppendFile(path, file.mark, lambda line: None)
except OutputError as error:
    print(error)
path.chmod(0o600)
print(path.read_text().split(), (directory / "notice.log.1").read_text().split())
"""


def test_permission_is_lost(tmp_path: Path) -> None:
    *errors, content = run_unprivileged(UNPRIVILEGED, tmp_path)
    assert errors == [f"{tmp_path}/notice.log: cannot write: Permission denied"] * 3
    assert content == "['#', 'first', '2'] ['#', 'first', '1']"
