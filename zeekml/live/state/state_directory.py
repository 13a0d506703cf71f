"""The state directory: private to one user, locked by one watch, with the SQLite file in it."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from zeekml.core.directory_lock import DirectoryLock, identity_at
from zeekml.core.held_database import HeldDatabase
from zeekml.core.private_directory import belongs_to
from zeekml.core.text import printable
from zeekml.errors import StateFileError

log = logging.getLogger("zeekml.watch")

STATE_FILE: Final = "state.db"
LOCK_FILE: Final = "lock"


class StateDirectory:
    """The directory, locked, and the file in it; is made if need be, for the user alone.

    `TakenError`: another watch uses it. `StateFileError`: it cannot be made, locked or used, or
    others may write to it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / STATE_FILE
        self._file = HeldDatabase(self.path)
        self._prepare()
        try:
            taken = "another zeekml watch uses this state directory; stop it, or choose another"
            self._lock = DirectoryLock(directory, f"{self.shown}: {taken} --state", LOCK_FILE)
        except OSError as error:
            if error.filename is not None:
                raise self._unusable(error) from error
            raise StateFileError(
                f"{self.shown}: cannot be locked: {error.strerror}; choose another --state"
            ) from error

    @property
    def shown(self) -> str:
        """The directory in messages."""
        return printable(str(self.directory), 4096)

    def open(self) -> sqlite3.Connection:
        """The file, which is made if need be."""
        with self.complaining():
            return self._file.open()

    def remember(self) -> None:
        """Something was written: what SQLite needs beside the file is there."""
        self._file.remember()

    def missing(self) -> str | None:
        """What somebody removed or replaced, in words; None if all is where it should be."""
        if identity_at(self.directory) == (0, 0):
            return "the directory was removed or moved"
        if (name := self._file.missing()) is not None:
            return f"{name} was removed or replaced"
        return None if self._lock.in_place else f"{LOCK_FILE} was removed or replaced"

    def put_back(
        self, db: sqlite3.Connection, progress: Callable[[], object]
    ) -> sqlite3.Connection:
        """Take the place again, with what is in the open file; gives the file that is there then.

        If it cannot be done at present, the open file stays as it is.
        """
        self._prepare()
        with self.complaining():
            self._lock.take_again()
            return self._file.put_back(db, progress)

    def close(self) -> None:
        """Give the lock back."""
        self._lock.close()

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """Turn what SQLite and the file system raise into a `StateFileError`."""
        path = f"{self.shown}/{STATE_FILE}"
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            text, remedy = str(error), "nothing is lost; make sure that it can be written"
            damage = ("not a database", "malformed", "no such")
            if isinstance(error, msgspec.MsgspecError) or any(mark in text for mark in damage):
                remedy = "is damaged; move the directory away to start anew"
            raise StateFileError(f"{path}: {printable(text)}; {remedy}") from error
        except OSError as error:
            raise StateFileError(f"{path}: {error.strerror}") from error

    def _prepare(self) -> None:
        """Make the directory if need be, and see that nobody else may write to it."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._keep_others_out()
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StateFileError:
        return StateFileError(
            f"{self.shown}: cannot be used as state directory: {error.strerror}; "
            "make it writable for this user or choose another --state"
        )

    def _keep_others_out(self) -> None:
        status = self.directory.stat()
        mode = stat.S_IMODE(status.st_mode)
        if not mode & (stat.S_IWGRP | stat.S_IWOTH):
            return
        ours = status.st_uid == os.geteuid() and not mode & stat.S_ISVTX
        # a directory that serves something else, too, is its owner's to close
        if not ours or (any(self.directory.iterdir()) and not self.path.exists()):
            raise StateFileError(
                f"{self.shown}: others may write to this directory (mode {mode:04o}) and so change "
                "what is remembered; take that right from them (chmod go-w) or choose another "
                "--state"
            )
        self.directory.chmod(0o700)
        log.warning("%s: others could write to it (mode %04o); now 0700", self.shown, mode)
        with contextlib.suppress(FileNotFoundError):
            if not belongs_to(self.path.stat(follow_symlinks=False), os.geteuid()):
                what = "others may have changed it; move the directory away to start anew"
                raise StateFileError(f"{self.shown}/{STATE_FILE}: {what}")
