"""Push: all sinks of a watch, their queue and their couriers.

The watch puts notices in and never waits for a receiver.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.core.text import printable
from zeekml.errors import StateFileError
from zeekml.sink_config import AnySink
from zeekml.sinks.courier import Courier
from zeekml.sinks.delivery_queue import DeliveryQueue, DeliveryTally, NewLetter
from zeekml.sinks.message import Sink
from zeekml.sinks.new_sink import new_sink
from zeekml.sinks.sink_filter import wants

log = logging.getLogger("zeekml.watch")

GRACE: Final = 2.0  # seconds for what is under way when the watch stops
_LAST: Final = 1.0  # and then, after it was broken off
_LOOKED: Final = 2.0  # seconds for which figures hold
_OVERFLOW: Final = 600.0  # seconds for which a queue that was full is a problem
_POLL: Final = 0.05


@dataclass(frozen=True, slots=True)
class SinkFigures:
    """How a sink stands."""

    name: str
    target: str
    waiting: int
    oldest: float  # seconds for which the oldest letter waits; 0 if none does
    tally: DeliveryTally
    failing: float  # seconds since anything got through, as far as there was something; else 0
    told: str  # what is wrong then
    overflowed: bool  # whether notices were given up lately because too many waited
    succeeded: bool  # whether it is known to work


class Push:
    """The sinks of a watch, by their names; none at all costs nothing.

    Letters go out after `start`. Making it, `start` and `add` raise a `StateFileError` if the queue
    cannot be used.
    """

    def __init__(
        self,
        sinks: Mapping[str, AnySink],
        directory: Path,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._wall = dict(sinks), wall
        self._queue: DeliveryQueue | None = None
        self._couriers: list[Courier] = []
        self._sinks: list[Sink] = []
        self._overflows: dict[str, float] = {}  # when there were last too many letters
        self._figures: tuple[float, list[SinkFigures]] = (-_LOOKED, [])
        self._stack = ExitStack()
        if not sinks:
            return
        limits = {name: settings.max_queue for name, settings in sinks.items()}
        self._queue = DeliveryQueue(directory, limits)
        self._stack.callback(self._queue.close)
        try:
            for name, settings in sinks.items():
                sink = new_sink(settings)
                self._sinks.append(sink)
                self._couriers.append(Courier(name, settings, sink, self._queue, wall))
        except BaseException:
            self._stack.close()
            raise

    @property
    def names(self) -> list[str]:
        """Names of the sinks."""
        return list(self._settings)

    def start(self) -> None:
        """Have letters go out from now on."""
        if self._queue is None:
            return
        for name, number in self._queue.give_up_unknown(self._wall()).items():
            shown = printable(name)
            log.warning("sink %s: not configured any more; %d notices given up", shown, number)
        for courier, sink in zip(self._couriers, self._sinks, strict=True):
            log.info("sink %s: %s", courier.name, sink.target)
            courier.start()

    def add(self, lines: Iterable[bytes]) -> None:
        """Put notices into the queue, each a line of notice.log in JSON with all columns.

        They are on disk when this returns, and go out after `release`.
        """
        if self._queue is None:
            return
        self._queue.put_back()
        letters = []
        for line in lines:
            values = json.loads(line)
            about = (str(values["zeekml_id"]), int(values["zeekml_seq"]), line.rstrip(b"\n"))
            for name, settings in self._settings.items():
                if wants(name, settings, values):
                    letters.append(NewLetter(name, *about))
        for name, number in (self._queue.add(letters, self._wall()) if letters else {}).items():
            self._overflows[name] = time.monotonic()
            log.warning("sink %s: its queue is full; the oldest %d were given up", name, number)

    def release(self) -> None:
        """What was put in so far has been committed."""
        if self._queue is not None and self._queue.release():
            for courier in self._couriers:
                courier.wake()

    def figures(self) -> list[SinkFigures]:
        """How the sinks stand, at most a moment ago."""
        now = time.monotonic()
        if self._queue is not None and now >= self._figures[0] + _LOOKED:
            # where the queue cannot be read, what was known of it holds on
            with suppress(StateFileError):
                self._figures = now, [self._figures_of(courier, now) for courier in self._couriers]
        return self._figures[1]

    def _figures_of(self, courier: Courier, now: float) -> SinkFigures:
        assert self._queue is not None
        number, oldest = self._queue.waiting(courier.name)
        failure, sink = courier.failure, self._sinks[self._couriers.index(courier)]
        return SinkFigures(
            name=courier.name,
            target=sink.target,
            waiting=number,
            oldest=max(self._wall() - oldest, 0.0) if oldest is not None else 0.0,
            tally=self._queue.tally(courier.name),
            failing=now - failure.since if failure is not None else 0.0,
            told=failure.told if failure is not None else "",
            overflowed=now < self._overflows.get(courier.name, -_OVERFLOW) + _OVERFLOW,
            succeeded=courier.succeeded,
        )

    def drain(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Wait until all has gone out, or fails, but no longer than so many seconds."""
        end = time.monotonic() + seconds
        while self._queue is not None and time.monotonic() < end and not stopped():
            left = [courier for courier in self._couriers if self._left(courier)]
            if all(courier.failure is not None for courier in left):
                break
            time.sleep(_POLL)

    def _left(self, courier: Courier) -> int:
        """How many letters wait; none where that cannot be told."""
        with suppress(StateFileError):
            return self._queue.waiting(courier.name)[0] if self._queue is not None else 0
        return 0

    def close(self) -> None:
        """Stop within `GRACE` and a little; what did not go out waits for the next watch."""
        for courier in self._couriers:
            courier.stop()
        end = time.monotonic() + GRACE
        over = [courier.join(end - time.monotonic()) for courier in self._couriers]
        for sink in self._sinks:
            sink.close()
        end = time.monotonic() + _LAST
        for courier, ended in zip(self._couriers, over, strict=True):
            if not ended:
                courier.join(end - time.monotonic())
        for courier in self._couriers:
            if waiting := self._left(courier):
                log.info("sink %s: %d notices wait for the next start", courier.name, waiting)
        self._couriers.clear()
        self._stack.close()
