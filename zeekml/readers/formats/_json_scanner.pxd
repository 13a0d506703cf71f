"""What stands in the arrays of the scanner of JSON lines."""

from libc.stdint cimport int64_t, uint32_t

cpdef enum:
    # kinds of values, as bits so that a rule can name several
    ABSENT = 0
    TEXT = 1  # the value is its span, without quotes
    WHOLE = 2  # an integer from 0 to 10**18 - 1
    MICROS = 4  # a decimal fraction; its millionths, rounded
    DECIMAL = 8  # a decimal fraction whose rounding is too close to call; its span
    NONE = 16  # null
    OBJECT = 32  # or, where it opens no group, an array; of that the span
    ARRAY = 64  # of whole numbers; how many
    OTHER = 128  # true, false, negative, huge, …: nothing a rule may name
    NUMBER = 14  # a whole one or a fraction


cdef inline int64_t span(int64_t start, int64_t end) noexcept nogil:
    """The place of a text in 64 bits."""
    return (start << 32) | (end - start)


cdef inline int64_t span_start(int64_t place) noexcept nogil:
    return place >> 32


cdef inline int64_t span_size(int64_t place) noexcept nogil:
    return <uint32_t>place
