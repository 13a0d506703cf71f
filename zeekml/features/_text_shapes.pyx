# cython: boundscheck=True
"""What paths of requests look like, straight from Arrow's buffers."""

from libc.math cimport log1p, log2
from libc.stdint cimport int32_t, uint8_t

cdef enum:
    WIDTH = 5
    LONGEST_TEXT = 255

URI_COLUMNS = WIDTH

# n log2 n, by which an entropy is summed up
cdef double _N_LOG_N[LONGEST_TEXT + 1]
_N_LOG_N[0] = 0.0
for _n in range(1, LONGEST_TEXT + 1):
    _N_LOG_N[_n] = _n * log2(_n)


def uri_shapes(const uint8_t[::1] data, const int32_t[::1] offsets, float[:, ::1] out):
    """Length, depth, entropy, share of digits and length of the query of each text, as features."""
    cdef Py_ssize_t row
    cdef int32_t start, end, at, query, digits, slashes, length
    cdef int counts[256]
    cdef double spread
    cdef int byte
    if out.shape[0] != offsets.shape[0] - 1 or out.shape[1] != WIDTH:
        raise ValueError("the shapes have no room")
    with nogil:
        for row in range(out.shape[0]):
            start, end = offsets[row], offsets[row + 1]
            # no reader lets longer ones through, but in bytes they may be
            end = min(end, start + LONGEST_TEXT)
            length = end - start
            for byte in range(256):
                counts[byte] = 0
            query, slashes, digits = end, 0, 0
            for at in range(start, end):
                byte = data[at]
                counts[byte] += 1
                if byte == c'?' and query == end:
                    query = at + 1
                elif byte == c'/' and query == end:
                    slashes += 1
                elif c'0' <= byte <= c'9':
                    digits += 1
            spread = 0.0
            if length:
                for byte in range(256):
                    if counts[byte]:
                        spread += _N_LOG_N[counts[byte]]
                spread = log2(length) - spread / length
            out[row, 0] = <float>log1p(length)
            out[row, 1] = slashes
            out[row, 2] = <float>spread
            out[row, 3] = <float>(digits / <double>max(length, 1))
            out[row, 4] = <float>log1p(end - query)
