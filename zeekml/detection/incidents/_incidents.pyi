from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.detection.incidents.compiled_policy import Records
from zeekml.detection.incidents.step import TrackerState

Keys = npt.NDArray[np.uint64]

THREAT_COUNT: Final[int]
MAX_KINDS: Final[int]
MAX_RANKINGS: Final[int]
SCORE: Final[int]
GROUP_WIDTH: Final[int]
NONE: Final[int]
ABSENT: Final[int]
NO_SIZE: Final[int]
NO_PORT: Final[int]
MAX_ROWS: Final[int]
MAX_DISTINCT: Final[int]
MAX_TOLD_SETS: Final[int]
QUOTED_ROWS: Final[int]
SOURCES: Final[int]
DESTINATIONS: Final[int]
PORTS: Final[int]
DONE: Final[int]
DUE: Final[int]
OPENS: Final[int]
JOINED: Final[int]

class IncidentStore:
    arrays: TrackerState
    def __init__(self, arrays: TrackerState) -> None: ...
    def advance_rows(self, rows: Records, keys: Keys) -> int: ...
    def open_incident(self, key: int, threat: int) -> int: ...
    def close_incident(self, place: int) -> None: ...
    def drop_stale(self, clock: float) -> None: ...
    def forget(self, key: int, kind: int) -> None: ...
    def replay(
        self, rows: Records, keys: Keys, found: Records, count: int, most_open: int
    ) -> tuple[int, bool]: ...

def hash_texts(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int32], secret: np.uint64, keys: Keys
) -> None: ...
def number(
    rows: Records,
    keys: Keys,
    layout: Records,
    secret: np.uint64,
    numbered: npt.NDArray[np.bool_],
    classes: npt.NDArray[np.float32],
    strength: npt.NDArray[np.float64],
    unknown: int,
) -> None: ...
def set_agreement(rows: Records, members: npt.NDArray[np.float32], detectors: Records) -> None: ...
