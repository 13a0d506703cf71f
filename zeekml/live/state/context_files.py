"""Snapshots of a stream's context in files of their own, from which a restart goes on at once.

The journal could bring the context back too, a few microseconds a record: much for millions. So
the context is written out as it lies in memory, when a watch stops, and in between whenever that
many records have come that taking them in again would hold a restart up.

A snapshot is of the moment of an anchor. While a watch goes on, the memory for a copy is taken and
the copy written by a thread of its own; what the loop waits for is the copying alone, some tens of
milliseconds for millions of records. The state refers to a file once it is on disk, by a digest:
what is loaded is what was committed, down to the last byte, or nothing. The journal stays until the
hour is over, for the case that it is nothing.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from zeekml._version import __version__
from zeekml.core.atomic_write import replacing
from zeekml.core.lazy_memory import reserved
from zeekml.core.serialization import Part, seal_pieces, unseal_pieces
from zeekml.core.text import printable
from zeekml.errors import StateError
from zeekml.features.context.context_snapshot import Bytes
from zeekml.features.context.engine import ContextEngine
from zeekml.live.state.database import ContextSnapshot, State, StreamCommit

log = logging.getLogger("zeekml.watch")

ROWS: Final = 200_000
"""A snapshot is made when so many records have come since the last one; they are what a restart
after a kill takes in again."""

SHARE: Final = 8
"""Or this part of the records held, if that is more: what a snapshot costs grows with them."""

WORTH: Final = 50_000
"""Records that a restart takes in again without anybody noticing."""

THREAD: Final = "zeekml-snapshot"

_KIND: Final = f"context {__version__}"
_VERSION: Final = 1
_STRIDE: Final = 1 << 20
_SPARE: Final = 1 << 22  # bytes

_one_at_a_time = threading.Lock()
"""Copies take as much memory as what they are of."""


def load_context(directory: Path, snapshot: ContextSnapshot, context: ContextEngine) -> None:
    """Bring an engine, to which no row has come, to where it stood.

    After a `StateError` (the file is damaged, gone, or of another version) it is of no use.
    """
    try:
        with (directory / snapshot.file).open("rb") as file:
            # before anything is made of it: compiled code takes the arrays for what they claim
            if hashlib.file_digest(file, hashlib.blake2b).digest() != snapshot.digest:
                raise StateError("the snapshot of the context is damaged")
            file.seek(0)
            pieces = unseal_pieces(_KIND, _VERSION, file)
            context.load(next(pieces, b""), pieces)
    except OSError as error:
        raise StateError(f"the snapshot of the context: {error.strerror}") from error


class ContextFiles:
    """Makes the snapshots of one stream; `latest` is the one that its context was taken up from.

    Call `feed` with what comes and `committed` after each commit; a commit takes `finished` along,
    and an anchor is made when one is `wanted`.
    """

    def __init__(self, state: State, stream: str, latest: ContextSnapshot | None) -> None:
        self._stream = stream
        digest = hashlib.blake2b(stream.encode(), digest_size=8).hexdigest()
        self._place = state.directory / f"context-{digest}"  # and a number
        self._since = state.journal_size(stream, latest.number if latest else 0)[1]
        self._tried = 0
        self._copy: _Copy | None = None
        self._finished: tuple[ContextSnapshot, int] | None = None
        self._remove_all_but(latest)

    def feed(self, rows: int) -> None:
        """So many records have come."""
        self._since += rows

    @property
    def wanted(self) -> bool:
        """Whether the copy waits for an anchor."""
        return self._copy is not None and self._copy.waits

    @property
    def finished(self) -> ContextSnapshot | None:
        """A snapshot that is on disk and is to be committed."""
        if self._copy is not None and not self._copy.thread.is_alive():
            if self._copy.made is not None:
                self._finished = self._copy.made, self._copy.rows
            self._copy = None
        return self._finished[0] if self._finished else None

    def committed(self, commit: StreamCommit, context: ContextEngine) -> None:
        """Go on after a commit; if it had an anchor, the context stands there."""
        if self._finished and commit.snapshot == self._finished[0]:
            self._since -= self._finished[1]
            self._tried = 0
            self._finished = None
            self._remove_all_but(commit.snapshot)
        if self._copy is None:
            due = max(ROWS, context.held // SHARE)
            if self._since - self._tried >= due and _one_at_a_time.acquire(blocking=False):
                # should it fail, the next try is as far off
                self._tried = self._since
                try:
                    self._copy = _Copy(self._place, self._stream, context)
                except RuntimeError as error:  # no more threads
                    _one_at_a_time.release()
                    _complain(self._stream, error)
        elif commit.anchor is not None and self._copy.waits:
            self._copy.take(commit.anchor.number, self._since, context)

    def last(self, number: int, context: ContextEngine) -> bool:
        """At the end: make one of the anchor committed last, if that is worth it.

        Tells whether one is to be committed.
        """
        self.close()
        since = self._since - (self._finished[1] if self.finished and self._finished else 0)
        if min(since, context.held) >= WORTH:
            try:
                made = _write(self._place, number, *context.save())
                self._finished = made, self._since
            except OSError as error:
                _complain(self._stream, error)
        return self._finished is not None

    def close(self) -> None:
        """Let a copy that is under way come to its end, one that was not taken be."""
        if self._copy is not None:
            self._copy.wait()

    def _remove_all_but(self, snapshot: ContextSnapshot | None) -> None:
        for path in self._place.parent.glob(f"{self._place.name}-*"):
            if snapshot is None or path.name != snapshot.file:
                with suppress(OSError):
                    path.unlink()


class _Copy:
    """A copy of a context, and the thread that takes the memory for it and writes it."""

    def __init__(self, place: Path, stream: str, context: ContextEngine) -> None:
        self._place, self._stream = place, stream
        self._size = sum(map(len, context.save()[1]))
        self._memory: Bytes | None = None
        self._taken: tuple[int, bytes, list[Bytes]] | None = None
        self._go_on = threading.Event()
        self.rows = 0  # what was given when it was taken
        self.made: ContextSnapshot | None = None  # what was written
        self.thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        self.thread.start()

    @property
    def waits(self) -> bool:
        return self._memory is not None and not self._go_on.is_set()

    def take(self, number: int, rows: int, context: ContextEngine) -> None:
        """Copy what the context is now, at an anchor, and have it written."""
        assert self._memory is not None
        head, parts = context.save()
        copies, at = [], 0
        if sum(map(len, parts)) <= len(self._memory):
            for part in parts:
                copy = self._memory[at : at + len(part)]
                copy[:] = part
                copies.append(copy)
                at += len(part)
            self._taken = number, head, copies
            self.rows = rows
        self._go_on.set()

    def wait(self) -> None:
        """Until it is over; what was not taken never will be."""
        self._go_on.set()
        self.thread.join()

    def _run(self) -> None:
        try:
            # it may grow meanwhile
            memory = reserved(self._size + self._size // 4 + _SPARE, np.uint8, dense=True)
            for begin in range(0, self._size + _SPARE, _STRIDE):
                if self._go_on.is_set():
                    return
                memory[begin : begin + _STRIDE] = 0
            self._memory = memory
            del memory
            self._go_on.wait()
            if self._taken is not None:
                self.made = _write(self._place, *self._taken)
        except (OSError, MemoryError) as error:
            _complain(self._stream, error)
        finally:
            self._memory = self._taken = None
            _one_at_a_time.release()


def _write(place: Path, number: int, head: bytes, parts: Sequence[Bytes]) -> ContextSnapshot:
    """Write a file that is there as a whole or not at all, and on disk when this returns."""
    disk = os.statvfs(place.parent)
    if disk.f_bavail * disk.f_frsize < 2 * sum(map(len, parts)):
        # outputs and journal need the room more
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    path = place.with_name(f"{place.name}-{number}")
    digest = hashlib.blake2b()
    sealed: list[Part] = [head, *(part.data for part in parts)]
    with replacing(path, 0o600) as file:
        for piece in seal_pieces(_KIND, _VERSION, sealed):
            digest.update(piece)
            file.write(piece)
    return ContextSnapshot(number, path.name, digest.digest())


def _complain(stream: str, error: Exception) -> None:
    why = getattr(error, "strerror", None) or str(error) or "no memory"
    told = "%s: the context cannot be written for the next start, which will take longer: %s"
    log.warning(told, printable(stream), why)
