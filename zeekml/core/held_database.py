"""An SQLite file that stays where it should be, whoever removes it while it is open.

SQLite goes on writing into a file that was removed, without a word. So it is looked at whether the
file is in its place, and if not, what is in the open file is written there again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from zeekml.core.atomic_write import sync_directory
from zeekml.core.directory_lock import identity_at, identity_of
from zeekml.core.text import printable

log = logging.getLogger("zeekml.watch")

_SIDES: Final = ("-wal", "-shm")  # what SQLite keeps beside the file
_PATIENCE: Final = 10.0  # seconds to wait for somebody who reads the file at the same time
_PAGES: Final = 4096  # copied at a time


class HeldDatabase:
    """A file in WAL mode, for this user alone; who opened it closes it.

    Every method raises what SQLite and the file system raise. `several_threads`: they take turns.
    """

    def __init__(self, path: Path, *, several_threads: bool = False) -> None:
        self.path = path
        self._own_thread = not several_threads
        self._files: dict[str, tuple[int, int]] = {}

    def open(self) -> sqlite3.Connection:
        """The file, which is made if need be."""
        # once SQLite has it open, to open and close it here would undo SQLite's locks
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._files = {self.path.name: identity_of(os.fstat(handle))}
        os.close(handle)
        db = sqlite3.connect(
            self.path,
            isolation_level=None,
            timeout=_PATIENCE,
            check_same_thread=self._own_thread,
        )
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
        except BaseException:
            db.close()
            raise
        return db

    def remember(self) -> None:
        """Something was written: what SQLite needs beside the file is there."""
        for name in (self.path.name + side for side in _SIDES):
            if (found := identity_at(self.path.with_name(name))) not in (None, (0, 0)):
                self._files[name] = found

    def missing(self) -> str | None:
        """Which file somebody removed or replaced; None if all are where they should be."""
        for name, known in self._files.items():
            if identity_at(self.path.with_name(name)) not in (None, known):
                return name
        return None

    def put_back(
        self, db: sqlite3.Connection, progress: Callable[[], object] = lambda: None
    ) -> sqlite3.Connection:
        """Write what is in the open file in its place; gives the file that is there then.

        If it cannot be done at present, the open file stays as it is.
        """
        known, directory = dict(self._files), self.path.parent
        if all(identity_at(directory / name) == at for name, at in known.items()):
            return db
        # a whole copy of the open file beside its place
        copy = self.path.with_name(f"{self.path.name}.copy")
        for suffix in ("", "-journal", *_SIDES):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
        os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(copy)) as target:
            db.backup(target, pages=_PAGES, progress=lambda *_: progress())
        for suffix in ("", *_SIDES):
            # make room: what is not ours is kept under another name
            path = self.path.with_name(self.path.name + suffix)
            found = identity_at(path)
            if found == known.get(path.name):
                path.unlink()
            elif found != (0, 0):
                kept = path.replace(self.path.with_name(f"{self.path.name}.found{suffix}"))
                shown = printable(str(path), 4096)
                log.warning("%s: not this watch's; now %s", shown, kept.name)
        copy.rename(self.path)
        sync_directory(directory)
        # Closed when its file is no longer there, the old connection leaves alone what is beside
        # the new one.
        fresh = self.open()
        db.close()
        return fresh
