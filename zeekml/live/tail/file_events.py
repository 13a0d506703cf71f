"""Waiting between two looks at the logs, and no longer than needed.

Looking at the files is what counts; this only says when to look again. Events of the file system
come early where there are any, and not at all on NFS, when the kernel's watches are used up, or
from a directory that is not there: then the wait just lasts as long as it may.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from watchdog.events import (
    DirMovedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from zeekml.core.text import printable

# what our own reading does (opening, reading, closing) is not among them
_EVENTS: Final[list[type[FileSystemEvent]]] = [
    FileModifiedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    DirMovedEvent,
]

_CHECK: Final = 1.0
"""Seconds between two looks whether the directories are still those that are watched."""

_GATHER: Final = 0.02
"""Seconds in which more events are waited for, so that a burst wakes once."""

_FLOOD: Final = 256
"""Events per second above which watching costs more than it brings: polling is as quick then."""

_REST: Final = 5.0
"""Seconds without watching after a flood."""

_RETRY: Final = 60.0
"""Seconds until watching is tried again when the library failed, which may cost a descriptor."""

_CLOSING: Final = 2.0
_CALL: Final = b"c"
_EVENT: Final = b"e"

# without a handler, Python would print what the library logs
logging.getLogger("watchdog").addHandler(logging.NullHandler())


class _Place(NamedTuple):
    """A directory as it is now: a link and a swapped directory lead to another one."""

    path: str
    device: int
    inode: int


class FileEvents:
    """Waits until something changed in one of the directories, or somebody calls.

    No method raises, whatever becomes of the directories.

    Parameters
    ----------
    directories : iterable of Path
        What to watch, without what is below; they need not exist yet, and may be links.
    poll : float
        Longest wait, seconds.

    Attributes
    ----------
    problem : str or None
        Why changes are seen by polling alone at present, in all directories or the one that it
        names; None when they are seen at once.
    """

    def __init__(self, directories: Iterable[Path], *, poll: float = 0.25) -> None:
        self.problem: str | None = None
        self._directories = tuple(dict.fromkeys(directories))
        self._poll = max(poll, 0.0)
        self._observer: BaseObserver | None = None
        self._watches: dict[_Place, ObservedWatch] = {}
        self._handler = _Handler(self)
        self._next_check = 0.0
        # a pipe and no lock: a signal handler may interrupt the very code that holds a lock
        self._read = self._write = -1
        self._pending = False
        # of the second that events are counted in
        self._second = 0.0
        self._events = 0
        self._resting_until = 0.0

    def __enter__(self) -> Self:
        try:
            self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.problem = _reason(error)
            return self
        self._check(time.monotonic())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching; `wait` and `set` stay callable."""
        self._stop_observer()
        read, write = self._read, self._write
        self._read = self._write = -1
        for descriptor in (read, write):
            if descriptor >= 0:
                os.close(descriptor)

    def set(self) -> None:
        """End the present wait, or the next one, at once. May be called from a signal handler."""
        self._send(_CALL)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for a change or a call.

        Parameters
        ----------
        timeout : float, optional
            Seconds; never more than `poll` are waited.
        """
        now = time.monotonic()
        seconds = self._poll if timeout is None else min(max(timeout, 0.0), self._poll)
        if self._read < 0:
            time.sleep(seconds)
            return
        if now >= self._next_check:
            self._check(now)
        if not self._readable(seconds):
            return
        if _CALL not in self._drain():
            self._readable(_GATHER)
            self._drain()
        # after the pipe is empty: an event in between is of something that is looked at now
        self._pending = False

    # -- the pipe --------------------------------------------------------------------------------

    def _send(self, what: bytes) -> None:
        # a full pipe wakes just as well
        with contextlib.suppress(OSError):
            os.write(self._write, what)

    def _readable(self, seconds: float) -> bool:
        poller = select.poll()
        poller.register(self._read, select.POLLIN)
        return bool(poller.poll(seconds * 1000.0))

    def _drain(self) -> bytes:
        with contextlib.suppress(OSError):
            return os.read(self._read, 1 << 16)
        return b""

    # -- events, in the library's thread ---------------------------------------------------------

    def _saw_event(self) -> None:
        now = time.monotonic()
        if now >= self._second + 1.0:
            self._second, self._events = now, 0
        self._events += 1
        if not self._pending:
            self._pending = True
            self._send(_EVENT)
        observer = self._observer
        if self._events > _FLOOD and observer is not None:
            self._resting_until = now + _REST
            with contextlib.suppress(Exception):
                observer.unschedule_all()

    # -- which directories are watched -----------------------------------------------------------

    def _check(self, now: float) -> None:
        """Watch the directories that are at their paths now, and no others."""
        self._next_check = now + _CHECK
        if now < self._resting_until:
            return
        try:
            self.problem = self._watch_again()
        except Exception as error:
            # whatever happens to the library, polling goes on
            self.problem = _reason(error)
            self._next_check = now + _RETRY
            self._stop_observer()

    def _watch_again(self) -> str | None:
        """Return the first reason why a directory is not watched."""
        observer = self._observer
        if observer is not None and not observer.is_alive():
            self._stop_observer()
            observer = None
        if observer is None:
            observer = Observer()
            observer.start()
            self._observer = observer
        places, problems = self._places()
        emitters = set(observer.emitters)
        alive = {emitter.watch for emitter in emitters if emitter.is_alive()}
        for place, watch in list(self._watches.items()):
            if place not in places or watch not in alive:
                del self._watches[place]
                # after a flood there is nothing left to take back
                with contextlib.suppress(KeyError):
                    observer.unschedule(watch)
        for place in places:
            if place not in self._watches:
                try:
                    watch = observer.schedule(self._handler, place.path, event_filter=_EVENTS)
                except Exception as error:
                    problems.append(printable(f"{place.path}: {_reason(error)}", 400))
                else:
                    self._watches[place] = watch
        return problems[0] if problems else None

    def _places(self) -> tuple[list[_Place], list[str]]:
        places: dict[_Place, None] = {}
        problems: list[str] = []
        for directory in self._directories:
            try:
                # a watch of a link would be one of the link alone
                path = str(directory.resolve())
                status = Path(path).stat()
                # the library says nothing when the kernel refuses for this reason
                if not os.access(path, os.R_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            except (OSError, RuntimeError, ValueError) as error:
                problems.append(printable(f"{directory}: {_reason(error)}", 400))
            else:
                places[_Place(path, status.st_dev, status.st_ino)] = None
        return list(places), problems

    def _stop_observer(self) -> None:
        observer, self._observer = self._observer, None
        self._watches.clear()
        if observer is None:
            return
        with contextlib.suppress(Exception):
            observer.stop()
            observer.join(_CLOSING)


class _Handler(FileSystemEventHandler):
    """Passes on that there was an event, and nothing about it."""

    def __init__(self, wake_up: FileEvents) -> None:
        self._wake_up = wake_up

    def dispatch(self, event: FileSystemEvent) -> None:
        self._wake_up._saw_event()


def _reason(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or str(error) or type(error).__name__
