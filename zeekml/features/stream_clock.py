"""The clock of a stream: end times of its flows in order of arrival, and nothing else.

The rule stands here alone, for the context engine, which ticks record by record, and for whoever
wants to know the clock somewhere inside a stream without computing features: a stream can then be
cut into slices, each of which starts with the clock that the whole stream would have there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from zeekml.features.context_state import AHEAD, BEGAN, LATE, NOW, SECOND, SEEN, Ints64
from zeekml.features.schema import WINDOWS

CLOCK_SLACK: Final = 300
"""Seconds a single record may be ahead of the clock and still move it."""

HORIZON: Final = WINDOWS[-1] * SECOND
"""Microseconds after which a record has left every window."""

_SLACK: Final = CLOCK_SLACK * SECOND


class ClockState(NamedTuple):
    """All that the clock remembers of the stream before; times in microseconds.

    Attributes
    ----------
    now
        The clock.
    ahead
        How many records in a row were too far ahead to move it.
    seen
        Records taken so far.
    began
        What the clock stood at first.
    """

    now: int = 0
    ahead: int = 0
    seen: int = 0
    began: int = 0


@njit(cache=True)
def tick(clock: Ints64, end: int) -> bool:
    """Move the clock for a record that ended at `end` (microseconds).

    Returns
    -------
    bool
        True when the stream begins anew with this record: nothing before it counts any more.
    """
    # the first records of a stream may themselves be the damaged ones: two that agree win
    anew = clock[SEEN] == 0 or (clock[SEEN] < 3 and end < clock[NOW] - HORIZON)
    if anew:
        clock[NOW] = end
        clock[BEGAN] = end
        clock[AHEAD] = 0
    elif end > clock[NOW] + _SLACK:
        clock[AHEAD] += 1
        if clock[AHEAD] >= 3:
            clock[NOW] = end
            clock[AHEAD] = 0
    else:
        clock[AHEAD] = 0
        if end > clock[NOW]:
            clock[NOW] = end
        elif end < clock[NOW]:
            clock[LATE] += 1
    clock[SEEN] += 1
    return anew


@njit(cache=True, nogil=True)
def _run(clock: Ints64, ends: Ints64) -> None:
    for i in range(len(ends)):
        tick(clock, ends[i])


def read_clock(clock: Ints64) -> ClockState:
    """The state in the clock entries of a context."""
    return ClockState(
        now=int(clock[NOW]),
        ahead=int(clock[AHEAD]),
        seen=int(clock[SEEN]),
        began=int(clock[BEGAN]),
    )


def set_clock(clock: Ints64, state: ClockState) -> None:
    """Put a state into the clock entries of a context."""
    clock[NOW], clock[AHEAD], clock[SEEN], clock[BEGAN] = state


class StreamClock:
    """The clock of one stream, run over end times alone."""

    def __init__(self, state: ClockState | None = None) -> None:
        self._clock = np.zeros(LATE + 1, np.int64)
        set_clock(self._clock, state or ClockState())

    @property
    def state(self) -> ClockState:
        return read_clock(self._clock)

    def run(self, ends: Ints64) -> ClockState:
        """Take the next records' end times (microseconds, (n,)); return the state after them."""
        _run(self._clock, ends)
        return self.state
