"""The compiler of all compiled code, which is kept apart for each state of the source.

numba asks where to keep it when it is first imported, so nothing else here imports numba.
"""

from __future__ import annotations

from zeekml.compile_cache import provide_compile_cache

provide_compile_cache()

from numba import njit  # noqa: E402  the cache's place must be known before

__all__ = ["njit"]
