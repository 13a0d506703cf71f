# cython: boundscheck=True, show_performance_hints=False
"""Quick looks at the bytes of lines and at columns of texts."""

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memchr

cdef size_t NOWHERE = <size_t>-1

cdef uint8_t[256] MAY_LEAVE_OPEN
cdef int _c
for _c in range(256):
    MAY_LEAVE_OPEN[_c] = _c in b"{[,: \t\r"


cdef inline size_t find(const uint8_t[::1] data, uint8_t wanted, size_t start) noexcept nogil:
    """Where the next such byte is."""
    if start >= <size_t>data.shape[0]:
        return NOWHERE
    cdef const uint8_t* first = &data[0]
    cdef const uint8_t* found
    found = <const uint8_t*>memchr(first + start, wanted, data.shape[0] - start)
    return found - first if found else NOWHERE


def newlines(const uint8_t[::1] data):
    """How many lines end in these bytes."""
    cdef size_t at, count = 0
    with nogil:
        at = find(data, c'\n', 0)
        while at != NOWHERE:
            count += 1
            at = find(data, c'\n', at + 1)
    return count


def line_beginnings(const uint8_t[::1] data):
    """How many lines begin with a brace, and whether any may frame objects.

    The latter begin with a space or a square bracket.
    """
    cdef size_t at = 0, size = data.shape[0], objects = 0
    cdef bint framed = False
    with nogil:
        while at < size:
            if data[at] == c'{':
                objects += 1
            elif data[at] == c' ' or data[at] == c'[' or data[at] == c']':
                framed = True
            at = find(data, c'\n', at)
            if at == NOWHERE:
                break
            at += 1
    return objects, framed


def may_leave_open(const uint8_t[::1] lines):
    """Whether any of these lines may be the first of several for one record.

    Then it ends in a bracket, a comma or a colon, behind which blanks may stand.
    """
    cdef size_t at, last
    cdef bint found = False
    with nogil:
        at = find(lines, c'\n', 0)
        while at != NOWHERE and not found:
            if at > 0:
                last = at - 1
                if lines[last] == c'\r' and last > 0:
                    last -= 1
                found = MAY_LEAVE_OPEN[lines[last]]
            at = find(lines, c'\n', at + 1)
    return found


def holds_several(const uint8_t[::1] lines, const uint8_t[::1] begin):
    """Whether in any line an object follows on another one, or begins with `begin` further on."""
    cdef size_t at, i, size = lines.shape[0], length = begin.shape[0]
    cdef bint found = False
    with nogil:
        at = find(lines, c'{', 1)
        while at != NOWHERE and not found:
            if lines[at - 1] == c'}':
                found = at > 1 and lines[at - 2] != c'\n'
            if not found and lines[at - 1] != c'\n' and length <= size - at:
                i = 0
                while i < length and lines[at + i] == begin[i]:
                    i += 1
                found = i == length
            at = find(lines, c'{', at + 1)
    return found


def dotted_quads(const uint8_t[::1] data, const int32_t[::1] offsets, uint8_t[::1] found):
    """Tell by text, whose places are `offsets` (texts + 1,), if it is an IPv4 address."""
    cdef size_t row
    cdef int32_t start, end, i
    cdef int dots, digits, octet
    cdef uint8_t c
    cdef bint good
    with nogil:
        for row in range(<size_t>found.shape[0]):
            start, end = offsets[row], offsets[row + 1]
            dots = digits = octet = 0
            good = 7 <= end - start <= 15
            i = start
            while good and i < end:
                c = data[i]
                i += 1
                if c'0' <= c <= c'9':
                    # no leading zero
                    good = digits == 0 or octet > 0
                    octet = 10 * octet + (c - c'0')
                    digits += 1
                    good = good and octet <= 255
                elif c == c'.':
                    good = digits > 0
                    dots += 1
                    digits = octet = 0
                else:
                    good = False
            found[row] = good and dots == 3 and digits > 0


def may_be_unset(
    const uint8_t[::1] data,
    const int32_t[::1] offsets,
    const uint8_t[::1] valid,
    size_t offset,
):
    """Whether any text may stand for none: it is empty, or short and begins as such a text does.

    `valid` are bits, of which that of the first text is at `offset`; no bits are for no nulls.
    """
    cdef Py_ssize_t row
    cdef size_t bit
    cdef int32_t length
    cdef uint8_t first
    cdef bint found = False
    with nogil:
        for row in range(offsets.shape[0] - 1):
            length = offsets[row + 1] - offsets[row]
            if length == 0:
                bit = offset + row
                found = valid.shape[0] == 0 or (valid[bit >> 3] >> (bit & 7)) & 1
            elif length == 1 or length == 7:
                first = data[offsets[row]]
                found = first == c'-' or first == c'('
            if found:
                break
    return found
