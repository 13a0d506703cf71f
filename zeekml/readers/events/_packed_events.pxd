"""How an event is packed, see the module."""

from libc.stdint cimport int64_t, uint8_t

cdef enum:
    NO_TEXT = 0xFFFF
    LONGEST_TEXT = 255
    MOST_ANSWERS = 16
    MOST_STATUS = 999
    ROOM = 16384  # more than the texts and addresses of any event can take


cdef class Writer:
    cdef uint8_t[ROOM] bytes
    cdef size_t at

    cdef int put(self, const void* data, size_t size) except -1
    cdef int number(self, double value) except -1
    cdef int text(self, const void* data, size_t size) except -1
    cdef int no_text(self) except -1
    cdef int optional(self, value) except -1
    cdef int answers(self, values) except -1
    cdef int begin(self, uint8_t kind, double ts) except -1
    cdef bytes done(self)


cdef bint is_unset(const uint8_t[::1] data, int64_t start, int64_t size) except -1
cdef int64_t without_port(const uint8_t[::1] data, int64_t start, int64_t size) except -1
