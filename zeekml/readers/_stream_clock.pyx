"""The stream's clock run over end times."""

from zeekml.readers._stream_clock cimport FAR_BEHIND, NOW, SECOND, tick


def run(int64_t[::1] clock, const int64_t[::1] ends):
    """How many records were more than `FAR_BEHIND` behind the clock, and which was the first."""
    cdef int64_t behind = 0, first = -1
    cdef Py_ssize_t i
    cdef bint anew
    with nogil:
        for i in range(ends.shape[0]):
            anew = tick(&clock[0], ends[i])
            if not anew and ends[i] < clock[NOW] - FAR_BEHIND * <int64_t>SECOND:
                behind += 1
                if first < 0:
                    first = i
    return behind, first
