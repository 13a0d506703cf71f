# cython: boundscheck=True, show_performance_hints=False
"""From what the scanner of JSON lines found to columns."""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy

from zeekml.readers.formats._json_scanner cimport (
    DECIMAL, MICROS, TEXT, WHOLE, span_size, span_start,
)

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


cdef inline int digits(const uint8_t[::1] data, size_t at, int count) except -2 nogil:
    """A number of so many digits, -1 if there is anything else."""
    cdef int number = 0, i
    for i in range(count):
        if not c'0' <= data[at + i] <= c'9':
            return -1
        number = 10 * number + (data[at + i] - c'0')
    return number


cdef inline int64_t days_before(int64_t year, int64_t month) noexcept nogil:
    """Days from 1970 to the first of a month (Hinnant, days_from_civil; from 1970 on)."""
    cdef int64_t since_march = month - 3 if month > 2 else month + 9
    cdef int64_t years = year - (month <= 2)
    return (
        years * 365 + years // 4 - years // 100 + years // 400
        + (153 * since_march + 2) // 5 - 719468
    )


cdef int64_t moment(const uint8_t[::1] data, size_t at, size_t size) except -2 nogil:
    """Microseconds since 1970 by a time as sensors write it; -1 for any other, however sound.

    ``2026-11-23T10:30:48.019698`` with ``Z``, ``+0000`` or ``+00:00`` behind it.
    """
    cdef int year, month, day, hour, minute, second, fraction, zone = 0, minutes
    cdef int64_t first, micros
    if size != 27 and size != 31 and size != 32:
        return -1
    if (
        data[at + 4] != c'-' or data[at + 7] != c'-' or data[at + 10] != c'T'
        or data[at + 13] != c':' or data[at + 16] != c':' or data[at + 19] != c'.'
    ):
        return -1
    year, month, day = digits(data, at, 4), digits(data, at + 5, 2), digits(data, at + 8, 2)
    hour, minute = digits(data, at + 11, 2), digits(data, at + 14, 2)
    second, fraction = digits(data, at + 17, 2), digits(data, at + 20, 6)
    if year < 1970 or not 1 <= month <= 12 or day < 1 or fraction < 0:
        return -1
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
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
    first = days_before(year, month)
    if day > days_before(year + month // 12, month % 12 + 1) - first:
        return -1
    micros = (((first + day - 1) * 24 + hour) * 60 + minute - zone) * 60 + second
    micros = micros * 1000000 + fraction
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
