"""Directory locks (flock): one process at a time may write to a directory."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from zeekml.errors import OutputError

_HIDDEN_FILE: Final = ".zeekml.lock"
_PATIENCE: Final = 0.5  # seconds: whoever tidies up directories locks each for a moment
_PAUSE: Final = 0.05
# what a file system answers that locks no directories, such as NFS, which asks for a file open for
# writing
_LOCKS_FILES_ONLY: Final = frozenset(
    {errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}
)


class TakenError(OutputError):
    """Another process writes there: waiting does not help."""


class DirectoryLock:
    """The lock of a directory, held until `close` or until the process ends.

    Where somebody else holds it, a `TakenError` says `taken`. What is locked is a file in it if one
    is named, else the directory itself, so that nothing is left in it; where only files can be
    locked, an empty hidden one.
    """

    def __init__(self, directory: Path, taken: str, file: str | None = None) -> None:
        self._directory = directory
        self._taken = taken
        self._file = file
        self._path, self._handle = self._locked()

    @property
    def in_place(self) -> bool:
        """Whether what is locked is what others would lock."""
        return identity_at(self._path) in (None, identity_of(os.fstat(self._handle)))

    def take_again(self) -> None:
        """Lock what is there now; on an error, what was locked stays so."""
        if not self.in_place:
            before = self._handle
            self._path, self._handle = self._locked()
            os.close(before)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._handle)

    def _locked(self) -> tuple[Path, int]:
        name = self._file
        if name is None:
            try:
                handle = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
                return self._directory, self._lock(handle)
            except OSError as error:
                if error.errno not in _LOCKS_FILES_ONLY:
                    raise
                name = _HIDDEN_FILE
        path = self._directory / name
        return path, self._lock(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _lock(self, handle: int) -> int:
        end = time.monotonic() + _PATIENCE
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return handle
                except BlockingIOError as error:
                    if time.monotonic() >= end:
                        raise TakenError(self._taken) from error
                    time.sleep(_PAUSE)
        except BaseException:
            os.close(handle)
            raise


def identity_of(status: os.stat_result) -> tuple[int, int]:
    """What tells a file from every other."""
    return status.st_dev, status.st_ino


def identity_at(path: Path) -> tuple[int, int] | None:
    """The identity of what is at a path, (0, 0) for nothing; None if it may not be looked at."""
    try:
        return identity_of(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return 0, 0
    except PermissionError:
        return None
