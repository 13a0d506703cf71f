"""The compiler of all compiled code, which is kept apart for each state of the source.

numba asks where to keep it when it is first imported, so nothing else here imports numba.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from zeekml.core.jit_cache import is_kept, provide_compile_cache

COMPILED: Final = is_kept()
"""False in a process that keeps nothing compiled: what is made for the compiler runs as it stands
then, which is slow for more than a handful of records."""

if COMPILED:
    provide_compile_cache()

    import numba


def njit(*arguments: Any, **options: Any) -> Any:
    """`numba.njit`, which does nothing where nothing is to be kept."""
    return numba.njit(*arguments, **options) if COMPILED else _as_it_stands


def _as_it_stands(function: Any) -> Any:
    function.py_func = function
    return function


compiled: Final = njit(cache=True, _nrt=False, error_model="numpy", forceinline=True)
"""Compile small functions on arrays that are given, into their caller.

The state of a stream is some thirty arrays. Numba would count references to each at every call,
which takes longer than the work itself; Python holds the arrays all the while.
"""


@compiled
def signed(number: Any) -> int:
    """The number with 64 bits and a sign, as all arithmetic with it should be."""
    return np.int64(number)  # type: ignore[return-value]
