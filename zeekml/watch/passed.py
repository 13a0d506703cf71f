"""Files that were there and are not to be read, known by when they were last written.

What a directory holds is mostly old, and to look into a year of logs after each rotation would take
too long. A file that was not written since the last one was finished is older than that one, if
clocks only go forward. Where the sensor's clock was set back, it may just as well be new: then it
was not there before. Renaming a file does not change when it was written, nor do compressors; of
the few that keep whole seconds only, the second has to do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, Self

import numpy as np

MAX_PASSED: Final = 2048
"""Times that are kept, the latest ones; whatever was written before them is old."""

_SECOND: Final = 10**9


class Passed:
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
        times = self._times
        if len(times) == MAX_PASSED and time < times[0]:
            return True
        at = bisect_left(times, time)
        if at == len(times):
            return False
        return times[at] == time or (time % _SECOND == 0 and times[at] < time + _SECOND)

    def with_(self, times: Iterable[int]) -> Self:
        """These and others; itself if there are none."""
        more = set(times).difference(self._times)
        return type(self)([*self._times, *more]) if more else self
