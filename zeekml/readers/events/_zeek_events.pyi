import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

class Texts:
    def __init__(self, data: Bytes, offsets: npt.NDArray[np.int32], valid: Bytes) -> None: ...

def pack_columns(
    kind: bytes, ts: npt.NDArray[np.float64], columns: list[Texts]
) -> list[bytes | None]: ...
