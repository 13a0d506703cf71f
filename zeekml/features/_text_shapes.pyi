from typing import Final

import numpy as np
import numpy.typing as npt

URI_COLUMNS: Final[int]

def uri_shapes(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int32],
    out: npt.NDArray[np.float32],
) -> None: ...
