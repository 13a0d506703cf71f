from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.readers.events.event import Event

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int32]
Buffers = tuple[Bytes, Offsets, Bytes]

DNS: Final[bytes]
HTTP: Final[bytes]
TLS: Final[bytes]
TEXTS: Final[dict[bytes, tuple[str, ...]]]
NUMBERS: Final[dict[bytes, tuple[str, ...]]]

def pack(event: Event) -> bytes: ...
def measure(of_flows: list[list[bytes] | None]) -> tuple[int, int, bool]: ...
def unpack(
    of_flows: list[list[bytes] | None], count: int, size: int
) -> tuple[
    Offsets,
    Bytes,
    Bytes,
    dict[str, Floats],
    dict[str, Buffers],
    tuple[Buffers, int, Offsets, Bytes],
]: ...
