"""The state of a watch in one SQLite file: checkpoints of logs and outputs, journal, snapshots.

Everything that belongs together is committed together or not at all: how far the logs were read,
the write-ahead journal of what was read, what the outputs held at that moment. A transaction is on
disk when `State.commit` returns.

The journal holds the flows of the last hour as they were taken in. An anchor is a place in the
journal from which the rest of it can be taken in again, with a snapshot: where the stream's clock
stood and, at the latest anchor, what the incidents were. See `zeekml.live.state.recovery`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from zeekml.core.text import printable
from zeekml.core.transactions import transaction
from zeekml.errors import StateFileError
from zeekml.live.health.sides import SidesSeen
from zeekml.live.state.state_directory import StateDirectory
from zeekml.pairs.ledger import StoredRecord
from zeekml.readers.rejects import ReadCounters
from zeekml.readers.stream_clock import ClockState

FORMAT: Final = 1

INCIDENT_LINES: Final = 100_000
"""An incident is forgotten when so many lines have come after its latest one."""

EXPLAINED_LINES: Final = 20_000
"""So many of the latest lines are kept with what they rest on: about 2 kB each."""

_INCIDENT_COLUMNS: Final = 9
_META: Final = "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS stream (name TEXT PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS journal (
    stream TEXT NOT NULL, number INTEGER NOT NULL, rows INTEGER NOT NULL, size INTEGER NOT NULL,
    entry BLOB NOT NULL, UNIQUE (stream, number));
CREATE TABLE IF NOT EXISTS anchor (
    stream TEXT NOT NULL, number INTEGER NOT NULL, clock BLOB NOT NULL, ordering BLOB,
    judge BLOB, alerts BLOB, UNIQUE (stream, number));
CREATE TABLE IF NOT EXISTS snapshot (
    stream TEXT PRIMARY KEY, number INTEGER NOT NULL, file TEXT NOT NULL, digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (stream TEXT PRIMARY KEY, head BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS pair (
    stream TEXT NOT NULL, kind INTEGER NOT NULL, place INTEGER NOT NULL, data BLOB NOT NULL,
    UNIQUE (stream, kind, place));
CREATE TABLE IF NOT EXISTS output (name TEXT PRIMARY KEY, mark BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS incident (
    id TEXT PRIMARY KEY, stream TEXT NOT NULL, note TEXT NOT NULL, state TEXT NOT NULL,
    severity TEXT NOT NULL, seq INTEGER NOT NULL, first_ts REAL NOT NULL, last_ts REAL NOT NULL,
    line BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS incident_by_time ON incident (last_ts);
CREATE TABLE IF NOT EXISTS line (
    id TEXT NOT NULL, seq INTEGER NOT NULL, uid TEXT, line BLOB NOT NULL, evidence BLOB,
    UNIQUE (id, seq));
CREATE INDEX IF NOT EXISTS line_by_uid ON line (uid);
CREATE TABLE IF NOT EXISTS alert (id TEXT PRIMARY KEY, line BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One commit's share of a stream's journal: a packed `JournalEntry`."""

    number: int  # counts up by one within a stream
    rows: int  # flows in it
    data: bytes


class PairChanges(NamedTuple):
    """What of a `PairLedger` is to be stored anew."""

    head: bytes
    records: list[StoredRecord]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stream at an anchor: a place in its journal from which that can be taken in again."""

    number: int  # of the first journal entry behind it
    clock: ClockState
    ordering: bytes | None = None  # flows held, by `EndOrder.save`; None for a log in order
    judge: bytes | None = None  # incidents, by `Judge.save`; as the next, at the latest anchor only
    alerts: bytes | None = None  # by `FlowMemory.save`
    pairs: PairChanges | None = None  # to be stored with it; not what is


@dataclass(frozen=True, slots=True)
class ContextSnapshot:
    """A file with a stream's context at an anchor; see `zeekml.live.state.context_files`."""

    number: int  # of the anchor
    file: str  # its name in the state directory
    digest: bytes  # of all its bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """The checkpoint of an output: how far it was written at a commit."""

    device: int
    inode: int
    offset: int
    # keys of lines that are in it though what made them has not been committed
    already: tuple[str, ...] = ()
    written: int = 0  # when it last was, in nanoseconds
    first: str = ""  # key of the first line about an incident in it


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """A line of an incident, for whoever wants to look at the incidents.

    The latest of each is kept, and of all incidents the latest `EXPLAINED_LINES` with what they
    rest on (a line of ``evidence.jsonl``; None for closing lines). `alert` is the line of eve.json
    that goes with it; None if there is none.
    """

    id: str
    stream: str
    note: str
    state: str
    severity: str
    seq: int
    first_ts: float
    last_ts: float
    line: bytes
    uid: str | None = None
    evidence: bytes | None = None
    alert: bytes | None = None


@dataclass(frozen=True, slots=True)
class StreamCommit:
    """What a stream has to commit; the anchor stands behind the entry."""

    stream: str
    record: bytes  # an encoded `StreamState`
    entry: JournalRow | None = None
    anchor: Snapshot | None = None
    forget_before: int = 0  # journal entries and anchors before are needed no more
    snapshot: ContextSnapshot | None = None  # in force from now on; its file is on disk


class State:
    """The state directory of one watcher, locked for it alone; is made if need be.

    Every method raises a `StateFileError` if the directory cannot be used, and leaves what is
    committed as it is, so that it can be tried again. `TakenError`: another watch has the place.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.commits = 0
        self._place = StateDirectory(directory)
        with ExitStack() as stack:
            stack.callback(self._place.close)
            self._db = self._place.open()
            stack.callback(self._db.close)
            self._set_up()
            stack.pop_all()

    def _set_up(self) -> None:
        with self._place.complaining():
            # before the tables, which another version may have made with other columns
            self._db.execute(_META)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (str(FORMAT),))
            (found,) = self._db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            if found != str(FORMAT):
                raise StateFileError(
                    f"{self._place.shown}: has format {printable(str(found), 20)}, this version "
                    f"reads {FORMAT}; move the directory away to start anew"
                )
            self._db.executescript(_SCHEMA)
        self._place.remember()

    @property
    def in_place(self) -> bool:
        """Whether its files are where the next start will look for them."""
        with self._place.complaining():
            return self._place.missing() is None

    def put_back(self, progress: Callable[[], object] = lambda: None) -> str | None:
        """Write it where it should be, if somebody removed or replaced it; nothing is lost.

        Gives what had become of it, in words; None if all was in place.
        """
        with self._place.complaining():
            missing = self._place.missing()
            if missing is None:
                return None
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._db = self._place.put_back(self._db, progress)
            self._set_up()
        return missing

    def close(self) -> None:
        """Close the file and give the lock back."""
        self._db.close()
        self._place.close()

    # -- reading ---------------------------------------------------------------------------------

    def record(self, stream: str) -> bytes | None:
        """Positions and counters of a stream, as committed."""
        row = self._row("SELECT record FROM stream WHERE name = ?", stream)
        return row[0] if row else None

    def anchors(self, stream: str) -> list[Snapshot]:
        """A stream's anchors in their order, without what they hold."""
        with self._place.complaining():
            rows = self._db.execute(
                "SELECT number, clock FROM anchor WHERE stream = ? ORDER BY number", (stream,)
            ).fetchall()
            return [Snapshot(n, msgspec.json.decode(clock, type=ClockState)) for n, clock in rows]

    def anchor(self, stream: str, number: int) -> Snapshot:
        """One anchor with what it holds."""
        with self._place.complaining():
            clock, ordering, judge, alerts = self._db.execute(
                "SELECT clock, ordering, judge, alerts FROM anchor WHERE stream = ? AND number = ?",
                (stream, number),
            ).fetchone()
            decoded = msgspec.json.decode(clock, type=ClockState)
        return Snapshot(number, decoded, ordering, judge, alerts)

    def snapshot(self, stream: str) -> ContextSnapshot | None:
        """The snapshot of a stream's context that is in force."""
        row = self._row("SELECT number, file, digest FROM snapshot WHERE stream = ?", stream)
        return ContextSnapshot(*row) if row else None

    def pairs(self, stream: str) -> PairChanges | None:
        """What is stored of a stream's pairs, at its latest anchor; None if nothing is."""
        head = self._row("SELECT head FROM ledger WHERE stream = ?", stream)
        if head is None:
            return None
        with self._place.complaining():
            rows = self._db.execute(
                "SELECT kind, place, data FROM pair WHERE stream = ?", (stream,)
            ).fetchall()
        return PairChanges(head[0], [StoredRecord(*row) for row in rows])

    def journal(self, stream: str, begin: int, end: int | None = None) -> Iterator[JournalRow]:
        """The entries of a stream numbered begin … end−1, one at a time."""
        number = begin
        while end is None or number < end:
            query = "SELECT number, rows, entry FROM journal WHERE stream = ? AND number >= ?"
            row = self._row(f"{query} ORDER BY number LIMIT 1", stream, number)
            if row is None or (end is not None and row[0] >= end):
                return
            yield JournalRow(*row)
            number = row[0] + 1

    def next_number(self, stream: str) -> int:
        """The number that a stream's next journal entry gets."""
        entries = "SELECT number + 1 AS number FROM journal WHERE stream = ?1"
        both = f"{entries} UNION SELECT number FROM anchor WHERE stream = ?1"
        return self._row(f"SELECT max(number) FROM ({both})", stream)[0] or 0

    def journal_size(self, stream: str, begin: int = 0) -> tuple[int, int]:
        """Bytes and rows of a stream's journal from an entry on."""
        sums = "SELECT coalesce(sum(size), 0), coalesce(sum(rows), 0) FROM journal"
        size, rows = self._row(f"{sums} WHERE stream = ? AND number >= ?", stream, begin)
        return size, rows

    def marks(self) -> dict[str, Mark]:
        """How far each output was written."""
        with self._place.complaining():
            rows = self._db.execute("SELECT name, mark FROM output").fetchall()
            return {name: msgspec.json.decode(mark, type=Mark) for name, mark in rows}

    def notice_lines(self) -> dict[str, bytes]:
        """The lines about incidents that are kept, by incident and number, as they were written."""
        return self._lines("SELECT id || '/' || seq, line FROM line ORDER BY rowid")

    def latest_lines(self, most: int) -> list[tuple[str, bytes]]:
        """The latest of these lines with their keys, the oldest of them first."""
        latest = "SELECT id || '/' || seq, line FROM line ORDER BY rowid DESC LIMIT ?"
        with self._place.complaining():
            return self._db.execute(latest, (most,)).fetchall()[::-1]

    def incident_lines(self) -> Iterator[bytes]:
        """The latest line of each incident that is known, as in notice.log."""
        with self._place.complaining():
            for row in self._db.execute("SELECT line FROM incident ORDER BY rowid"):
                yield row[0]

    def alert_lines(self) -> dict[str, bytes]:
        """The alerts that are kept, likewise."""
        return self._lines("SELECT id || '/0', line FROM alert ORDER BY rowid")

    def _lines(self, query: str) -> dict[str, bytes]:
        with self._place.complaining():
            return dict(self._db.execute(query).fetchall())

    def note(self, key: str) -> str | None:
        """A remark stored with `commit`."""
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        return row[0] if row else None

    def _row(self, query: str, *values: object) -> Any:
        with self._place.complaining():
            return self._db.execute(query, values).fetchone()

    # -- writing ---------------------------------------------------------------------------------

    def commit(
        self,
        streams: Sequence[StreamCommit] = (),
        marks: Mapping[str, Mark] | None = None,
        incidents: Sequence[IncidentLine] = (),
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Commit all of this, or nothing; on disk when it returns."""
        with self._place.complaining(), transaction(self._db):
            for stream in streams:
                self._put_stream(stream)
            encode = msgspec.json.encode
            self._put("output", [(name, encode(mark)) for name, mark in (marks or {}).items()])
            self._put("incident", [astuple(i)[:_INCIDENT_COLUMNS] for i in incidents])
            self._put("line", [(i.id, i.seq, i.uid, i.line, i.evidence) for i in incidents])
            self._put("alert", [(i.id, i.alert) for i in incidents if i.alert is not None])
            self._put("meta", (notes or {}).items())
            if incidents:
                # what is written anew comes last, so the first are those heard of least lately
                kept = {"incident": INCIDENT_LINES, "line": EXPLAINED_LINES}
                for table, most in (kept | {"alert": EXPLAINED_LINES}).items():
                    old = f"rowid <= (SELECT max(rowid) FROM {table}) - ?"
                    self._db.execute(f"DELETE FROM {table} WHERE {old}", (most,))
        self.commits += 1

    def _put(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        for row in rows:
            places = ", ".join("?" * len(row))
            self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", row)

    def _put_stream(self, commit: StreamCommit) -> None:
        name = commit.stream
        self._put("stream", [(name, commit.record)])
        if (entry := commit.entry) is not None:
            # a number that is there already would be an error
            row = (name, entry.number, entry.rows, len(entry.data), entry.data)
            self._db.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", row)
        if (anchor := commit.anchor) is not None:
            # incidents are gone on with from the latest anchor; the others serve the context
            held = "judge = NULL, alerts = NULL"
            self._db.execute(f"UPDATE anchor SET {held} WHERE stream = ?", (name,))
            clock = msgspec.json.encode(anchor.clock)
            parts = (anchor.ordering, anchor.judge, anchor.alerts)
            self._put("anchor", [(name, anchor.number, clock, *parts)])
            if anchor.pairs is not None:
                self._put_pairs(name, anchor.pairs)
        if commit.snapshot is not None:
            self._put("snapshot", [(name, *astuple(commit.snapshot))])
        if commit.forget_before:
            for table in ("journal", "anchor"):
                old = "stream = ? AND number < ?"
                self._db.execute(f"DELETE FROM {table} WHERE {old}", (name, commit.forget_before))

    def _put_pairs(self, stream: str, changes: PairChanges) -> None:
        self._put("ledger", [(stream, changes.head)])
        gone = [(stream, r.kind, r.place) for r in changes.records if r.data is None]
        one = "stream = ? AND kind = ? AND place = ?"
        self._db.executemany(f"DELETE FROM pair WHERE {one}", gone)
        self._put("pair", [(stream, *r) for r in changes.records if r.data is not None])


class StreamState(msgspec.Struct):
    """What is committed of a stream besides its journal.

    The last three are decided and to be done next, before anything else is read. The log itself
    does not say when, so a run that dies on the way must leave to the next one that it is to happen
    at this very place. Were it not written down first, the outputs could hold what came of a
    decision that nobody remembers.
    """

    positions: dict[str, Any] = {}  # by path, how far each log was delivered
    counters: ReadCounters = msgspec.field(default_factory=ReadCounters)
    sides: SidesSeen = msgspec.field(default_factory=SidesSeen)
    notices: Counter[str] = msgspec.field(default_factory=Counter)  # opened incidents by note
    rotations: Counter[str] = msgspec.field(default_factory=Counter)  # by how
    gaps: Counter[str] = msgspec.field(default_factory=Counter)  # by cause
    silenced: int = 0  # incidents that the allowlist silenced
    # release the flows that are held; stored under the name it had first
    release: bool = msgspec.field(default=False, name="let_go")
    close: bool = False  # close the incidents
    allowlist: bool = False  # go by another allowlist
    bundle: bool = False  # go by another bundle

    @classmethod
    def of(cls, state: State, stream: str) -> StreamState:
        """The record of a stream as committed, or a new one."""
        stored = state.record(stream)
        if stored is None:
            return cls()
        try:
            return decode_record(stored)
        except msgspec.MsgspecError as error:
            raise StateFileError(
                f"{printable(str(state.directory), 4096)}: what is known of "
                f"{printable(stream)} is damaged; move the directory away to start anew"
            ) from error

    def encode(self) -> bytes:
        """The record in the form in which it is committed."""
        return msgspec.json.encode(msgspec.to_builtins(self))


def decode_record(stored: bytes) -> StreamState:
    """The record that `StreamState.encode` wrote."""
    # what is no plain type is a `Counter` that was stored as an object
    return msgspec.json.decode(stored, type=StreamState, dec_hook=lambda _, value: Counter(value))
