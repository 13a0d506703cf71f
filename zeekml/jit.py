"""The compiler of all compiled code, which is kept apart for each state of the source.

numba asks where to keep it when it is first imported, so nothing else here imports numba.
"""

from __future__ import annotations

from typing import Any

from zeekml.compile_cache import is_kept, provide_compile_cache

provide_compile_cache()

import numba  # noqa: E402  the cache's place must be known before


def njit(*arguments: Any, **options: Any) -> Any:
    """`numba.njit`, which keeps nothing where nothing is to be kept."""
    if not is_kept():
        options["cache"] = False
    return numba.njit(*arguments, **options)


__all__ = ["njit"]
