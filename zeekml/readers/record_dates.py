"""Which records are wanted, by the time at which their flows ended.

A log has a flow when it has ended, so this is the order of logs, and the records of one day's file
are, by and large, those that ended on that day.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.readers.values import MAX_TIME, read_time

OUTSIDE: Final = "outside_dates"
"""As what records are skipped whose flows ended too early or too late."""

CONTEXT: Final = "context_of_dates"
"""As what records are skipped that were read for the context of others alone."""

LATE: Final = 7200.0
"""Seconds by which a flow may be logged later than others that ended after it: a sensor waits for
more of a connection that has fallen silent, for an hour where it is told to."""

_MICROS: Final = 1_000_000
_EARLIEST: Final = 1e8
_DURATION: Final = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RecordDates:
    """Flows that ended from `begin` on and before `end`, and those around them for context.

    Parameters
    ----------
    begin, end
        Epoch seconds; minus infinity for all that is there from the start, infinity to the end.
    warm_up
        Seconds before `begin` from which flows are read, too, so that the first ones have context.

    Notes
    -----
    Logs are not quite in order of the ends. So a little more is read on both sides (`LATE`), and
    flows have the context that they have in the whole log, unless they are later still.
    """

    begin: float = -math.inf
    end: float = math.inf
    warm_up: float = 3600.0

    def __post_init__(self) -> None:
        if not self.begin < self.end:
            raise ValueError("the end must be later than the beginning")
        if not 0 <= self.warm_up < math.inf:
            raise ValueError("the warm-up must be a number of seconds, from 0 on")

    @property
    def first(self) -> float:
        """From when on flows are read, by their ends in epoch seconds."""
        return self.begin - self.warm_up - LATE

    @property
    def last(self) -> float:
        """Until when flows are read, by their ends in epoch seconds."""
        return self.end + LATE

    def read(self, ends: npt.NDArray[np.float64]) -> BoolArray:
        """Which flows (n,) are read, by their ends in epoch seconds."""
        return _between(ends, self.first, self.last)

    def wanted(self, ends: npt.NDArray[np.float64]) -> BoolArray:
        """Which flows (n,) are asked for, by their ends in epoch seconds."""
        return _between(ends, self.begin, self.end)


def read_moment(text: str) -> float:
    """A moment in ISO 8601 (UTC where it names no zone) or epoch seconds; as epoch seconds.

    `ValueError` says what is wrong.
    """
    try:
        seconds = read_time(text)
    except ValueError:
        seconds = None
    # what is meant by 20261123 is no second of the year 1970
    if seconds is None or not _EARLIEST <= seconds < MAX_TIME:
        raise ValueError("must be a time such as 2026-11-20, 2026-11-20T08:30 or 1795161600")
    return seconds


def read_duration(text: str) -> float:
    """A duration such as ``90s``, ``30m``, ``12h`` or ``7d``, in seconds; `ValueError` if not."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError("must be a duration such as 30m, 12h or 7d")
    return float(int(found[1]) * _SECONDS[found[2]])


def _between(times: npt.NDArray[np.float64], begin: float, end: float) -> BoolArray:
    # to the microsecond, as all times are told apart
    micros = np.rint(times * _MICROS)
    return (micros >= np.rint(begin * _MICROS)) & (micros < np.rint(end * _MICROS))
