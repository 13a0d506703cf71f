from typing import Final

import numpy as np
import numpy.typing as npt

LOCAL: Final[int]
MULTICAST: Final[int]
UNPARSED: Final[int]

def parse_ipv4(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int32],
    nets: npt.NDArray[np.uint32],
    masks: npt.NDArray[np.uint32],
    keys: npt.NDArray[np.uint64],
    kinds: npt.NDArray[np.uint8],
) -> int: ...
