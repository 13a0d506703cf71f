"""The rule of the stream's clock, see `stream_clock`, for whoever goes record by record."""

from libc.stdint cimport int64_t

cpdef enum:
    # entries of a clock array; what uses one may keep more behind them
    NOW = 0
    AHEAD = 1
    SEEN = 2
    BEGAN = 3
    LATE = 4
    CLOCK_WIDTH = 5
    SECOND = 1000000  # microseconds
    CLOCK_SLACK = 300  # seconds a single record may be ahead of the clock and still move it
    # seconds by which the second or third record of a stream must lie before the first to show
    # that it was the first that was wrong
    RESTART = 3600
    FAR_BEHIND = 86400  # seconds that a record of a log in order of time is never behind the clock


cdef inline bint tick(int64_t* clock, int64_t end) noexcept nogil:
    """Move the clock for a record that ended at `end` (microseconds).

    True says that the stream begins anew with it: nothing before it counts any more.
    """
    # the first records of a stream may themselves be the damaged ones: two that agree win
    cdef int64_t now = clock[NOW]
    cdef bint anew = clock[SEEN] == 0 or (clock[SEEN] < 3 and end < now - RESTART * <int64_t>SECOND)
    if anew:
        clock[NOW] = end
        clock[BEGAN] = end
        clock[AHEAD] = 0
    elif end > now + CLOCK_SLACK * <int64_t>SECOND:
        clock[AHEAD] += 1
        if clock[AHEAD] >= 3:
            clock[NOW] = end
            clock[AHEAD] = 0
    else:
        clock[AHEAD] = 0
        if end > now:
            clock[NOW] = end
        elif end < now:
            clock[LATE] += 1
    clock[SEEN] += 1
    return anew
