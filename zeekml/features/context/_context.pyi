from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.features.context.compact_hash_table import CompactHashTable
from zeekml.features.context.layout import ContextState
from zeekml.features.flow_features import FlowColumns

HEAD: Final[int]
TAIL: Final[int]
EVICTED: Final[int]
SEED: Final[int]
STATE_WIDTH: Final[int]
LAST: Final[int]
HOST_COUNTS: Final[int]
PAIR_COUNTS: Final[int]
SERVICE_COUNTS: Final[int]
UNKNOWN_PORT_INDEX: Final[int]
LANES: Final[int]
SERIES_WIDTH: Final[int]
SIZES: Final[dict[str, int]]

class Context:
    def __init__(self, state: ContextState) -> None: ...
    def refill(self, kind: int, old: CompactHashTable, new: CompactHashTable) -> None: ...
    def absorb(self, flows: FlowColumns, begin: int, end: int, max_records: int) -> None: ...
    def update(
        self,
        flows: FlowColumns,
        begin: int,
        end: int,
        max_records: int,
        out: npt.NDArray[np.float32],
        clocks: npt.NDArray[np.int64],
    ) -> None: ...
