"""The queue of notices that wait for their sinks: an SQLite file in the state directory.

A notice is put here, and on disk, before it is written to notice.log: whatever stands in that file
is sent, wherever the watch is killed. It is taken out by a sink only when the state that it belongs
to has been committed, or after a restart.

After a kill the same lines come again under the same keys. So a key that was delivered is
remembered, without its line, until `KEYS_KEPT` later ones have been: what comes again is what the
last commit did not cover, which is far less.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from zeekml.core.held_database import HeldDatabase
from zeekml.core.text import printable
from zeekml.core.transactions import transaction
from zeekml.errors import StateFileError

QUEUE_FILE: Final = "sinks.sqlite"
FORMAT: Final = 1

KEYS_KEPT: Final = 20_000
"""Delivered keys that are remembered for each sink."""

DEAD_KEPT: Final = 1_000
"""Dead letters that are kept for each sink; further ones are only counted."""

WAITING, DELIVERED, DEAD = "waiting", "delivered", "dead"

FULL: Final = "the queue was full"
UNKNOWN: Final = "the sink is not configured any more"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS letter (
    number INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, id TEXT NOT NULL,
    seq INTEGER NOT NULL, state TEXT NOT NULL, at REAL NOT NULL, tries INTEGER NOT NULL,
    line BLOB, why TEXT, UNIQUE (sink, id, seq));
CREATE INDEX IF NOT EXISTS letter_by_state ON letter (sink, state, number, at);
CREATE TABLE IF NOT EXISTS tally (
    sink TEXT PRIMARY KEY, delivered INTEGER NOT NULL DEFAULT 0,
    retried INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0,
    delivered_at REAL, error TEXT, error_at REAL);
"""


class Letter(NamedTuple):
    """A notice that waits for one sink."""

    number: int  # its place in the queue
    at: float  # when it was put there, epoch seconds
    tries: int
    line: bytes  # of notice.log, in JSON with all columns


class NewLetter(NamedTuple):
    """A notice to be put into the queue."""

    sink: str
    id: str
    seq: int
    line: bytes


class DeliveryTally(NamedTuple):
    """What became of a sink's letters since the queue was made."""

    delivered: int = 0
    retried: int = 0
    dead: int = 0
    delivered_at: float | None = None
    error: str | None = None  # what was wrong last, in plain text without secrets
    error_at: float | None = None


class DeliveryQueue:
    """The queue, shared by the watch and a thread for each sink; is made if need be.

    Every method raises a `StateFileError` if the file cannot be used, and can be called again.
    """

    def __init__(self, directory: Path, limits: dict[str, int]) -> None:
        self._limits = limits  # most letters that wait, by sink
        self._shown = printable(str(directory / QUEUE_FILE), 4096)
        self._lock = threading.Lock()
        self._file = HeldDatabase(directory / QUEUE_FILE, several_threads=True)
        with self._complaining():
            self._db = self._file.open()
            try:
                self._set_up()
                (last,) = self._db.execute("SELECT max(number) FROM letter").fetchone()
            except BaseException:
                self._db.close()
                raise
        self._last = self._released = last or 0

    def _set_up(self) -> None:
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found not in (0, FORMAT):
            raise StateFileError(
                f"{self._shown}: has format {found}, this version reads {FORMAT}; move the file "
                "away to begin a new queue"
            )
        self._db.executescript(f"{_SCHEMA}PRAGMA user_version = {FORMAT};")
        self._file.remember()

    # -- the watch -------------------------------------------------------------------------------

    def put_back(self) -> None:
        """Write the file where it should be, if somebody removed or replaced it.

        For the watch alone, and after its state is in its place: another may have taken it.
        """
        with self._lock, self._complaining():
            if self._file.missing() is not None:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._db = self._file.put_back(self._db)
                self._set_up()

    def add(self, letters: Sequence[NewLetter], now: float) -> dict[str, int]:
        """Put letters behind those that are there; on disk when it returns.

        A key that is known already changes nothing. Of those that are too many, the oldest become
        dead letters; gives how many, by sink.
        """
        with self._writing(durable=True) as db:
            for letter in letters:
                db.execute(
                    "INSERT OR IGNORE INTO letter (sink, id, seq, state, at, tries, line) "
                    "VALUES (?, ?, ?, ?, ?, 0, ?)",
                    (letter.sink, letter.id, letter.seq, WAITING, now, letter.line),
                )
            buried = {name: self._bound(db, name, now) for name in {each.sink for each in letters}}
            (last,) = db.execute("SELECT max(number) FROM letter").fetchone()
        self._last = last or 0
        return {sink: number for sink, number in buried.items() if number}

    def release(self) -> bool:
        """What was put there belongs to what is committed, and may go out; whether any is new."""
        before, self._released = self._released, self._last
        return self._released != before

    def give_up_unknown(self, now: float) -> dict[str, int]:
        """Make dead letters of what waits for sinks that are not configured; how many of each."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT sink, count(*) FROM letter WHERE state = ? GROUP BY sink", (WAITING,)
            ).fetchall()
        unknown = {sink: number for sink, number in rows if sink not in self._limits}
        for sink in unknown:
            with self._writing() as db:
                _bury(db, sink, "1", (), UNKNOWN, now)
        return unknown

    # -- a sink's thread -------------------------------------------------------------------------

    def next(self, sink: str) -> Letter | None:
        """The letter that is to go out next; None if there is none."""
        with self._reading() as db:
            row = db.execute(
                "SELECT number, at, tries, line FROM letter WHERE sink = ? AND state = ? "
                "AND number <= ? ORDER BY number LIMIT 1",
                (sink, WAITING, self._released),
            ).fetchone()
        return Letter(*row) if row else None

    def delivered(self, sink: str, letter: Letter, now: float) -> None:
        """It got there."""
        with self._writing() as db:
            done = "UPDATE letter SET state = ?, line = NULL, why = NULL, at = ? WHERE number = ?"
            db.execute(done, (DELIVERED, now, letter.number))
            _count(db, sink, "delivered = delivered + 1, delivered_at = ?", now)
            _forget(db, sink, DELIVERED, KEYS_KEPT)

    def retry(self, sink: str, letter: Letter, why: str, now: float) -> None:
        """It did not, and is to be tried again."""
        with self._writing() as db:
            db.execute(
                "UPDATE letter SET tries = tries + 1, why = ? WHERE number = ?",
                (why, letter.number),
            )
            _count(db, sink, "retried = retried + 1, error = ?, error_at = ?", why, now)

    def bury(self, sink: str, letter: Letter, why: str, now: float) -> None:
        """It will not."""
        with self._writing() as db:
            _bury(db, sink, "number = ?", (letter.number,), why, now)

    # -- both ------------------------------------------------------------------------------------

    def waiting(self, sink: str) -> tuple[int, float | None]:
        """How many letters wait, and since when the oldest does."""
        with self._reading() as db:
            return count_waiting(db, sink)

    def tally(self, sink: str) -> DeliveryTally:
        """What became of the sink's letters."""
        with self._reading() as db:
            return read_tally(db, sink)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _bound(self, db: sqlite3.Connection, sink: str, now: float) -> int:
        """Give up the oldest of those that are too many; how many."""
        too_many = max(count_waiting(db, sink)[0] - self._limits.get(sink, 0), 0)
        if too_many > 0:
            oldest = (
                "number IN (SELECT number FROM letter WHERE sink = ? AND state = ? "
                "ORDER BY number LIMIT ?)"
            )
            _bury(db, sink, oldest, (sink, WAITING, too_many), FULL, now)
        return too_many

    @contextmanager
    def _writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction. What only means that a letter is sent once more need not be on disk."""
        with self._lock, self._complaining():
            if (name := self._file.missing()) is not None:
                raise StateFileError(f"{self._shown}: {name} was removed or replaced")
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            with transaction(self._db):
                yield self._db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._complaining():
            yield self._db

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            text = printable(str(error))
            remedy = "nothing is lost; make sure that it can be written"
            if any(mark in text for mark in ("not a database", "malformed", "no such")):
                remedy = "is damaged; move the file away to begin a new queue"
            raise StateFileError(f"{self._shown}: {text}; {remedy}") from error
        except OSError as error:
            raise StateFileError(f"{self._shown}: {error.strerror}") from error


def count_waiting(db: sqlite3.Connection, sink: str) -> tuple[int, float | None]:
    """How many letters wait for a sink, and since when the oldest does."""
    query = "SELECT count(*), min(at) FROM letter WHERE sink = ? AND state = ?"
    number, oldest = db.execute(query, (sink, WAITING)).fetchone()
    return number, oldest


def read_tally(db: sqlite3.Connection, sink: str) -> DeliveryTally:
    """What became of a sink's letters."""
    columns = ", ".join(DeliveryTally._fields)
    row = db.execute(f"SELECT {columns} FROM tally WHERE sink = ?", (sink,)).fetchone()
    return DeliveryTally(*row) if row else DeliveryTally()


def put_again(db: sqlite3.Connection, sink: str, now: float, ids: Iterable[str] = ()) -> int:
    """Have a sink's dead letters tried once more, in their old places; tells how many.

    With `ids`, those of these incidents alone. They are as young as new ones.
    """
    again = (
        "UPDATE letter SET state = ?, tries = 0, at = ?, why = NULL "
        "WHERE sink = ? AND state = ? AND line IS NOT NULL"
    )
    values: list[Any] = [WAITING, now, sink, DEAD]
    with transaction(db):
        if chosen := list(ids):
            return sum(db.execute(f"{again} AND id = ?", (*values, i)).rowcount for i in chosen)
        return db.execute(again, values).rowcount


def _bury(
    db: sqlite3.Connection, sink: str, which: str, values: tuple[Any, ...], why: str, now: float
) -> None:
    """Make dead letters of those that wait and that the condition `which` names."""
    dead = f"UPDATE letter SET state = ?, why = ? WHERE sink = ? AND state = ? AND {which}"
    number = db.execute(dead, (DEAD, why, sink, WAITING, *values)).rowcount
    if number:
        _count(db, sink, "dead = dead + ?, error = ?, error_at = ?", number, why, now)
        _forget(db, sink, DEAD, DEAD_KEPT)


def _count(db: sqlite3.Connection, sink: str, changes: str, *values: Any) -> None:
    db.execute("INSERT OR IGNORE INTO tally (sink) VALUES (?)", (sink,))
    db.execute(f"UPDATE tally SET {changes} WHERE sink = ?", (*values, sink))


def _forget(db: sqlite3.Connection, sink: str, state: str, kept: int) -> None:
    """Keep the latest of a state alone."""
    last = (
        "SELECT number FROM letter WHERE sink = ? AND state = ? ORDER BY number DESC "
        "LIMIT 1 OFFSET ?"
    )
    db.execute(
        f"DELETE FROM letter WHERE sink = ? AND state = ? AND number <= ({last})",
        (sink, state, sink, state, kept),
    )
