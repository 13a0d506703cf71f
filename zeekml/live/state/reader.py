"""Read-only view of a state, for whoever looks on: never in the watcher's way.

Every question is a transaction of its own that ends at once. In WAL mode such a reader neither
waits for the watcher nor holds it up, and short transactions let it keep its log small. The status
of the watch is committed with everything else, so that whoever reads the state needs nothing from
the watcher.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from zeekml.core.text import printable
from zeekml.errors import InputError
from zeekml.live.state.database import FORMAT, StreamState, decode_record
from zeekml.live.state.state_directory import STATE_FILE

_PATIENCE: Final = 2.0
_CHUNK: Final = 4096
_MIN_PREFIX: Final = 4

ABOUT: Final = "about"
"""Where it is in the state."""


class Problem(msgspec.Struct, frozen=True):
    """A health notice that is open."""

    id: str
    ts: float
    severity: str
    msg: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a watch stands."""

    bundle: str  # first 12 digits of its digest
    thresholds: dict[str, float]  # by threat
    notices_per_day: float | None = None  # what the bundle was calibrated for, if it was
    lag: float = 0.0  # seconds by which reading is behind the logs, the largest of all streams
    problems: list[Problem] = []  # those that are open


def budget_of(evaluation: Mapping[str, Any]) -> float | None:
    """The budget of notices a day that a bundle's manifest tells of, if it was calibrated."""
    site = evaluation.get("site")
    value = site.get("notices_per_day") if isinstance(site, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def encode_about(about: Status) -> str:
    """As it is kept in the state."""
    return msgspec.json.encode(about).decode()


def decode_about(text: str) -> Status | None:
    """What was kept; None if it is damaged or of another version: it is not worth an error."""
    try:
        return msgspec.json.decode(text, type=Status)
    except msgspec.MsgspecError:
        return None


class StateReader:
    """Reads a state directory, whether a watcher runs or not.

    Every method raises an `InputError` if it cannot be read, or another version wrote it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / STATE_FILE
        self._shown = printable(str(self.path), 4096)
        try:
            with self.path.open("rb"):
                pass
        except OSError as error:
            remedy = "give --state the directory of a zeekml watch, as its user"
            raise InputError(f"{self._shown}: {error.strerror}; {remedy}") from error
        with self._complaining():
            self._db = self._opened()
        try:
            if self._all("SELECT value FROM meta WHERE key = 'format'") != [(str(FORMAT),)]:
                raise InputError(f"{self._shown}: is of another version, this one reads {FORMAT}")
        except BaseException:
            self._db.close()
            raise

    def _opened(self) -> sqlite3.Connection:
        name = f"file:{quote(str(self.path.resolve()))}?mode=ro"
        db = sqlite3.connect(name, uri=True, isolation_level=None, timeout=_PATIENCE)
        try:
            db.execute("SELECT 1 FROM meta").fetchone()
        except sqlite3.OperationalError:
            db.close()
            if self.path.with_name(f"{STATE_FILE}-wal").exists():
                raise
            # nobody has it open, and this user may not make the files that sharing it needs
            return sqlite3.connect(f"{name}&immutable=1", uri=True, isolation_level=None)
        return db

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise InputError(f"{self._shown}: cannot be read: {printable(str(error))}") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def version(self) -> int:
        """A number that is another one after the watcher committed something."""
        return int(self._all("PRAGMA data_version")[0][0])

    def records(self) -> dict[str, StreamState]:
        """What is known of each stream."""
        rows = self._all("SELECT name, record FROM stream ORDER BY name")
        with self._complaining():
            return {name: decode_record(record) for name, record in rows}

    def about(self) -> Status | None:
        """How the watch stood when it last committed; None if it never said."""
        rows = self._all("SELECT value FROM meta WHERE key = ?", ABOUT)
        return decode_about(rows[0][0]) if rows else None

    def incidents(self, since: int = 0) -> Iterator[tuple[int, str, bytes]]:
        """Latest lines of incidents, as in notice.log, in the order in which they were committed.

        Each comes with its number and the name of its stream. What was there at an earlier call,
        whose last number is `since`, is left out, but for the line with this number, which another
        may have replaced.
        """
        number = since
        while True:
            query = "SELECT rowid, stream, line FROM incident WHERE rowid >= ?"
            rows = self._all(f"{query} ORDER BY rowid LIMIT ?", number, _CHUNK)
            yield from rows
            if len(rows) < _CHUNK:
                return
            number = rows[-1][0] + 1

    def incident(self, name: str) -> tuple[str, bytes]:
        """Id and latest line of the one incident whose id is `name`, or begins with it."""
        shown = printable(name, 40)
        if len(name) < _MIN_PREFIX or not name.isalnum():
            raise InputError(f"{shown!r} is no id of an incident; zeekml_id in notice.log is")
        query = "SELECT id, line FROM incident WHERE id >= ? AND id < ? LIMIT 2"
        rows = self._all(query, name, name + "~")
        if not rows:
            where = printable(str(self.directory), 4096)
            hint = "zeekml_id in notice.log is its id"
            raise InputError(f"{where}: knows no incident {shown}; {hint}")
        if len(rows) > 1:
            raise InputError(f"several incidents begin with {shown}; give more of the id")
        return rows[0]

    def lines(self, incident: str | None = None) -> list[tuple[bytes, bytes | None]]:
        """Lines that are kept, as in notice.log, and what they rest on; of one incident or all."""
        where, values = ("WHERE id = ?", [incident]) if incident is not None else ("", [])
        return self._all(f"SELECT line, evidence FROM line {where} ORDER BY id, seq", *values)

    def named(self, name: str) -> list[str]:
        """Ids of kept incidents that begin with a name, or of which a line has it as its uid."""
        by_uid = self._all("SELECT DISTINCT id FROM line WHERE uid = ?", name)
        by_id = []
        if len(name) >= _MIN_PREFIX and name.isalnum():
            query = "SELECT DISTINCT id FROM line WHERE id >= ? AND id < ?"
            by_id = self._all(query, name, name + "~")
        return sorted({row[0] for row in (*by_uid, *by_id)})

    def evidence(self, incident: str) -> bytes | None:
        """What the first line of an incident that is still kept rests on, as JSON."""
        query = "SELECT evidence FROM line WHERE id = ? AND evidence IS NOT NULL ORDER BY seq"
        rows = self._all(f"{query} LIMIT 1", incident)
        return rows[0][0] if rows else None

    def _all(self, query: str, *values: object) -> list[Any]:
        with self._complaining():
            return self._db.execute(query, values).fetchall()
