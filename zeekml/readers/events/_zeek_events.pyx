# cython: boundscheck=True
"""Records of Zeek's logs of events, column by column, as packed events."""

from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.math cimport NAN, isnan
from libc.stdint cimport int32_t, int64_t, uint8_t

from zeekml.readers.events._packed_events cimport (
    LONGEST_TEXT, MOST_ANSWERS, MOST_STATUS, Writer, is_unset, without_port,
)

from zeekml.readers.batch_builder import canonical_address

cdef enum:
    MOST_DIGITS = 15

cdef Writer _writer = Writer()


cdef class Texts:
    """A column of texts, from Arrow's buffers."""

    cdef const uint8_t[::1] data
    cdef const int32_t[::1] offsets
    cdef const uint8_t[::1] valid  # a byte for each row

    def __init__(
        self,
        const uint8_t[::1] data,
        const int32_t[::1] offsets,
        const uint8_t[::1] valid,
    ):
        if offsets.shape[0] != valid.shape[0] + 1:
            raise ValueError("a column has another length")
        self.data, self.offsets, self.valid = data, offsets, valid

    cdef inline bint put(self, Writer w, Py_ssize_t row, bint is_name, bint is_host) except -1:
        """Put a text as `event_text`, `event_name` or `event_host` would make it.

        False for one that is too long, or has anything but plain characters.
        """
        cdef int64_t start = self.offsets[row], size = self.offsets[row + 1] - start, at
        cdef size_t begin
        cdef uint8_t c
        if not self.valid[row]:
            w.no_text()
            return True
        if is_name:
            while size and self.data[start + size - 1] == c'.':
                size -= 1
        if size > LONGEST_TEXT:
            return False
        if is_unset(self.data, start, size):
            w.no_text()
            return True
        for at in range(start, start + size):
            c = self.data[at]
            # a backslash may be an escape of the log's
            if c < 32 or c > 126 or c == c'\\':
                return False
        if is_host:
            size = without_port(self.data, start, size)
        begin = w.at + 2
        w.text(&self.data[start], size)
        if is_name:
            for at in range(begin, w.at):
                c = w.bytes[at]
                if c'A' <= c <= c'Z':
                    w.bytes[at] = c + 32
        return True

    cdef inline bint put_first(self, Writer w, Py_ssize_t row) except -1:
        """Put the first member of a vector, or nothing."""
        cdef int64_t start = self.offsets[row], end = self.offsets[row + 1], at
        cdef uint8_t c
        if self.valid[row]:
            at = start
            while at < end and self.data[at] != c',':
                at += 1
            if is_unset(self.data, start, at - start):
                w.no_text()
                return True
            for at in range(start, at):
                c = self.data[at]
                if c < 32 or c > 126 or c == c'\\':
                    return False
            if at + 1 - start > LONGEST_TEXT:
                return False
            w.text(&self.data[start], at + 1 - start)
            return True
        w.no_text()
        return True

    cdef inline bint addresses(self, Py_ssize_t row, list found) except -1:
        """Append the addresses of a vector; False if something in it has to be looked at."""
        cdef int64_t start = self.offsets[row], end = self.offsets[row + 1], at = start, i
        cdef bint likely
        cdef uint8_t c
        if not self.valid[row]:
            return True
        while at <= end:
            if at == end or self.data[at] == c',':
                likely = at > start
                for i in range(start, at):
                    c = self.data[i]
                    if c == c'\\':
                        return False
                    # no address has others than these
                    likely = likely and (
                        c'0' <= c <= c'9' or c'a' <= c <= c'f' or c'A' <= c <= c'F'
                        or c == c'.' or c == c':'
                    )
                if likely and len(found) < MOST_ANSWERS:
                    address = canonical_address(
                        PyUnicode_DecodeASCII(<const char*>&self.data[start], at - start, NULL)
                    )
                    if address is not None:
                        found.append(address)
                start = at + 1
            at += 1
        return True

    cdef inline bint least(self, Py_ssize_t row, double* out) except -1:
        """The least number of a vector, NaN for none; False if something is no plain number."""
        cdef int64_t at = self.offsets[row], end = self.offsets[row + 1], digits = 0
        cdef double value = 0.0, scale = 0.0
        cdef uint8_t c
        out[0] = NAN
        if not self.valid[row] or at == end:
            return True
        while at <= end:
            c = self.data[at] if at < end else c','
            if c'0' <= c <= c'9':
                value = 10.0 * value + (c - c'0')
                scale *= 10.0
                digits += 1
            elif c == c'.' and scale == 0.0 and digits:
                scale = 1.0
            elif c == c',' and 0 < digits <= MOST_DIGITS and scale != 1.0:
                # both are whole numbers below 2^53: the quotient is the nearest number there is
                if scale > 1.0:
                    value /= scale
                if isnan(out[0]) or value < out[0]:
                    out[0] = value
                value, scale, digits = 0.0, 0.0, 0
            else:
                return False
            at += 1
        return True

    cdef inline bint number(self, Py_ssize_t row, double* out) except -1:
        """A short whole number, NaN for none; False if it is no such."""
        cdef int64_t at
        out[0] = NAN
        if not self.valid[row]:
            return True
        if not 0 < self.offsets[row + 1] - self.offsets[row] <= 4:
            return False
        out[0] = 0.0
        for at in range(self.offsets[row], self.offsets[row + 1]):
            if not c'0' <= self.data[at] <= c'9':
                return False
            out[0] = 10.0 * out[0] + (self.data[at] - c'0')
        return True


def pack_columns(bytes kind not None, const double[::1] ts, list columns not None):
    """Packed events of records (rows,); None for those of which each value has to be looked at.

    `kind` is the letter of the packed event, `ts` has NaN for no time; the columns are `Texts`, in
    the order of `zeek_event_decoder`: vectors are texts with commas between their members.
    """
    cdef Writer w = _writer
    cdef Py_ssize_t row
    cdef bint good
    cdef double number = NAN
    cdef list packed = [], found
    cdef uint8_t letter = kind[0]
    cdef Texts a, b, c, d, e, f, g
    cdef Texts column
    for column in columns:
        if column.valid.shape[0] != ts.shape[0]:
            raise ValueError("a column has another length")
    if letter == c'd':
        a, b, c, d, e = columns
    elif letter == c'h':
        a, b, c, d, e, f, g = columns
    else:
        a, b, c, d = columns
    for row in range(ts.shape[0]):
        w.begin(letter, ts[row])
        if letter == c'd':
            found = []
            good = (
                a.put(w, row, True, False)
                and b.put(w, row, False, False)
                and c.put(w, row, False, False)
                and d.addresses(row, found)
                and e.least(row, &number)
            )
            w.number(number)
            w.answers(found)
            w.put(b"\1", 1)
        elif letter == c'h':
            good = (
                a.put(w, row, True, True)
                and b.put(w, row, False, False)
                and c.put(w, row, False, False)
                and d.put(w, row, False, False)
                and e.put(w, row, False, False)
                and f.put_first(w, row)
                and g.number(row, &number)
            )
            w.number(number if number <= MOST_STATUS else NAN)
        else:
            good = (
                a.put(w, row, True, False)
                and b.put(w, row, False, False)
                and c.put(w, row, False, False)
                and d.put(w, row, False, False)
            )
            w.number(NAN)
            w.number(NAN)
        packed.append(w.done() if good else None)
    return packed
