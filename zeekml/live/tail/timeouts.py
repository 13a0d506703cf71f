"""Waiting without sleeping: what is looked at again and again until time has settled it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Place = tuple[int, int]
"""Device and inode."""

_LOOK_AGAIN: Final = 1.0

_NEVER: Final[tuple[float, Place | None]] = (-_LOOK_AGAIN, None)


class Timeouts:
    """What is being waited for, and since when.

    Parameters
    ----------
    clock : callable
        Returns seconds that never go backwards.

    Attributes
    ----------
    going_on : bool
        Whether a wait was begun or went on when it was last looked.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.going_on = False
        self._clock = clock
        self._since: dict[str, float] = {}
        self._looked = _NEVER

    def over(self, what: str, seconds: float) -> bool:
        """Tell whether something has been waited for long enough; begin if it has not yet been."""
        over = self._clock() >= self._since.setdefault(what, self._clock()) + seconds
        self.going_on = self.going_on or not over
        return over

    def forget(self) -> None:
        """All that was waited for has happened."""
        self._since.clear()

    def may_look(self, live: Place | None, *, eager: str) -> bool:
        """Tell whether it is time to look around again.

        Parameters
        ----------
        live : Place or None
            Where the live file is; when it is another, that is at once.
        eager : str
            A wait during which it always is.
        """
        looked, place = self._looked
        if live == place and self._clock() < looked + _LOOK_AGAIN and eager not in self._since:
            return False
        self._looked = (self._clock(), live)
        return True

    def look_soon(self) -> None:
        """It is time to look around again, whenever that was done last."""
        self._looked = _NEVER
