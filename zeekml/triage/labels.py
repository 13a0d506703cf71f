"""Labels by people: an SQLite file of its own beside a watcher's state, or a run's outputs.

No run ever opens it, and a watch with a feed only to read what has changed, so that none waits for
a person's write. Nothing is overwritten: a label that changes, or is taken back, is a further row,
and the latest counts. Each row keeps what the person saw and the features it rests on: a watcher
forgets incidents in time, and logs go.
"""

from __future__ import annotations

import getpass
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Final

from zeekml.core.file_stamp import Stamp, stamp_of
from zeekml.core.text import printable
from zeekml.core.transactions import transaction
from zeekml.ensemble.classes import THREATS
from zeekml.errors import InputError, OutputError

LABELS_FILE: Final = "labels.sqlite"
FLOW: Final = "flow:"
"""With what the id of a flow that raised no incident begins; no incident's does."""

MAX_NOTE: Final = 1000
_TAKEN_BACK: Final = -1
_FORMAT: Final = 1
_PATIENCE: Final = 5.0  # seconds to wait for another person's write
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS label (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, truth INTEGER NOT NULL, threat TEXT NOT NULL,
    note TEXT NOT NULL, who TEXT NOT NULL, at REAL NOT NULL, line BLOB NOT NULL,
    evidence BLOB);
CREATE INDEX IF NOT EXISTS label_by_id ON label (id, number);
"""


@dataclass(frozen=True, slots=True)
class Label:
    """What somebody said of an incident, or of a flow that raised none."""

    id: str  # the incident's; of a flow, `FLOW` and its uid
    # whether it was what the notice said, or a false alarm; None: what was said is taken back
    truth: bool | None
    threat: str  # one of `THREATS`; empty for what the notice says, and for a false alarm
    note: str
    who: str
    at: float  # epoch seconds
    # the line of the incident that was known then, as in notice.log; of a flow, its row of
    # scores.parquet as JSON
    line: bytes
    # what its opening line rests on (see `zeekml.detection.notice.Evidence`), if it was still kept
    evidence: bytes | None = None

    @property
    def word(self) -> str:
        """The label as it is written."""
        return "taken back" if self.truth is None else "true" if self.truth else "false"


class Labels:
    """The labels in a directory, which exists.

    Every method raises an `OutputError` if the file cannot be used, or another version wrote it.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / LABELS_FILE
        self._shown = printable(str(self.path), 4096)
        with self._complaining():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=_PATIENCE)
            try:
                (found,) = self._db.execute("PRAGMA user_version").fetchone()
                if found not in (0, _FORMAT):
                    raise OutputError(
                        f"{self._shown}: has format {found}, this version reads {_FORMAT}; "
                        "use the version of zeekml that wrote it"
                    )
                if found == 0:
                    self._db.executescript(f"{_SCHEMA}PRAGMA user_version = {_FORMAT};")
            except BaseException:
                self._db.close()
                raise

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            reason = f"{printable(str(error))}; the label is not stored"
            raise OutputError(f"{self._shown}: {reason}") from error
        except OSError as error:
            reason = f"{error.strerror}; run as the user whose directory it is"
            raise OutputError(f"{self._shown}: {reason}") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def put(self, label: Label) -> bool:
        """Store a label, unless the latest of the incident says the same; tell whether it was.

        Who says it, when, and which line the incident had then are no difference. An `InputError`:
        the threat is not known, or a false alarm is given one.
        """
        if label.threat and label.threat not in THREATS:
            shown = printable(label.threat, 40)
            raise InputError(f"unknown threat {shown!r}; {', '.join(THREATS)}")
        if label.threat and not label.truth:
            raise InputError("a false alarm has no threat; leave it out")
        note, who = printable(label.note, MAX_NOTE), printable(label.who, 80)
        with self._complaining(), transaction(self._db):
            latest = self._db.execute(
                "SELECT truth, threat, note FROM label WHERE id = ? ORDER BY number DESC LIMIT 1",
                (label.id,),
            ).fetchone()
            truth = _TAKEN_BACK if label.truth is None else int(label.truth)
            nothing = latest is None and label.truth is None
            new: bool = not nothing and latest != (truth, label.threat, note)
            if new:
                columns = "id, truth, threat, note, who, at, line, evidence"
                values = (label.id, truth, *astuple(replace(label, note=note, who=who))[2:])
                places = ", ".join("?" * len(values))
                self._db.execute(f"INSERT INTO label ({columns}) VALUES ({places})", values)
        return new

    def current(self) -> list[Label]:
        """The label that counts of each incident, the latest first."""
        latest = "SELECT max(number) FROM label GROUP BY id"
        own = f"truth != {_TAKEN_BACK} AND number IN ({latest})"
        return self._read(f"SELECT * FROM label WHERE {own} ORDER BY number DESC")

    def ids(self, beginning: str) -> list[str]:
        """Whatever was labelled, or is so no more, and begins so or has it as its uid."""
        query = "SELECT DISTINCT id FROM label ORDER BY id"
        with self._complaining():
            known = [row[0] for row in self._db.execute(query)]
        return [of for of in known if of.startswith(beginning) or of == FLOW + beginning]

    def history(self, incident: str) -> list[Label]:
        """All that was said of an incident, the first first."""
        return self._read("SELECT * FROM label WHERE id = ? ORDER BY number", incident)

    def _read(self, query: str, *values: str) -> list[Label]:
        with self._complaining():
            rows = self._db.execute(query, values).fetchall()
        return [
            Label(i, None if t == _TAKEN_BACK else bool(t), threat, *rest)
            for _, i, t, threat, *rest in rows
        ]


def present_labels(directory: Path) -> list[Label]:
    """The labels that count in a directory; none if nobody gave one."""
    if not (directory / LABELS_FILE).exists():
        return []
    with closing(Labels(directory)) as labels:
        return labels.current()


class FalseAlarms:
    """Gives the ids of incidents in a directory that somebody called false alarms.

    The labels are read again when there are others. An `OutputError`: they cannot be at present.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stamp: Stamp | None = None
        self._known: frozenset[str] = frozenset()

    def __call__(self) -> frozenset[str]:
        stamp = stamp_of(self._directory / LABELS_FILE)
        if stamp != self._stamp:
            labels = present_labels(self._directory)
            self._known = frozenset(label.id for label in labels if label.truth is False)
            self._stamp = stamp
        return self._known


def label_incident(
    directory: Path,
    incident: str,
    truth: bool | None,
    line: bytes,
    *,
    threat: str = "",
    note: str = "",
    evidence: bytes | None = None,
) -> bool:
    """Store what this user says of an incident, now; as `Labels.put`."""
    label = Label(incident, truth, threat, note, this_user(), time.time(), line, evidence)
    with closing(Labels(directory)) as labels:
        return labels.put(label)


def this_user() -> str:
    """Who gives labels in this process."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        return str(os.getuid())
