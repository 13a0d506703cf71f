import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

def pack_lines(
    data: bytes | Bytes,
    kinds: Bytes,
    values: npt.NDArray[np.int64],
    ts: Floats,
) -> list[bytes | None]: ...
