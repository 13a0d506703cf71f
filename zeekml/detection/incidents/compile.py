"""How the rules of incidents are compiled."""

from __future__ import annotations

from typing import Final

from zeekml.core.jit import njit

compiled: Final = njit(cache=True, _nrt=False)
"""Compile for code that works on arrays it is given and makes none.

The state of a stream is some thirty arrays, and nearly every function gets all of them. Numba
would count references to each at every call, which takes several times as long as the work itself;
Python holds the arrays all the while, so there is nothing to count.
"""
