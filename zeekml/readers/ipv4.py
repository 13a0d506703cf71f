"""Compiled test for addresses that need no second look."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.core.jit import njit


def are_dotted_quads(texts: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Tell which texts (n,) are IPv4 addresses in their one spelling; nulls are not."""
    n = len(texts)
    found = np.zeros(n, np.bool_)
    _, offsets, data = texts.buffers()
    if n and data is not None:
        starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + n + 1]
        _check(np.frombuffer(data, np.uint8), starts, found)
    return found


@njit(cache=True, nogil=True)
def _check(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int32], found: npt.NDArray[np.bool_]
) -> None:
    for row in range(len(found)):
        start, end = offsets[row], offsets[row + 1]
        dots = 0
        digits = 0
        octet = 0
        good = end - start >= 7
        for i in range(start, end):
            c = int(data[i])
            if 48 <= c <= 57:
                # no leading zero
                good &= digits == 0 or octet > 0
                octet = 10 * octet + c - 48
                digits += 1
                good &= octet <= 255
            elif c == 46:
                good &= digits > 0
                dots += 1
                digits = 0
                octet = 0
            else:
                good = False
            if not good:
                break
        found[row] = good and dots == 3 and digits > 0
