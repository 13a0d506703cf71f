"""The clock of a stream: end times of its flows in order of arrival, and nothing else.

It never goes back. A record up to `CLOCK_SLACK` ahead moves it; one further ahead moves it only as
the third such record in a row, so that a single damaged time stamp changes nothing. The rule stands
here alone, for all who need it record by record and for whoever wants to know the clock somewhere
inside a stream: a stream can then be cut into slices, each of which starts with the clock that the
whole stream would have there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.readers import _stream_clock
from zeekml.readers._stream_clock import BEGAN, CLOCK_WIDTH

Ints64 = npt.NDArray[np.int64]

# a damaged record may claim any time; these bounds keep microseconds far inside an int64
LATEST: Final = 1e11  # epoch seconds, in the year 5138
LONGEST: Final = 1e9  # seconds, 31 years


class ClockState(NamedTuple):
    """All that the clock remembers of the stream before; times in microseconds."""

    now: int = 0  # the clock
    ahead: int = 0  # how many records in a row were too far ahead to move it
    seen: int = 0  # records taken so far
    began: int = 0  # what the clock stood at first


def read_clock(clock: Ints64) -> ClockState:
    """The state in the first entries of a clock array."""
    return ClockState(*clock[: BEGAN + 1].tolist())


def set_clock(clock: Ints64, state: ClockState) -> None:
    """Put a state into the first entries of a clock array."""
    clock[: BEGAN + 1] = state


class StreamClock:
    """The clock of one stream, run over end times alone."""

    def __init__(self, state: ClockState | None = None) -> None:
        # of the records taken last: how many were more than `FAR_BEHIND` behind, and the first one
        self.behind = 0
        self.first_behind = -1
        self._clock = np.zeros(CLOCK_WIDTH, np.int64)
        set_clock(self._clock, state or ClockState())

    @property
    def state(self) -> ClockState:
        return read_clock(self._clock)

    def run(self, ends: Ints64) -> ClockState:
        """Take the next records' end times (microseconds, (n,)); return the state after them."""
        self.behind, self.first_behind = _stream_clock.run(self._clock, ends)
        return self.state


def flow_times(batch: pa.RecordBatch) -> tuple[Ints64, Ints64, npt.NDArray[np.float64]]:
    """Start and end in microseconds, and duration in seconds with NaN for unknown."""
    start = _microseconds(np.clip(floats(batch, "ts"), 0.0, LATEST))
    duration = np.clip(floats(batch, "duration"), 0.0, LONGEST)
    return start, start + _microseconds(np.nan_to_num(duration, nan=0.0)), duration


def flow_ends(batch: pa.RecordBatch) -> Ints64:
    """End of each flow (rows,) in microseconds, as the stream's clock takes it."""
    return flow_times(batch)[1]


def floats(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.float64]:
    """A column of numbers (rows,), with NaN for null."""
    column = batch.column(name).cast(pa.float64(), safe=False)
    return column.to_numpy(zero_copy_only=False)


def _microseconds(seconds: npt.NDArray[np.float64]) -> Ints64:
    return np.rint(seconds * 1e6).astype(np.int64)
