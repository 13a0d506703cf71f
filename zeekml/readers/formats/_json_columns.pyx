# cython: boundscheck=True, show_performance_hints=False
"""From what the scanner of JSON lines found to columns."""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcmp, memcpy

import numpy as np

from zeekml.readers.formats._json_scanner cimport (
    DECIMAL, MICROS, TEXT, WHOLE, span_size, span_start,
)
from zeekml.readers.formats._json_times cimport digits, second_of

cdef double NAN = float("nan")

# until the year 2255 a float64 holds every microsecond, and all ways to divide it agree
cdef int64_t most_micros = <int64_t>1 << 53
MOST_MICROS = most_micros


def valid_bits(const uint8_t[::1] kinds, int wanted, uint8_t[::1] bits):
    """Set a bit for each row of a wanted kind, the others are zero; give how many others."""
    cdef size_t i
    cdef int64_t others = 0
    cdef bint valid
    with nogil:
        for i in range(<size_t>kinds.shape[0]):
            valid = (kinds[i] & wanted) != 0
            bits[i >> 3] |= <uint8_t>(valid << (i & 7))
            others += not valid
    return others


def text_offsets(const uint8_t[::1] kinds, const int64_t[::1] values, int32_t[::1] offsets):
    """Lay texts out one after the other."""
    cdef int64_t end = 0
    cdef size_t i
    with nogil:
        offsets[0] = 0
        for i in range(<size_t>kinds.shape[0]):
            if kinds[i] == TEXT:
                end += span_size(values[i])
                if end > 0x7FFFFFFF:
                    with gil:
                        raise OverflowError("a column has too much text")
            offsets[i + 1] = <int32_t>end


def copy_texts(
    const uint8_t[::1] data,
    const uint8_t[::1] kinds,
    const int64_t[::1] values,
    const int32_t[::1] offsets,
    uint8_t[::1] out,
):
    """Copy texts to where `text_offsets` has laid them."""
    cdef int64_t at, to, size
    cdef size_t i
    with nogil:
        for i in range(<size_t>kinds.shape[0]):
            to = offsets[i]
            size = offsets[i + 1] - to
            if kinds[i] != TEXT or size <= 0:
                continue
            at = span_start(values[i])
            if at + size > data.shape[0] or to + size > out.shape[0]:
                with gil:
                    raise IndexError("a text lies outside of its block")
            memcpy(&out[to], &data[at], size)


def count_texts(bytes data not None, const int64_t[:] places):
    """How often each of the texts at some places occurs, by text in order."""
    cdef dict counts = {}
    cdef bytes text
    cdef size_t i
    cdef int64_t start
    for i in range(<size_t>places.shape[0]):
        start = span_start(places[i])
        text = data[start : start + span_size(places[i])]
        counts[text] = counts.get(text, 0) + 1
    return counts


def places_of(bytes data not None, const int64_t[:] places, list wanted):
    """Whether each of the texts at some places is one of those wanted; no text has place -1."""
    out = np.zeros(places.shape[0], np.uint8)
    cdef uint8_t[::1] found = out
    cdef const uint8_t[::1] text = data
    cdef const uint8_t[::1] one
    cdef Py_ssize_t i
    cdef int64_t start, size
    for one in wanted:
        for i in range(places.shape[0]):
            if places[i] >= 0:
                start, size = span_start(places[i]), span_size(places[i])
                if size == one.shape[0] and start + size <= text.shape[0]:
                    found[i] |= memcmp(&text[start], &one[0], size) == 0
    return out


def numbers(const uint8_t[::1] kinds, const int64_t[::1] values, double[::1] out):
    """Put numbers out, NaN for none; give how many stand in a text that Python has to read."""
    cdef int64_t left = 0
    cdef size_t i
    with nogil:
        for i in range(<size_t>kinds.shape[0]):
            if kinds[i] == MICROS:
                out[i] = <double>values[i] / 1e6
            elif kinds[i] == WHOLE:
                out[i] = <double>values[i]
            else:
                out[i] = NAN
                left += kinds[i] == DECIMAL
    return left


cdef int64_t moment(const uint8_t[::1] data, size_t at, size_t size) except -2 nogil:
    """Microseconds since 1970 by a time as sensors write it; -1 for any other, however sound.

    ``2026-11-23T10:30:48.019698`` with ``Z``, ``+0000`` or ``+00:00`` behind it.
    """
    cdef int fraction, zone = 0, minutes
    cdef int64_t seconds, micros
    if size != 27 and size != 31 and size != 32:
        return -1
    if data[at + 19] != c'.':
        return -1
    seconds, fraction = second_of(data, at), digits(data, at + 20, 6)
    if seconds < 0 or fraction < 0:
        return -1
    if size == 27:
        if data[at + 26] != c'Z':
            return -1
    else:
        if data[at + 26] != c'+' and data[at + 26] != c'-':
            return -1
        if size == 32 and data[at + 29] != c':':
            return -1
        zone, minutes = digits(data, at + 27, 2), digits(data, at + size - 2, 2)
        if not (0 <= zone < 24 and 0 <= minutes < 60):
            return -1
        zone = 60 * zone + minutes
        if data[at + 26] == c'-':
            zone = -zone
    micros = (seconds - 60 * zone) * 1000000 + fraction
    return micros if 0 <= micros < most_micros else -1


def read_moments(const uint8_t[::1] data, uint8_t[::1] kinds, int64_t[::1] values):
    """Turn the times among texts into microseconds; give how many texts are left."""
    cdef int64_t micros, left = 0
    cdef size_t i
    with nogil:
        for i in range(<size_t>kinds.shape[0]):
            if kinds[i] == TEXT:
                micros = moment(data, span_start(values[i]), span_size(values[i]))
                if micros < 0:
                    left += 1
                else:
                    kinds[i] = MICROS
                    values[i] = micros
    return left
