"""The queue as whoever looks on sees it: read-only, but for dead letters that are put back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from zeekml.core.text import printable
from zeekml.errors import InputError, OutputError
from zeekml.sinks.delivery_queue import (
    DEAD,
    FORMAT,
    QUEUE_FILE,
    DeliveryTally,
    count_waiting,
    put_again,
    read_tally,
)

_HOW: Final[dict[str, Any]] = {"uri": True, "isolation_level": None, "timeout": 5.0}


class SinkStatus(NamedTuple):
    """How a sink stands, as far as the queue knows."""

    name: str
    waiting: int
    oldest: float | None  # when the oldest letter that waits was put there, epoch seconds
    dead_kept: int  # dead letters that are kept
    tally: DeliveryTally


class DeadLetter(NamedTuple):
    """A notice that was given up."""

    sink: str
    id: str
    seq: int
    at: float  # when it was put into the queue, epoch seconds
    why: str
    line: bytes


class QueueReader:
    """The queue in a state directory, whether a watch runs or not.

    Every method raises an `InputError` if it cannot be read, or another version wrote it.
    """

    def __init__(self, state: Path) -> None:
        self.path = state / QUEUE_FILE
        self._shown = printable(str(self.path), 4096)
        if not self.path.exists():
            raise InputError(
                f"{self._shown}: is not there; a watch with sinks makes it in its --state"
            )

    def status(self) -> list[SinkStatus]:
        """How each sink stands that ever had a letter."""
        with self._opened() as db:
            both = "SELECT sink FROM letter UNION SELECT sink FROM tally ORDER BY sink"
            return [self._status(db, name) for (name,) in db.execute(both).fetchall()]

    def _status(self, db: sqlite3.Connection, name: str) -> SinkStatus:
        kept = "SELECT count(*) FROM letter WHERE sink = ? AND state = ?"
        (dead,) = db.execute(kept, (name, DEAD)).fetchone()
        return SinkStatus(name, *count_waiting(db, name), dead, read_tally(db, name))

    def dead(self, sink: str | None = None) -> list[DeadLetter]:
        """The dead letters that are kept, in their order."""
        query = "SELECT sink, id, seq, at, why, line FROM letter WHERE state = ? AND sink = ?"
        with self._opened() as db:
            names = [sink] if sink is not None else [s.name for s in self.status()]
            rows = [r for s in names for r in db.execute(f"{query} ORDER BY number", (DEAD, s))]
        return [DeadLetter(*row) for row in rows]

    def retry(self, sink: str, now: float, ids: Iterable[str] = ()) -> int:
        """Put dead letters back into the queue; an `OutputError` if that cannot be done."""
        try:
            with closing(sqlite3.connect(self._uri("rw"), **_HOW)) as db:
                return put_again(db, sink, now, ids)
        except sqlite3.Error as error:
            raise OutputError(f"{self._shown}: {printable(str(error))}") from error

    def _uri(self, mode: str) -> str:
        return f"file:{quote(str(self.path.resolve()))}?mode={mode}"

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._uri("ro"), **_HOW)) as db:
                (found,) = db.execute("PRAGMA user_version").fetchone()
                if found != FORMAT:
                    raise InputError(
                        f"{self._shown}: is of another version, this one reads {FORMAT}"
                    )
                yield db
        except sqlite3.Error as error:
            why = printable(str(error))
            raise InputError(f"{self._shown}: cannot be read: {why}") from error
