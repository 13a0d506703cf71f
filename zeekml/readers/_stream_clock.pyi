from typing import Final

import numpy as np
import numpy.typing as npt

NOW: Final[int]
AHEAD: Final[int]
SEEN: Final[int]
BEGAN: Final[int]
LATE: Final[int]
CLOCK_WIDTH: Final[int]
SECOND: Final[int]
CLOCK_SLACK: Final[int]
RESTART: Final[int]
FAR_BEHIND: Final[int]

def run(clock: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> tuple[int, int]: ...
