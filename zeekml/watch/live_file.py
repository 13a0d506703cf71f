"""One output file of a watcher: lines are appended, each once, whatever happens to the file.

Who may do something to it: logrotate renames it, somebody removes it, the disk fills up, the power
goes in the middle of a line. Lines wait in memory until they are known to be on disk in a file that
is still there; then, and not before, what made them may be committed.

A watcher that died between the two finds lines in the file that it is about to make again. It knows
them by their keys.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from zeekml.errors import OutputError
from zeekml.outputs import FILE_MODE
from zeekml.watch.state import Mark
from zeekml.watch.written_lines import KeyOf, keys_since

_READ_SIZE: Final = 1 << 20


class LiveFile:
    """An output file.

    Parameters
    ----------
    path
        Where it is.
    mark
        How far it had been written at the last commit; None if it is not known.
    key_of
        See `KeyOf`.
    opening
        Returns the lines that every new file begins with.

    Raises
    ------
    OutputError
        The file cannot be opened, read or written.
    """

    def __init__(
        self,
        path: Path,
        mark: Mark | None,
        key_of: KeyOf,
        opening: Callable[[], list[bytes]] = list,
    ) -> None:
        self.path = path
        self._opening = opening
        self._descriptor: int | None = None
        self._pending: list[bytes] = []
        self._size = 0
        self._already: Counter[str] = Counter()
        self._identity = (0, 0)
        self._written = 0
        try:
            if mark is not None:
                self._already.update(mark.already)
                self._already.update(keys_since(path, mark, key_of))
            self._open()
        except OSError as error:
            raise self._error(error) from error
        self.flush()

    @property
    def mark(self) -> Mark:
        """How far it is written; to be committed after `flush`."""
        return Mark(*self._identity, self._size, tuple(self._already.elements()), self._written)

    @property
    def waiting(self) -> int:
        """Lines that are not known to be on disk."""
        return len(self._pending)

    def add(self, key: str, line: bytes) -> bool:
        """Have a line written by the next `flush`, unless it is there already.

        Returns
        -------
        bool
            False if it is there already.
        """
        if self._already[key] > 0:
            self._already[key] -= 1
            return False
        # an empty count is none: what was asked for must not stay in memory
        del self._already[key]
        self._pending.append(line)
        return True

    def forget_already(self) -> None:
        """All that was read before the last stop has been gone through: nothing comes again."""
        self._already.clear()

    def flush(self) -> None:
        """Bring all lines to disk.

        Raises
        ------
        OutputError
            They are not there; nothing of them is in the file, and it can be tried again.
        """
        try:
            while True:
                descriptor = self._open()
                if not self._pending:
                    return
                self._append(descriptor)
                if os.fstat(descriptor).st_nlink:
                    self._pending.clear()
                    return
                # removed before the lines were committed: they belong into the file that follows
                self._close()
        except OSError as error:
            raise self._error(error) from error

    def check(self) -> None:
        """Take notice of a file that was renamed or removed: go on in a new one.

        Raises
        ------
        OutputError
            There is none, and none can be made.
        """
        try:
            if self._descriptor is not None and not self._is_in_place(self._descriptor):
                self._close()
        except OSError as error:
            raise self._error(error) from error
        self.flush()

    def close(self) -> None:
        """Close the file; lines not yet flushed are dropped."""
        self._close()

    # -- the file --------------------------------------------------------------------------------

    def _open(self) -> int:
        if self._descriptor is not None and self._is_in_place(self._descriptor):
            return self._descriptor
        self._close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # a FIFO in its place must not hold the watcher up
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self.path, flags | os.O_NOFOLLOW, FILE_MODE)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "is no regular file")
            self._size = self._whole_lines(descriptor, status.st_size)
            if self._size < status.st_size:
                os.ftruncate(descriptor, self._size)
            self._sync_directory()
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._identity = (status.st_dev, status.st_ino)
        self._note(os.fstat(descriptor))
        if self._size == 0:
            self._pending[:0] = self._opening()
        return descriptor

    def _is_in_place(self, descriptor: int) -> bool:
        ours = os.fstat(descriptor)
        try:
            there = self.path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def _append(self, descriptor: int) -> None:
        begin = os.fstat(descriptor).st_size
        data = memoryview(b"".join(self._pending))
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:
            # half of the lines would be there twice after the next try
            os.ftruncate(descriptor, begin)
            raise
        self._note(os.fstat(descriptor))

    def _note(self, status: os.stat_result) -> None:
        self._size, self._written = status.st_size, status.st_mtime_ns

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _sync_directory(self) -> None:
        """Have the file's name on disk, too."""
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    @staticmethod
    def _whole_lines(descriptor: int, size: int) -> int:
        """The length of a file without an unterminated last line."""
        end = size
        while end > 0:
            begin = max(end - _READ_SIZE, 0)
            found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
        return 0

    def _error(self, error: OSError) -> OutputError:
        reason = error.strerror or str(error)
        return OutputError(f"{self.path}: cannot write: {reason}")
