"""Labels of incidents by people: an SQLite file of its own beside the watcher's state.

The watcher never opens it, so that it never waits for a person's write. Nothing is overwritten: a
label that changes is a further row, and the latest of an incident counts. Each row keeps the line
of the incident that the person saw, since the watcher forgets incidents in time.
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

from zeekml.core.text import printable
from zeekml.ensemble.classes import THREATS
from zeekml.errors import InputError, OutputError
from zeekml.live.state.state_directory import transaction

LABELS_FILE: Final = "labels.sqlite"
MAX_NOTE: Final = 1000
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
    """What somebody said of an incident."""

    id: str  # the incident's
    truth: bool  # whether it was what the notice said, or a false alarm
    threat: str  # one of `THREATS`; empty for what the notice says, and for a false alarm
    note: str
    who: str
    at: float  # epoch seconds
    line: bytes  # the line of the incident that was known then, as in notice.log
    # what its opening line rests on (see `zeekml.detection.notice.Evidence`), if it was still kept
    evidence: bytes | None = None


class Labels:
    """The labels in a state directory, which exists.

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
            reason = f"{error.strerror}; run as the user of the watch"
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
            raise InputError("a false alarm has no threat; leave --threat out")
        note, who = printable(label.note, MAX_NOTE), printable(label.who, 80)
        with self._complaining(), transaction(self._db):
            latest = self._db.execute(
                "SELECT truth, threat, note FROM label WHERE id = ? ORDER BY number DESC LIMIT 1",
                (label.id,),
            ).fetchone()
            new: bool = latest != (int(label.truth), label.threat, note)
            if new:
                columns = "id, truth, threat, note, who, at, line, evidence"
                values = astuple(replace(label, note=note, who=who))
                places = ", ".join("?" * len(values))
                self._db.execute(f"INSERT INTO label ({columns}) VALUES ({places})", values)
        return new

    def current(self) -> list[Label]:
        """The label that counts of each incident, the latest first."""
        latest = "SELECT max(number) FROM label GROUP BY id"
        return self._read(f"SELECT * FROM label WHERE number IN ({latest}) ORDER BY number DESC")

    def history(self, incident: str) -> list[Label]:
        """All that was said of an incident, the first first."""
        return self._read("SELECT * FROM label WHERE id = ? ORDER BY number", incident)

    def _read(self, query: str, *values: str) -> list[Label]:
        with self._complaining():
            rows = self._db.execute(query, values).fetchall()
        return [Label(i, bool(t), threat, *rest) for _, i, t, threat, *rest in rows]


def present_labels(directory: Path) -> list[Label]:
    """The labels that count in a state directory; none if nobody gave one."""
    if not (directory / LABELS_FILE).exists():
        return []
    with closing(Labels(directory)) as labels:
        return labels.current()


def label_incident(
    directory: Path,
    incident: str,
    truth: bool,
    line: bytes,
    *,
    threat: str = "",
    note: str = "",
    evidence: bytes | None = None,
) -> bool:
    """Store what this user says of an incident, now; as `Labels.put`."""
    try:
        who = os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        who = str(os.getuid())
    label = Label(incident, truth, threat, note, who, time.time(), line, evidence)
    with closing(Labels(directory)) as labels:
        return labels.put(label)
