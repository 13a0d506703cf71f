"""Files that were there and are not to be read, known by when they were last written.

What a directory holds is mostly old, and to look into a year of logs after each rotation would take
too long. A file that was not written since the last one was finished is older than that one, if
clocks only go forward. Where the sensor's clock was set back, it may just as well be new: then it
was not there before. Renaming a file does not change when it was written, nor do compressors, but
for rounding: some keep microseconds, and a few whole seconds only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, Self

import numpy as np

MAX_PASSED: Final = 2048
"""Times that are kept, the latest ones; whatever was written before them is old."""

_SECOND: Final = 10**9
_ROUNDED: Final = 1000  # by which a tool that counts in microseconds may be off


class SkippedFiles:
    """Times of writing, in nanoseconds.

    Parameters
    ----------
    times
        In any order.
    """

    def __init__(self, times: Iterable[int] = ()) -> None:
        self._times = sorted(set(times))[-MAX_PASSED:]

    @classmethod
    def load(cls, stored: bytes) -> Self:
        """What `save` stored."""
        whole = len(stored) // 8 * 8
        return cls(np.frombuffer(stored[:whole], "<i8").tolist())

    def save(self) -> bytes:
        """The times in the form in which a position keeps them."""
        return np.array(self._times, "<i8").tobytes()

    def __contains__(self, time: int) -> bool:
        if len(self._times) == MAX_PASSED and time < self._times[0]:
            return True
        return self._has(time, _SECOND - 2 * _ROUNDED if time % _SECOND == 0 else 0)

    def surely(self, time: int) -> bool:
        """Tell whether no other file can have been written at that very time.

        Where times are whole seconds, several files may have the same.
        """
        return time % _SECOND != 0 and self._has(time, 0)

    def _has(self, time: int, more: int) -> bool:
        at = bisect_left(self._times, time - _ROUNDED)
        return at < len(self._times) and self._times[at] <= time + _ROUNDED + more

    def with_(self, times: Iterable[int]) -> Self:
        """These and others; itself if there are none."""
        more = set(times).difference(self._times)
        return type(self)([*self._times, *more]) if more else self
