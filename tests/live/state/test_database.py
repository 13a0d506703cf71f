"""What a watcher remembers: all of a commit or nothing, whatever happens, for one watcher alone."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_disk import FULL, SmallDisk
from unprivileged import ROOT, run_unprivileged

from zeekml.core import held_database
from zeekml.core.directory_lock import TakenError
from zeekml.errors import StateFileError
from zeekml.live.state import database as state_module
from zeekml.live.state.database import IncidentLine, JournalRow, Mark, Snapshot, State, StreamCommit
from zeekml.readers.stream_clock import ClockState


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "a" / "state"


@pytest.fixture
def state(directory: Path) -> Iterator[State]:
    state = State(directory)
    yield state
    state.close()


def anchor(number: int, **changes: Any) -> Snapshot:
    return Snapshot(number, ClockState(number * 10, 0, number, 1), **changes)


def step(number: int, stream: str = "conn", size: int = 10) -> StreamCommit:
    """The commit of a stream's entry with this number, and of the anchor behind it."""
    return StreamCommit(
        stream,
        b"record %d" % number,
        JournalRow(number, number + 1, b"%d" % number * size),
        anchor(number + 1, ordering=b"o", judge=b"j%d" % number, alerts=b"a"),
    )


def incident(n: int, seq: int = 0) -> IncidentLine:
    return IncidentLine(f"i{n}", "conn", "Scan", "open", "low", seq, 1.0, 2.0, b"{}")


def entries(state: State, stream: str = "conn", begin: int = 0) -> list[int]:
    return [entry.number for entry in state.journal(stream, begin)]


def run(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_everything_comes_back(directory: Path) -> None:
    marks = {"notice.log": Mark(2**63, 2**63, 7, ("a", "b")), "eve.json": Mark(0, 0, 0)}
    first = State(directory)
    assert (first.record("conn"), first.anchors("conn"), first.marks()) == (None, [], {})
    assert first.next_number("conn") == 0
    assert first.note("health") is None
    first.commit([step(0), step(0, "eve")], marks, [incident(1)], {"health": "{}"})
    first.commit([step(1)], notes={"health": "[]"})
    assert first.commits == 2
    first.close()
    again = State(directory)
    assert again.record("conn") == b"record 1"
    assert again.record("eve") == b"record 0"
    assert list(again.journal("conn", 0)) == [
        JournalRow(0, 1, b"0" * 10),
        JournalRow(1, 2, b"1" * 10),
    ]
    assert again.marks() == marks
    assert again.note("health") == "[]"
    assert again.next_number("conn") == 2
    assert again.journal_size("conn") == (20, 3)
    assert again.journal_size("conn", 1) == (10, 2)
    assert again.journal_size("nobody") == (0, 0)
    assert again.anchors("conn") == [anchor(1), anchor(2)]
    # what is needed to go on from the latest alone is kept with the latest alone
    assert again.anchor("conn", 1) == anchor(1, ordering=b"o")
    assert again.anchor("conn", 2) == anchor(2, ordering=b"o", judge=b"j1", alerts=b"a")
    assert again.anchor("eve", 1) == anchor(1, ordering=b"o", judge=b"j0", alerts=b"a")
    again.close()


@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.booleans(), st.integers(0, 12)), min_size=1, max_size=12
    )
)
@settings(max_examples=40, derandomize=True)
def test_trimming(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, ...]]) -> None:
    state = State(tmp_path_factory.mktemp("state"))
    numbers: dict[int, int] = {}
    anchored: set[int] = set()
    following = 0
    state.commit([step(5, "other")])
    for with_entry, with_anchor, forget in steps:
        commit = StreamCommit(
            "conn",
            b"",
            JournalRow(following, 3, b"x" * following) if with_entry else None,
            anchor(following + with_entry) if with_anchor else None,
            forget_before=min(forget, following + with_entry),
        )
        state.commit([commit])
        if with_entry:
            numbers[following] = following
            following += 1
        if with_anchor:
            anchored.add(following)
        numbers = {n: size for n, size in numbers.items() if n >= commit.forget_before}
        anchored = {n for n in anchored if n >= commit.forget_before}
        assert entries(state) == sorted(numbers)
        assert [a.number for a in state.anchors("conn")] == sorted(anchored)
        assert state.journal_size("conn") == (sum(numbers.values()), 3 * len(numbers))
        if numbers or anchored:
            assert state.next_number("conn") == max({n + 1 for n in numbers} | anchored)
        if following in anchored or following - 1 in numbers:
            assert state.next_number("conn") == following
    assert entries(state, "other") == [5], "streams do not concern each other"
    for begin in range(4):
        for end in range(5):
            expected = [n for n in sorted(numbers) if begin <= n < end]
            assert [e.number for e in state.journal("conn", begin, end)] == expected
    state.close()


def test_a_number_is_not_given_twice_after_all_was_forgotten(state: State) -> None:
    state.commit([step(0)])
    state.commit([StreamCommit("conn", b"", None, anchor(1), forget_before=1)])
    assert entries(state) == []
    assert state.next_number("conn") == 1


def test_the_journal_is_read_while_it_grows(state: State) -> None:
    state.commit([step(0)])
    state.commit([step(1)])
    reading = state.journal("conn", 0)
    assert next(reading).number == 0
    state.commit([step(2), StreamCommit("eve", b"")])
    assert [entry.number for entry in reading] == [1, 2]


# -- all or nothing ------------------------------------------------------------------------------


class Failing:
    """An incident that cannot be stored, after all else has been."""


@pytest.mark.parametrize("what", ["entry", "incident", "mark", "interrupt"])
def test_a_commit_that_fails_leaves_nothing(state: State, what: str) -> None:
    state.commit([step(0)], {"a": Mark(1, 2, 3)}, [incident(1)], {"n": "1"})
    streams = [step(1), step(0, "eve")]
    notes: dict[str, object] = {"n": "2"}
    incidents: list[object] = [incident(2)]
    marks: dict[str, object] = {"a": Mark(4, 5, 6)}
    error: type[BaseException] = StateFileError
    if what == "entry":
        # this number is taken
        streams.append(step(0))
    elif what == "incident":
        incidents.append(Failing())
        error = TypeError
    elif what == "mark":
        marks["b"] = Failing()
        error = TypeError
    else:
        error = KeyboardInterrupt

        class Interrupted(dict[str, object]):
            def items(self) -> object:  # type: ignore[override]
                raise KeyboardInterrupt

        notes = Interrupted(n="2")
    with pytest.raises(error):
        state.commit(streams, marks, incidents, notes)  # type: ignore[arg-type]
    assert state.commits == 1
    assert state.record("conn") == b"record 0"
    assert entries(state) == [0]
    assert entries(state, "eve") == []
    assert [a.number for a in state.anchors("conn")] == [1]
    assert state.anchor("conn", 1).judge == b"j0", "the anchor before is whole"
    assert state.marks() == {"a": Mark(1, 2, 3)}
    assert state.note("n") == "1"
    state.commit([step(1), step(0, "eve")], {"a": Mark(4, 5, 6)}, [incident(2)], {"n": "2"})
    assert entries(state) == [0, 1]


COMMITTING = """
import sys
from pathlib import Path
from zeekml.readers.stream_clock import ClockState
from zeekml.live.state.database import *
state = State(Path(sys.argv[1]))
number = state.next_number("conn")
while True:
    data = b"%d " % number * 2000
    commit = StreamCommit(
        "conn", b"%d" % number, JournalRow(number, 1, data),
        Snapshot(number + 1, ClockState(number)),
        forget_before=max(number - 3, 0),
    )
    line = IncidentLine("i", "conn", "Scan", "open", "low", number, 1.0, 2.0, b"{}")
    state.commit([commit], {"a": Mark(1, 1, number)}, [line], {"n": str(number)})
    print(number, flush=True)
    number += 1
"""


def test_killed_in_the_middle_of_commits(directory: Path) -> None:
    last = -1
    for kill_after in (1, 7, 23):
        process = run(COMMITTING, directory)
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(kill_after)]
        process.send_signal(signal.SIGKILL)
        seen += [int(line) for line in process.stdout.read().splitlines()]
        process.wait()
        process.stdout.close()
        state = State(directory)
        (number,) = {
            int(state.record("conn") or b""),
            entries(state)[-1],
            state.anchors("conn")[-1].number - 1,
            state.anchors("conn")[-1].clock.now,
            state.marks()["a"].offset,
            int(state.note("n") or ""),
        }
        assert seen[0] == last + 1, "the run before this was gone on with"
        assert number in (seen[-1], seen[-1] + 1), "what was reported committed is there"
        assert entries(state) == list(range(max(number - 3, 0), number + 1))
        for entry in state.journal("conn", 0):
            assert entry.data == b"%d " % entry.number * 2000
        last = number
        state.close()
    with sqlite3.connect(directory / "state.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT seq FROM incident").fetchall() == [(last,)]
    database.close()


# -- one watcher ---------------------------------------------------------------------------------


def test_one_watcher_at_a_time(state: State, directory: Path) -> None:
    with pytest.raises(TakenError, match=f"{directory}: another zeekml watch .* --state"):
        State(directory)
    code = (
        "import sys; from pathlib import Path; from zeekml.live.state.database import State\n"
        "try: State(Path(sys.argv[1]))\nexcept Exception as error: print(error)"
    )
    with run(code, directory) as process:
        out, _ = process.communicate()
    assert re.match(f"{directory}: another zeekml watch uses this", out)
    state.commit([step(0)])


def test_the_lock_ends_with_the_watcher(directory: Path) -> None:
    process = run(COMMITTING, directory)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(TakenError, match="another zeekml watch"):
        State(directory)
    process.kill()
    process.communicate()
    State(directory).close()
    State(directory).close()


def test_for_the_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        state = State(tmp_path / "state")
        state.commit([step(0)])
    finally:
        os.umask(before)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.directory.iterdir()}
    assert found == dict.fromkeys(("lock", "state.db", "state.db-wal", "state.db-shm"), 0o600)
    assert stat.S_IMODE(state.directory.stat().st_mode) == 0o700
    state.close()


# -- what cannot be used -------------------------------------------------------------------------


def in_database(directory: Path, *statements: str) -> None:
    database = sqlite3.connect(directory / "state.db")
    with database:
        for statement in statements:
            database.execute(statement)
    database.close()


def test_another_format(directory: Path) -> None:
    State(directory).close()
    in_database(
        directory,
        "UPDATE meta SET value = '2\x1b[31m' WHERE key = 'format'",
        "DROP TABLE incident",
        "CREATE TABLE incident (other TEXT)",
    )
    before = (directory / "state.db").read_bytes()
    with pytest.raises(StateFileError, match=r"has format 2\\x1b\[31m, this version reads 1"):
        State(directory)
    assert (directory / "state.db").read_bytes() == before
    # nothing is left open or locked
    in_database(directory, "UPDATE meta SET value = '1' WHERE key = 'format'")
    with pytest.raises(StateFileError, match="no such column: last_ts; is damaged; move the dir"):
        State(directory)


def test_no_database(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "state.db").write_bytes(b"hello world, " * 1000)
    for _ in range(2):
        with pytest.raises(StateFileError, match="not a database; is damaged; move the directory"):
            State(directory)
    assert (directory / "state.db").read_bytes() == b"hello world, " * 1000


def test_an_empty_database_is_a_new_one(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "state.db").touch()
    state = State(directory)
    state.commit([step(0)])
    state.close()


@given(places=st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(max_examples=40, derandomize=True)
def test_a_damaged_file(tmp_path_factory: pytest.TempPathFactory, places: list[float]) -> None:
    directory = tmp_path_factory.mktemp("state")
    state = State(directory)
    for number in range(4):
        state.commit([step(number, size=2000)], {"a": Mark(1, 1, number)}, [incident(number)])
    state.close()
    data = bytearray((directory / "state.db").read_bytes())
    for place in places:
        begin = int(place * (len(data) - 1)) // 512 * 512
        data[begin : begin + 512] = b"\xa5" * len(data[begin : begin + 512])
    (directory / "state.db").write_bytes(data)
    try:
        state = State(directory)
    except StateFileError:
        return
    uses: list[Callable[[], object]] = [
        lambda: state.record("conn"),
        lambda: [state.anchor("conn", a.number) for a in state.anchors("conn")],
        lambda: list(state.journal("conn", 0)),
        state.marks,
        lambda: state.next_number("conn"),
        lambda: state.journal_size("conn"),
        lambda: state.note("n"),
        lambda: state.commit([step(9)], {"a": Mark(1, 1, 9)}, [incident(9)]),
    ]
    for use in uses:
        try:
            use()
        except StateFileError as error:
            assert str(error).isprintable()
    state.close()


@pytest.mark.parametrize("garbage", ["x'00'", "x'7b7d'", "'text'", "x'5b22785d'", "x'ff'"])
def test_damaged_values(directory: Path, garbage: str) -> None:
    first = State(directory)
    first.commit([step(0)], {"a": Mark(1, 1, 1)})
    first.close()
    in_database(
        directory, f"UPDATE anchor SET clock = {garbage}", f"UPDATE output SET mark = {garbage}"
    )
    state = State(directory)
    uses: list[Callable[[], object]] = [
        lambda: state.anchors("conn"),
        lambda: state.anchor("conn", 1),
        state.marks,
    ]
    for use in uses:
        with pytest.raises(StateFileError, match="is damaged; move the directory away"):
            use()
    state.close()


@pytest.mark.parametrize("where", ["state", "state/lock", "state/state.db"])
def test_something_else_in_its_place(tmp_path: Path, where: str) -> None:
    place = tmp_path / where
    if where == "state":
        place.write_text("")
    else:
        place.mkdir(parents=True)
    with pytest.raises(StateFileError, match=str(tmp_path / "state")):
        State(tmp_path / "state")


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from zeekml.live.state.database import *
directory = Path(sys.argv[1])
def attempt():
    try:
        State(directory).close()
        print("fine")
    except StateFileError as error:
        print(error)
directory.parent.chmod(0o500)
attempt()
directory.parent.chmod(0o700)
attempt()
directory.chmod(0o500)
attempt()
(directory / "lock").unlink() if directory.chmod(0o700) is None else None
directory.chmod(0o500)
attempt()
directory.chmod(0o700)
(directory / "state.db").chmod(0o400)
attempt()
(directory / "state.db").chmod(0o600)
attempt()
"""


def test_permissions(directory: Path) -> None:
    directory.parent.mkdir()
    outcomes = run_unprivileged(UNPRIVILEGED, directory)
    assert outcomes[1] == outcomes[5] == "fine"
    for outcome in (outcomes[0], outcomes[3]):
        assert outcome == (
            f"{directory}: cannot be used as state directory: Permission denied; "
            "make it writable for this user or choose another --state"
        )
    # SQLite needs files of its own beside the database
    assert outcomes[2].startswith(f"{directory}/state.db: ")
    assert outcomes[4].startswith(f"{directory}/state.db: Permission denied")


# -- a full disk ---------------------------------------------------------------------------------


def test_a_full_disk(small_disk: SmallDisk) -> None:
    directory = small_disk.path / "state"
    state = State(directory)
    number = 0
    for number in range(3):
        state.commit([step(number)], {"a": Mark(1, 1, number)})
    small_disk.fill(8192, directory / "state.db-wal")
    commit = step(3, size=60_000)
    for _ in range(3):
        with pytest.raises(StateFileError, match=FULL) as caught:
            state.commit([commit], {"a": Mark(1, 1, 3)}, [incident(1)], {"n": "1"})
        assert "nothing is lost" in str(caught.value)
        assert entries(state) == [0, 1, 2]
        assert state.marks() == {"a": Mark(1, 1, 2)}
        assert state.record("conn") == b"record 2"
    small_disk.make_room()
    state.commit([commit], {"a": Mark(1, 1, 3)}, [incident(1)], {"n": "1"})
    state.commit([step(4)])
    state.close()
    again = State(directory)
    assert entries(again) == [0, 1, 2, 3, 4]
    assert [entry.data for entry in again.journal("conn", 3, 4)] == [b"3" * 60_000]
    assert again.note("n") == "1"
    again.close()


def test_starting_and_ending_on_a_full_disk(small_disk: SmallDisk) -> None:
    directory = small_disk.path / "state"
    small_disk.fill(0, directory / "state.db")
    with pytest.raises(StateFileError, match=FULL):
        State(directory)
    small_disk.make_room()
    state = State(directory)
    state.commit([step(0)])
    # there is no room to copy the log of changes into the database
    small_disk.fill(0, directory / "state.db")
    state.close()
    small_disk.make_room()
    again = State(directory)
    assert entries(again) == [0]
    again.close()


def test_somebody_reads_and_somebody_writes(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_database, "_PATIENCE", 0.1)
    state = State(directory)
    state.commit([step(0)])
    other = sqlite3.connect(directory / "state.db", isolation_level=None)
    other.execute("BEGIN")
    assert other.execute("SELECT count(*) FROM journal").fetchone() == (1,)
    state.commit([step(1)])
    assert other.execute("SELECT count(*) FROM journal").fetchone() == (1,)
    other.execute("COMMIT")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateFileError, match="locked; nothing is lost"):
        state.commit([step(2)])
    other.execute("ROLLBACK")
    other.close()
    state.commit([step(2)])
    assert entries(state) == [0, 1, 2]
    state.close()


def test_incidents_not_heard_of_are_forgotten(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "INCIDENT_LINES", 3)
    state = State(directory)
    for n in range(6):
        state.commit(incidents=[incident(n)])
    state.commit(incidents=[incident(4, seq=1)])
    state.close()
    with sqlite3.connect(directory / "state.db") as db:
        found = db.execute("SELECT id, seq FROM incident ORDER BY rowid").fetchall()
    db.close()
    assert found == [("i5", 0), ("i4", 1)]
