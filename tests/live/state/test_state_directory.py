"""A state that is removed, moved or replaced under its watcher, and who else may write to it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from zeekml.core.directory_lock import TakenError
from zeekml.errors import StateFileError
from zeekml.live.state.database import IncidentLine, JournalRow, Mark, State, StreamCommit


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "a" / "state"


@pytest.fixture
def state(directory: Path) -> Iterator[State]:
    state = State(directory)
    commit(state, 0)
    yield state
    state.close()


def commit(state: State, number: int) -> None:
    line = IncidentLine(
        f"i{number}", "conn", "Scan", "open", "low", 0, 1.0, 2.0, b"l%d" % number, alert=b"a"
    )
    entry = JournalRow(number, 1, b"e%d" % number)
    state.commit(
        [StreamCommit("conn", b"record %d" % number, entry)],
        {"notice.log": Mark(1, 2, number)},
        [line],
        {"health": str(number)},
    )


def check(directory: Path, last: int) -> None:
    """A watcher that starts there goes on after this commit."""
    state = State(directory)
    assert state.record("conn") == b"record %d" % last
    assert [entry.number for entry in state.journal("conn", 0)] == list(range(last + 1))
    assert state.marks() == {"notice.log": Mark(1, 2, last)}
    assert list(state.notice_lines()) == [f"i{n}/0" for n in range(last + 1)]
    assert list(state.alert_lines()) == [f"i{n}/0" for n in range(last + 1)]
    assert state.note("health") == str(last)
    state.close()


def move_away(directory: Path) -> None:
    directory.rename(directory.with_name("elsewhere"))


def replace_by_copy(directory: Path) -> None:
    shutil.copytree(directory, directory.with_name("copy"))
    shutil.rmtree(directory)
    directory.with_name("copy").rename(directory)


def replace_file(directory: Path) -> None:
    shutil.copy2(directory / "state.db", directory / "other")
    (directory / "other").replace(directory / "state.db")


def put_foreign_file(directory: Path) -> None:
    (directory / "state.db").unlink()
    (directory / "state.db").write_bytes(b"something else")


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (shutil.rmtree, "the directory"),
        (move_away, "the directory"),
        (lambda path: shutil.rmtree(path.parent), "the directory"),
        (replace_by_copy, "state.db"),
        (replace_file, "state.db"),
        (put_foreign_file, "state.db"),
        (lambda path: (path / "state.db").unlink(), "state.db"),
        (lambda path: (path / "state.db-wal").unlink(), "state.db-wal"),
        (lambda path: (path / "state.db-shm").unlink(), "state.db-shm"),
        (lambda path: (path / "lock").unlink(), "lock"),
        (lambda path: [p.unlink() for p in path.iterdir()], "state.db"),
    ],
)
@pytest.mark.parametrize("sudden", [False, True])
def test_what_is_taken_away_is_there_again(
    directory: Path, harm: Callable[[Path], object], what: str, sudden: bool
) -> None:
    state = State(directory)
    commit(state, 0)
    assert state.in_place
    assert state.put_back() is None
    harm(directory)
    assert not state.in_place
    said = state.put_back()
    assert said is not None
    assert said.startswith(what)
    assert state.in_place
    assert state.put_back() is None
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "state.db").stat().st_mode) == 0o600
    commit(state, 1)
    with pytest.raises(TakenError, match="another zeekml watch"):
        State(directory)
    if sudden:
        # as it is on the disk at this moment
        shutil.copytree(directory, directory.with_name("then"))
        check(directory.with_name("then"), 1)
    state.close()
    check(directory, 1)


def test_what_is_not_the_watchers_own_is_kept(directory: Path, state: State) -> None:
    put_foreign_file(directory)
    assert state.put_back() is not None
    assert (directory / "state.db.found").read_bytes() == b"something else"


def test_another_watch_has_taken_the_place(directory: Path, state: State) -> None:
    move_away(directory)
    other = State(directory)
    with pytest.raises(TakenError, match="another zeekml watch uses this state directory"):
        state.put_back()
    assert other.in_place
    assert other.record("conn") is None
    other.close()


def test_a_place_that_cannot_be_made(directory: Path, state: State) -> None:
    move_away(directory)
    directory.write_text("")
    for _ in range(3):
        with pytest.raises(StateFileError, match="cannot be used as state directory"):
            state.put_back()
        commit_failed_nothing = state.record("conn")
        assert commit_failed_nothing == b"record 0"
    directory.unlink()
    assert state.put_back() is not None
    commit(state, 1)
    assert state.in_place


def test_a_copy_that_was_not_finished_is_no_hindrance(directory: Path, state: State) -> None:
    shutil.rmtree(directory)
    directory.mkdir()
    (directory / "state.db.copy").write_bytes(b"half")
    (directory / "state.db.copy-journal").write_bytes(b"half")
    assert state.put_back() is not None
    assert {path.name for path in directory.iterdir()} == {
        "lock",
        "state.db",
        "state.db-wal",
        "state.db-shm",
    }


class Place(RuleBasedStateMachine):
    """Commits, harm, looks and restarts in any order: nothing that was committed is missing."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.directory = self.root / "a" / "state"
        self.state = State(self.directory)
        self.number = 0
        commit(self.state, 0)

    def teardown(self) -> None:
        if hasattr(self, "root"):
            self.state.put_back()
            self.state.close()
            check(self.directory, self.number)
            shutil.rmtree(self.root)

    @rule()
    def commit(self) -> None:
        self.number += 1
        commit(self.state, self.number)

    @rule()
    def look(self) -> None:
        self.state.put_back()
        assert self.state.in_place

    @rule()
    def restart(self) -> None:
        self.state.put_back()
        self.state.close()
        self.state = State(self.directory)

    @rule(
        name=st.sampled_from(["state.db", "state.db-wal", "state.db-shm", "lock"]),
        replaced=st.booleans(),
    )
    def harm_file(self, name: str, replaced: bool) -> None:
        path = self.directory / name
        if path.exists():
            path.unlink()
            if replaced:
                path.write_bytes(b"x" * 100)

    @rule()
    def remove_directory(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


TestPlace = Place.TestCase
TestPlace.settings = settings(
    max_examples=60, stateful_step_count=20, derandomize=True, deadline=None
)


# -- who may write there -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722])
@pytest.mark.parametrize("used", [False, True])
def test_a_directory_of_ours_is_closed_to_others(
    directory: Path, mode: int, used: bool, caplog: pytest.LogCaptureFixture
) -> None:
    directory.mkdir(parents=True)
    if used:
        State(directory).close()
    directory.chmod(mode)
    State(directory).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert f"others could write to it (mode 0{mode:o}); now 0700" in caplog.text


def test_a_directory_that_others_only_read_stays_as_it_is(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    State(directory).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755


@pytest.mark.parametrize("mode", [0o1777, 0o777])
def test_a_directory_for_everybody_is_not_taken(directory: Path, mode: int) -> None:
    directory.mkdir(parents=True)
    (directory / "thesis.txt").write_text("mine")
    directory.chmod(mode)
    with pytest.raises(
        StateFileError, match=rf"others may write to this directory \(mode {mode:04o}"
    ):
        State(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_state_that_somebody_else_put_there(directory: Path) -> None:
    State(directory).close()
    os.chown(directory / "state.db", 65534, 65534)
    directory.chmod(0o777)
    with pytest.raises(StateFileError, match="others may have changed it"):
        State(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
def test_a_directory_of_another_user(directory: Path) -> None:
    directory.mkdir(parents=True)
    os.chown(directory, 65534, 65534)
    # root may use what is another's, as long as that one alone may write there
    State(directory).close()
    directory.chmod(0o777)
    with pytest.raises(StateFileError, match=r"others may write to this directory \(mode 0777\)"):
        State(directory)
