"""One output file of a watcher: lines are appended, each once, whatever happens to the file.

Who may do something to it: logrotate renames it, somebody removes it, the disk fills up, the power
goes in the middle of a line. Lines wait in memory until they are known to be on disk in a file that
is still there; then, and not before, what made them may be committed.

A watcher that died between the two finds lines in the file that it is about to make again. It knows
them by their keys. And one that finds less in the file than was committed writes again what the
state still has of it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from zeekml.alerts.also import lock_alone
from zeekml.core.atomic_write import sync_directory
from zeekml.core.text import printable
from zeekml.errors import OutputError
from zeekml.live.outputs.resume_lines import Cut, KeyOf, find_cut, keys_since
from zeekml.live.state.database import Mark
from zeekml.outputs import FILE_MODE

_READ_SIZE: Final = 1 << 20


class AppendFile:
    """An output file. Every method raises an `OutputError` if the file cannot be used.

    `mark` tells how far it had been written at the last commit, if that is known, `opening` gives
    the lines that every new file begins with, `kept` those that can be written again if the file
    lacks them, by their keys. `cut` is what it lacked at the start. A file that may lie anywhere
    is locked, to be the only one who writes to it `alone`: else the directory's lock says so.
    """

    def __init__(
        self,
        path: Path,
        mark: Mark | None,
        key_of: KeyOf,
        opening: Callable[[], list[bytes]] = list,
        kept: Callable[[], Mapping[str, bytes]] = dict,
        *,
        alone: bool = False,
    ) -> None:
        self.path = path
        self._alone = alone
        self._opening = opening
        self._descriptor: int | None = None
        self._pending: list[bytes] = []  # lines that are not known to be on disk
        self._uncommitted: list[bytes] = []
        self._size = 0
        self._untidy = False
        self._already: Counter[str] = Counter()
        self._identity = (0, 0)
        self._written = 0
        # keys of the first lines that are kept elsewhere, too: in the file, among those that wait,
        # and among those that are not committed
        self._first = self._first_pending = self._first_uncommitted = ""
        self.cut = Cut()
        try:
            with self._complaining():
                if mark is not None:
                    self._already.update(mark.already)
                    self._already.update(keys_since(path, mark, key_of))
                    self.cut = find_cut(path, mark, key_of, kept)
                self._open()
                if mark and (self.cut.lines or self._identity == (mark.device, mark.inode)):
                    self._first = mark.first
                if self.cut.opening and self._size:
                    self._pending += self._opening()
                self._pending += self.cut.lines.values()
                self._first_pending = next(iter(self.cut.lines), "")
                self.flush()
        except BaseException:
            self.close()
            raise

    @property
    def mark(self) -> Mark:
        """How far it is written; to be committed after `flush`."""
        already = tuple(self._already.elements())
        return Mark(*self._identity, self._size, already, self._written, self._first)

    def add(self, key: str, line: bytes, *, kept: bool = False) -> bool:
        """Have a line written by the next `flush`, unless it is there already: then False.

        `kept` are lines that are committed, too, so that they can be written again.
        """
        if self._already[key] > 0:
            self._already[key] -= 1
            if kept:
                self._first = self._first or key
            return False
        # an empty count is none: what was asked for must not stay in memory
        del self._already[key]
        self._pending.append(line)
        if kept:
            self._first_pending = self._first_pending or key
        return True

    def forget_already(self) -> None:
        """All that was read before the last stop has been gone through: nothing comes again."""
        self._already.clear()

    def flush(self) -> None:
        """Bring all lines to disk, in a new file if this one was renamed or removed.

        After an error nothing of them is in the file, and it can be tried again.
        """
        with self._complaining():
            while True:
                descriptor = self._open()
                self._tidy(descriptor)
                lines = self._pending if self._size else [*self._opening(), *self._pending]
                if not lines:
                    return
                self._append(descriptor, b"".join(lines))
                if os.fstat(descriptor).st_nlink:
                    self._uncommitted += self._pending
                    self._pending = []
                    first, self._first_pending = self._first_pending, ""
                    self._first = self._first or first
                    self._first_uncommitted = self._first_uncommitted or first
                    return
                # removed before the lines were committed: they belong into the file that follows

    def committed(self) -> None:
        """What was flushed has been committed: it will not be made again."""
        self._uncommitted.clear()
        self._first_uncommitted = ""

    def last_line(self) -> bytes:
        """The last line in the file, without its newline; empty if there is none."""
        with self._complaining():
            descriptor = self._open()
            begin = self._whole_lines(descriptor, max(self._size - 1, 0))
            return os.pread(descriptor, max(self._size - 1 - begin, 0), begin)

    # -- the file --------------------------------------------------------------------------------

    def _open(self) -> int:
        if self._descriptor is not None:
            with suppress(FileNotFoundError):
                there = self.path.stat(follow_symlinks=False)
                if os.path.samestat(there, os.fstat(self._descriptor)):
                    return self._descriptor
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # a FIFO in its place must not hold the watcher up
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self.path, flags | os.O_NOFOLLOW, FILE_MODE)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "is no regular file")
            if self._alone:
                lock_alone(descriptor, self.path)
            size = self._whole_lines(descriptor, status.st_size)
            if size < status.st_size:
                os.ftruncate(descriptor, size)
            sync_directory(self.path.parent)
            if self._descriptor is not None:
                if not os.fstat(self._descriptor).st_nlink:
                    # what is removed with its file before it is committed would never be made again
                    self._pending[:0] = self._uncommitted
                    self._first_pending = self._first_uncommitted or self._first_pending
                # and what is in a file of another name is not in this one
                self.committed()
        except BaseException:
            os.close(descriptor)
            raise
        # only now: as long as the old file is open, no other can pass for it by its inode
        self.close()
        self._descriptor = descriptor
        self._identity = (status.st_dev, status.st_ino)
        self._size = size
        self._first = ""
        self._untidy = False
        self._written = os.fstat(descriptor).st_mtime_ns
        return descriptor

    def _tidy(self, descriptor: int) -> None:
        """Take off what a failed try may have left, or what somebody who cut the file left."""
        found = os.fstat(descriptor).st_size
        size = self._size
        if not (self._untidy and found >= size):
            size = found if found == size else self._whole_lines(descriptor, found)
        if size < found:
            os.ftruncate(descriptor, size)
        self._size = size
        self._untidy = False

    def _append(self, descriptor: int, lines: bytes) -> None:
        data = memoryview(lines)
        self._untidy = True
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:
            # half of the lines would be there twice after the next try; and should there be none,
            # whoever reads the file should not find half a line
            self._tidy(descriptor)
            raise
        self._untidy = False
        self._size += len(lines)
        self._written = os.fstat(descriptor).st_mtime_ns

    def close(self) -> None:
        """Close the file; lines not yet flushed are dropped."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

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

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno == errno.ELOOP and self.path.is_symlink():
                reason = "is a symbolic link; it must be a file of its own"
            shown = printable(str(self.path), 4096)
            raise OutputError(f"{shown}: cannot write: {reason}") from error
