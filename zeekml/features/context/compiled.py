"""How the code of the context engine is compiled."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from zeekml.core.jit import njit

compiled: Final = njit(cache=True, _nrt=False, error_model="numpy", forceinline=True)
"""Compile small functions on arrays that are given, into their caller.

The state of a stream is some thirty arrays. Numba would count references to each at every call,
which takes longer than the work itself; Python holds the arrays all the while.
"""


@compiled
def signed(number: Any) -> int:
    """The number with 64 bits and a sign, as all arithmetic with it should be."""
    return np.int64(number)  # type: ignore[return-value]
