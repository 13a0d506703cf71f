from typing import Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

ABSENT: Final[int]
TEXT: Final[int]
WHOLE: Final[int]
MICROS: Final[int]
DECIMAL: Final[int]
NONE: Final[int]
OBJECT: Final[int]
ARRAY: Final[int]
OTHER: Final[int]
NUMBER: Final[int]

class Keys:
    def __init__(
        self,
        keys: list[tuple[bytes, int, int]],
        rules: list[int],
        opens: list[int],
        type_field: int,
        types: tuple[bytes, bytes, bytes],
    ) -> None: ...

def scan(
    data: bytes | Bytes, keys: Keys, kinds: Bytes, values: Ints, rows: Ints, others: Ints
) -> tuple[int, int]: ...
def scan_some(
    data: bytes | Bytes,
    keys: Keys,
    lines: Ints,
    kinds: Bytes,
    values: Ints,
    rows: Ints,
    others: Ints,
) -> tuple[int, int]: ...
