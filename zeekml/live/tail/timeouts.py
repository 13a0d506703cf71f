"""Timeouts of a tail, which never sleeps: what it waits for, and when a scan is due again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zeekml.live.tail.fingerprint import Place

_SCAN_EVERY: Final = 1.0
_NEVER: Final[tuple[float, Place | None]] = (-_SCAN_EVERY, None)


class Timeouts:
    """What is being waited for, and since when, on a clock that never goes backwards."""

    def __init__(self, clock: Callable[[], float]) -> None:
        # whether a timeout was begun or went on at the last scan
        self.running = False
        self._clock = clock
        self._since: dict[str, float] = {}
        self._scanned = _NEVER

    def expired(self, what: str, seconds: float) -> bool:
        """Whether something has been waited for long enough; begins if it has not yet been."""
        expired = self._clock() >= self._since.setdefault(what, self._clock()) + seconds
        self.running = self.running or not expired
        return expired

    def reset(self) -> None:
        """All that was waited for has happened."""
        self._since.clear()

    def scan_due(self, live: Place | None, *, during: str) -> bool:
        """Whether it is time for another scan, which begins then.

        It is at once when the live file is another one, and always `during` a wait for that.
        """
        scanned, place = self._scanned
        if live == place and self._clock() < scanned + _SCAN_EVERY and during not in self._since:
            return False
        self._scanned = (self._clock(), live)
        return True

    def scan_soon(self) -> None:
        """It is time for another scan, whenever the last one was."""
        self._scanned = _NEVER
