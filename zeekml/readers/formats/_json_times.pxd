"""Times as sensors write them, read from bytes of which each access tests its index."""

from libc.stdint cimport int64_t, uint8_t


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


cdef inline int64_t second_of(const uint8_t[::1] data, size_t at) except -2 nogil:
    """Seconds since 1970 by ``2026-11-23T10:30:48``; -1 for any other text, however sound."""
    cdef int year, month, day, hour, minute, second
    cdef int64_t first
    if (
        data[at + 4] != c'-' or data[at + 7] != c'-' or data[at + 10] != c'T'
        or data[at + 13] != c':' or data[at + 16] != c':'
    ):
        return -1
    year, month, day = digits(data, at, 4), digits(data, at + 5, 2), digits(data, at + 8, 2)
    hour, minute = digits(data, at + 11, 2), digits(data, at + 14, 2)
    second = digits(data, at + 17, 2)
    if year < 1970 or not 1 <= month <= 12 or day < 1:
        return -1
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return -1
    first = days_before(year, month)
    if day > days_before(year + month // 12, month % 12 + 1) - first:
        return -1
    return (((first + day - 1) * 24 + hour) * 60 + minute) * 60 + second
