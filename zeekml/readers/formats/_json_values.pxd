# cython: boundscheck=True, show_performance_hints=False
"""Values of a JSON line read from its bytes, of which each access tests its index.

Each function gives the place behind what it has read, or `BAD`. None goes beyond a newline.
"""

from libc.stdint cimport int64_t, uint8_t

from zeekml.readers.formats._json_scanner cimport (
    ARRAY, DECIMAL, MICROS, NONE, OTHER, WHOLE, span,
)

cdef enum:
    BAD = 0  # for no JSON, or what is not plain
    MOST_DIGITS = 18  # of a whole number


cdef struct Value:
    int kind
    int64_t number


cdef inline bint is_blank(uint8_t c) noexcept nogil:
    return c == c' ' or c == c'\t' or c == c'\r'


cdef inline bint is_digit(uint8_t c) noexcept nogil:
    return c'0' <= c <= c'9'


cdef inline bint is_letter_e(uint8_t c) noexcept nogil:
    return c == c'e' or c == c'E'


cdef inline size_t read_number(
    const uint8_t[::1] data, size_t i, Value* value
) except? 0 nogil:
    """Read a number that begins with a minus or a digit."""
    cdef size_t start = i, first, places, fraction
    cdef int64_t whole = 0, micros = 0
    cdef double rest = 0.0, scale = 0.1, doubt
    cdef int _
    cdef bint negative = data[i] == c'-'
    value.kind, value.number = OTHER, 0
    if negative:
        i += 1
    first = i
    while is_digit(data[i]):
        if i - first < MOST_DIGITS:
            whole = whole * 10 + (data[i] - c'0')
        i += 1
    places = i - first
    if places == 0 or (places > 1 and data[first] == c'0'):
        return BAD
    if data[i] == c'.':
        i += 1
        fraction = i
        for _ in range(6):
            micros *= 10
            if is_digit(data[i]):
                micros += data[i] - c'0'
                i += 1
        while is_digit(data[i]):
            rest += scale * <double>(data[i] - c'0')
            scale *= 0.1
            i += 1
        if i == fraction:
            return BAD
    elif not is_letter_e(data[i]):
        if not negative and places <= MOST_DIGITS:
            value.kind, value.number = WHOLE, whole
        return i
    if is_letter_e(data[i]):
        i += 1
        if data[i] == c'+' or data[i] == c'-':
            i += 1
        first = i
        while is_digit(data[i]):
            i += 1
        if i == first:
            return BAD
        if not negative:
            value.kind, value.number = DECIMAL, span(start, i)
        return i
    if negative:
        return i
    value.kind, value.number = DECIMAL, span(start, i)
    if places > 10:
        return i
    micros += whole * 1000000
    # a parser rounds the text to a float64, whose product with 10**6 is rounded again: each time
    # by at most one part in 2**53
    doubt = <double>micros * 2.0**-52 + 1e-6
    # below that, half a unit in the last place of a float64 is less than a quarter of a microsecond
    if micros < <int64_t>1 << 51 and not -doubt <= rest - 0.5 <= doubt:
        value.kind, value.number = MICROS, micros + (rest > 0.5)
    return i


cdef inline size_t read_whole_numbers(
    const uint8_t[::1] data, size_t i, Value* value
) except? 0 nogil:
    """Read the rest of an array of whole numbers, and count them."""
    cdef size_t first
    value.kind, value.number = ARRAY, 0
    while is_blank(data[i]):
        i += 1
    if data[i] == c']':
        return i + 1
    while True:
        while is_blank(data[i]):
            i += 1
        first = i
        while is_digit(data[i]):
            i += 1
        if i == first or i - first > MOST_DIGITS or (i - first > 1 and data[first] == c'0'):
            return BAD
        value.number += 1
        while is_blank(data[i]):
            i += 1
        if data[i] == c']':
            return i + 1
        if data[i] != c',':
            return BAD
        i += 1


cdef inline size_t read_literal(
    const uint8_t[::1] data, size_t i, Value* value
) except? 0 nogil:
    """Read true, false or null."""
    value.kind, value.number = OTHER, 0
    if data[i] == c't':
        if data[i + 1] == c'r' and data[i + 2] == c'u' and data[i + 3] == c'e':
            return i + 4
    elif data[i] == c'n':
        if data[i + 1] == c'u' and data[i + 2] == c'l' and data[i + 3] == c'l':
            value.kind = NONE
            return i + 4
    elif data[i] == c'f':
        if (
            data[i + 1] == c'a' and data[i + 2] == c'l'
            and data[i + 3] == c's' and data[i + 4] == c'e'
        ):
            return i + 5
    return BAD
