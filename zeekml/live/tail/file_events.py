"""File events (inotify) beside polling: the wait between two polls ends early when a log changes.

Polling is what counts; this only says when to poll again. Events of the file system come early
where there are any, and not at all on NFS, when the kernel's watches are used up, or from a
directory that is not there: then the wait just lasts as long as it may.
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
from typing import Final, Self

from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from zeekml.core.text import printable

# what our own reading does (opening, reading, closing) is not among them
_EVENTS: Final[list[type[events.FileSystemEvent]]] = [
    events.FileModifiedEvent,
    events.FileCreatedEvent,
    events.FileMovedEvent,
    events.DirMovedEvent,
]

_DEBOUNCE: Final = 0.02  # seconds in which more events are waited for, so that a burst wakes once
_FLOOD: Final = 256
"""Events per second above which watching costs more than it brings: polling is as quick then."""

_CLOSING: Final = 2.0
_CALL: Final = b"c"
_EVENT: Final = b"e"

# without a handler, Python would print what the library logs
logging.getLogger("watchdog").addHandler(logging.NullHandler())


class FileEvents(events.FileSystemEventHandler):
    """Waits until something changed in one of the directories, or somebody calls.

    The directories, without what is below, need not exist yet, and may be links; whatever becomes
    of them, no method raises. All else is seconds: `poll` is the longest wait; whether the
    directories are still those that are watched is looked at every `check`; after a flood nothing
    is watched for `rest`, and for `retry` when the library failed, which may cost a descriptor.
    """

    def __init__(
        self,
        directories: Iterable[Path],
        *,
        poll: float = 0.25,
        check: float = 1.0,
        rest: float = 5.0,
        retry: float = 60.0,
    ) -> None:
        # why changes are seen by polling alone at present, in all directories or the one that it
        # names; None when they are seen at once
        self.problem: str | None = None
        self._directories = tuple(dict.fromkeys(directories))
        self._poll = max(poll, 0.0)
        self._check_every, self._rest, self._retry = check, rest, retry
        self._observer: BaseObserver | None = None
        # by path, device and inode: a link and a swapped directory lead to another one
        self._watches: dict[tuple[str, int, int], ObservedWatch] = {}
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

    def __exit__(self, *_: object) -> None:
        """Stop watching; `wait` and `set` stay callable."""
        self._stop_observer()
        descriptors = {self._read, self._write} - {-1}
        self._read = self._write = -1
        for descriptor in descriptors:
            os.close(descriptor)

    def set(self) -> None:
        """End the present wait, or the next one, at once. May be called from a signal handler."""
        self._send(_CALL)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for a change or a call, for `timeout` seconds and never more than `poll`."""
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
            self._readable(_DEBOUNCE)
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

    def dispatch(self, event: events.FileSystemEvent) -> None:
        """Note that there was an event, and nothing about it."""
        now = time.monotonic()
        if now >= self._second + 1.0:
            self._second, self._events = now, 0
        self._events += 1
        if not self._pending:
            self._pending = True
            self._send(_EVENT)
        observer = self._observer
        if self._events > _FLOOD and observer is not None:
            self._resting_until = now + self._rest
            with contextlib.suppress(Exception):
                observer.unschedule_all()

    # -- which directories are watched -----------------------------------------------------------

    def _check(self, now: float) -> None:
        """Watch the directories that are at their paths now, and no others."""
        self._next_check = now + self._check_every
        if now < self._resting_until:
            return
        try:
            self.problem = self._watch_again()
        except Exception as error:
            # whatever happens to the library, polling goes on
            self.problem = _reason(error)
            self._next_check = now + self._retry
            self._stop_observer()

    def _watch_again(self) -> str | None:
        """The first reason why a directory is not watched."""
        observer = self._observer
        if observer is not None and not observer.is_alive():
            self._stop_observer()
            observer = None
        if observer is None:
            observer = Observer()
            observer.start()
            self._observer = observer
        present: list[tuple[str, int, int]] = []
        problems: list[str] = []
        for named in self._directories:
            try:
                # a watch of a link would be one of the link alone
                path = str(named.resolve())
                status = Path(path).stat()
                # the library says nothing when the kernel refuses for this reason
                if not os.access(path, os.R_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                present.append((path, status.st_dev, status.st_ino))
            except (OSError, RuntimeError, ValueError) as error:
                problems.append(printable(f"{named}: {_reason(error)}", 400))
        alive = {emitter.watch for emitter in set(observer.emitters) if emitter.is_alive()}
        for directory, watch in list(self._watches.items()):
            if directory not in present or watch not in alive:
                del self._watches[directory]
                # after a flood there is nothing left to take back
                with contextlib.suppress(KeyError):
                    observer.unschedule(watch)
        for directory in present:
            if directory not in self._watches:
                path = directory[0]
                try:
                    watch = observer.schedule(self, path, event_filter=_EVENTS)
                    self._watches[directory] = watch
                except Exception as error:
                    problems.append(printable(f"{path}: {_reason(error)}", 400))
        return problems[0] if problems else None

    def _stop_observer(self) -> None:
        observer, self._observer = self._observer, None
        self._watches.clear()
        if observer is None:
            return
        with contextlib.suppress(Exception):
            observer.stop()
            observer.join(_CLOSING)


def _reason(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or str(error) or type(error).__name__
