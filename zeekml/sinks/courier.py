"""Couriers: a thread for each sink, which takes its letters out in their order.

One letter at a time: as long as it is not delivered, those behind it wait. What fails for a while
is tried again after more and more time; what is refused for good becomes a dead letter, and so does
what is too old when it fails.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.core.text import printable
from zeekml.core.units import duration
from zeekml.errors import StateFileError
from zeekml.sink_config import AnySink
from zeekml.sinks.delivery_queue import DeliveryQueue, Letter
from zeekml.sinks.message import DeliveryError, Message, Sink

log = logging.getLogger("zeekml.watch")

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0  # seconds between two tries, unless the receiver asks for more,
MOST_ASKED: Final = 3600.0  # but not for more than this
LOOK: Final = 2.0
"""Seconds between looks for letters that somebody else put back into the queue."""


def pause_before(tries: int, asked: float | None, jitter: Callable[[], float]) -> float:
    """Seconds until the next try after so many in a row; `jitter` gives 0 to 1."""
    pause = min(FIRST_PAUSE * 2.0 ** min(tries - 1, 30), LONGEST_PAUSE) * (0.5 + 0.5 * jitter())
    return pause if asked is None else max(pause, min(max(asked, 0.0), MOST_ASKED))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nothing gets through at present."""

    since: float  # by the monotonic clock
    told: str


class Courier:
    """The thread of one sink. Its failures are not the watch's: they are counted and told."""

    def __init__(
        self,
        name: str,
        settings: AnySink,
        sink: Sink,
        queue: DeliveryQueue,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.name, self._settings, self._sink = name, settings, sink
        self._queue, self._wall = queue, wall
        self._stop, self._wake = threading.Event(), threading.Event()
        self.failure: Failure | None = None
        self.succeeded = False  # whether anything got through, or nothing had to, since the start
        self._tries = 0  # that failed in a row
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}"[:15], daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be something to take out."""
        self._wake.set()

    def stop(self) -> None:
        """Begin nothing further."""
        self._stop.set()
        self._wake.set()

    def join(self, seconds: float) -> bool:
        """Wait for what is under way; whether it is over."""
        if self._thread.ident is not None:
            self._thread.join(max(seconds, 0.0))
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                letter = self._queue.next(self.name)
            except StateFileError as error:
                log.error("sink %s: %s", self.name, error)
                self._stop.wait(LOOK)
                continue
            if letter is not None:
                self._deliver(letter)
                continue
            if self.failure is None:
                self.succeeded = True
            self._wake.wait(LOOK)

    def _deliver(self, letter: Letter) -> None:
        try:
            self._sink.send(Message.of(letter.line, self._settings.format))
        except DeliveryError as error:
            if not self._stop.is_set():
                self._failed(letter, error)
        except Exception as error:
            # a mistake of ours must not end the thread, nor say what it was about
            log.error("sink %s: %s", self.name, _where(error))
            if not self._stop.is_set():
                self._failed(letter, DeliveryError(f"failed: {type(error).__name__}"))
        else:
            self._note(lambda: self._queue.delivered(self.name, letter, self._wall()))
            if self._tries:
                log.info("sink %s: notices go out again", self.name)
            self.failure, self._tries, self.succeeded = None, 0, True

    def _failed(self, letter: Letter, error: DeliveryError) -> None:
        now, told = self._wall(), error.told
        since = self.failure.since if self.failure is not None else time.monotonic()
        if self.failure is None or self.failure.told != told:
            log.warning("sink %s: %s", self.name, told)
        self.failure = Failure(since, told)
        if not error.permanent and now - letter.at <= self._settings.max_age:
            self._tries += 1
            self._note(lambda: self._queue.retry(self.name, letter, told, now))
            self._stop.wait(pause_before(self._tries, error.retry_after, random.random))
            return
        why = told if error.permanent else f"older than {duration(self._settings.max_age)}: {told}"
        self._note(lambda: self._queue.bury(self.name, letter, printable(why, 400), now))
        if not error.permanent:
            # the receiver is as silent to the next one
            self._tries += 1
            self._stop.wait(pause_before(self._tries, error.retry_after, random.random))

    def _note(self, write: Callable[[], None]) -> None:
        """Write down what became of a letter; it must not be sent again for a busy disk."""
        told = ""
        while True:
            try:
                write()
                return
            except StateFileError as error:
                if str(error) != told:
                    told = str(error)
                    log.error("sink %s: %s", self.name, told)
                if self._stop.wait(0.5):
                    return


def _where(error: Exception) -> str:
    """Where something went wrong that should not; what it says may hold a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"
