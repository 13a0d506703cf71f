from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

class Limits:
    forgotten: int
    def __init__(self, flows: int, of_kind: Mapping[int, int]) -> None: ...

def remember(
    flows: dict[int | str, list[bytes]], flow_id: int | str, one: bytes, limits: Limits
) -> None: ...
def exchange(
    flows: dict[int | str, list[bytes]],
    limits: Limits,
    event_lines: Ints,
    event_flows: Sequence[int | str],
    events: Sequence[bytes],
    lines: Ints,
    asking: Sequence[int | str | None],
) -> list[list[bytes] | None]: ...
