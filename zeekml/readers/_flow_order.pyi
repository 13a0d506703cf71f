from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

HELD: Final[int]
EXITING: Final[int]
STATE_WIDTH: Final[int]

def take(
    clock: Ints,
    heap_ends: Ints,
    heap_numbers: Ints,
    state: Ints,
    ends: Ints,
    at_exit: npt.NDArray[np.uint8],
    first: int,
    hold: int,
    max_held: int,
    sent: Ints,
) -> int: ...
def flush(heap_ends: Ints, heap_numbers: Ints, state: Ints, sent: Ints) -> None: ...
