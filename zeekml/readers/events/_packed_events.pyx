# cython: boundscheck=True
"""Events packed into bytes, which is how they wait for their flow, and unpacked into columns.

A packed event is the letter of its kind, its time, and its values in the order of `TEXTS` and
`NUMBERS`: a text is its length in two bytes, `NO_TEXT` for none, and its UTF-8. Of DNS the
addresses that were answered follow, after their number in one byte. All of it is of this machine.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t
from libc.string cimport memcmp, memcpy

import numpy as np

from zeekml.readers.events._packed_events cimport MOST_ANSWERS, NO_TEXT, ROOM, Writer

DNS, HTTP, TLS = b"d", b"h", b"t"

cdef uint8_t SIGNATURE = c's'  # what else is remembered of a flow, see `flow_memory`

# by kind, the texts and numbers of an event, by their names in `EVENT`, in the order they have here
TEXTS = {
    DNS: ("name", "query_type", "rcode"),
    HTTP: ("name", "method", "uri", "user_agent", "referrer", "mime_type"),
    TLS: ("name", "version", "subject", "issuer"),
}
NUMBERS = {DNS: ("ttl",), HTTP: ("status",), TLS: ("not_valid_before", "not_valid_after")}

cdef enum:
    HEAD = 9  # kind and time
    MOST_EVENTS = 64  # of a flow
    DNS_TEXTS = 3
    HTTP_TEXTS = 6
    TLS_TEXTS = 4


cdef class Writer:
    """Where one event is put together."""

    cdef int put(self, const void* data, size_t size) except -1:
        if size > ROOM - self.at:
            raise ValueError("an event has more text than any reader lets through")
        memcpy(&self.bytes[self.at], data, size)
        self.at += size
        return 0

    cdef int number(self, double value) except -1:
        return self.put(&value, sizeof(double))

    cdef int text(self, const void* data, size_t size) except -1:
        cdef uint16_t length = <uint16_t>size
        self.put(&length, sizeof(uint16_t))
        return self.put(data, size)

    cdef int no_text(self) except -1:
        cdef uint16_t length = NO_TEXT
        return self.put(&length, sizeof(uint16_t))

    cdef int optional(self, value) except -1:
        """Put a text of Python, or none."""
        cdef bytes data
        if value is None:
            return self.no_text()
        data = value.encode("utf-8", "backslashreplace")
        return self.text(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef int answers(self, values) except -1:
        """Put addresses as texts."""
        cdef uint8_t count = min(len(values), MOST_ANSWERS)
        self.put(&count, 1)
        for value in values[:count]:
            self.optional(value)
        return 0

    cdef int begin(self, uint8_t kind, double ts) except -1:
        self.at = 0
        self.put(&kind, 1)
        return self.number(ts)

    cdef bytes done(self):
        return PyBytes_FromStringAndSize(<char*>&self.bytes[0], self.at)


cdef Writer _writer = Writer()


cdef bint is_unset(const uint8_t[::1] data, int64_t start, int64_t size) except -1:
    """Whether a text stands for none, see `values.UNSET`."""
    if size == 0:
        return True
    if size == 1:
        return data[start] == c'-'
    return size == 7 and memcmp(&data[start], b"(empty)", 7) == 0


cdef int64_t without_port(const uint8_t[::1] data, int64_t start, int64_t size) except -1:
    """The length of a host without the port behind it."""
    cdef int64_t at = start + size
    while at > start and c'0' <= data[at - 1] <= c'9':
        at -= 1
    # a colon and digits behind something, which is a name or in brackets
    if at == start + size or at - 2 < start or data[at - 1] != c':':
        return size
    at -= 1
    if data[at - 1] == c']':
        return at - start
    cdef int64_t other
    for other in range(start, at):
        if data[other] == c':':
            return size
    return at - start


cdef inline double or_nan(value) except? -1.0:
    return NAN if value is None else <double>value


def pack(event):
    """The bytes of an `Event`."""
    cdef Writer w = _writer
    cdef bytes kind = event.kind[:1].encode()
    w.begin(kind[0], or_nan(event.ts))
    for name in TEXTS[kind]:
        w.optional(getattr(event, name))
    for name in NUMBERS[kind]:
        w.number(or_nan(getattr(event, name)))
    if kind == DNS:
        # no answer is another thing than one without an address
        w.answers(event.answers or ())
        w.put(b"\1" if event.answers is not None else b"\0", 1)
    return w.done()


cdef struct Part:
    # a packed event, and the time it is to have
    const uint8_t* data
    Py_ssize_t size
    double ts


cdef inline size_t behind_texts(const uint8_t* data, Py_ssize_t size, int texts) except 0:
    """Where the texts of a packed event end."""
    cdef size_t at = HEAD
    cdef uint16_t length
    cdef int _
    for _ in range(texts):
        if at + 2 > <size_t>size:
            raise ValueError("an event is cut short")
        memcpy(&length, data + at, 2)
        at += 2 + (0 if length == NO_TEXT else length)
    if at > <size_t>size:
        raise ValueError("an event is cut short")
    return at


cdef inline bint is_kind(uint8_t letter) noexcept:
    return letter == c'd' or letter == c'h' or letter == c't'


cdef inline bint answers_to(const Part* answer, const Part* query) except -1:
    """Whether an event of DNS is the answer to another one, which has none yet."""
    cdef size_t ours, theirs
    cdef uint16_t length
    if query.data[0] != c'd' or query.size < HEAD:
        return False
    ours = behind_texts(answer.data, answer.size, 2)
    theirs = behind_texts(query.data, query.size, 2)
    if ours != theirs or memcmp(answer.data + HEAD, query.data + HEAD, ours - HEAD) != 0:
        return False
    memcpy(&length, query.data + theirs, 2)
    return length == NO_TEXT


cdef inline bint is_answer(const Part* event) except -1:
    cdef uint16_t length
    if event.data[0] != c'd':
        return False
    memcpy(&length, event.data + behind_texts(event.data, event.size, 2), 2)
    return length != NO_TEXT


cdef class TextColumn:
    """A column of texts as it grows: where each begins, and all of them."""

    cdef uint8_t[::1] data
    cdef int32_t[::1] offsets
    cdef uint8_t[::1] valid
    cdef Py_ssize_t rows
    cdef int32_t end

    def __cinit__(self, Py_ssize_t rows, Py_ssize_t size):
        self.data = np.empty(max(size, 1), np.uint8)
        self.offsets = np.zeros(rows + 1, np.int32)
        self.valid = np.zeros(rows // 8 + 1, np.uint8)
        self.rows = 0
        self.end = 0

    cdef inline int add(self, const uint8_t* text, size_t size) except -1:
        if self.end + <int64_t>size > self.data.shape[0]:
            raise ValueError("a column has more text than there is")
        if size:
            memcpy(&self.data[self.end], text, size)
        self.end += <int32_t>size
        self.valid[self.rows >> 3] |= <uint8_t>(1 << (self.rows & 7))
        self.rows += 1
        self.offsets[self.rows] = self.end
        return 0

    cdef inline int add_none(self) except -1:
        self.rows += 1
        self.offsets[self.rows] = self.end
        return 0

    cdef tuple buffers(self):
        return np.asarray(self.valid), np.asarray(self.offsets), np.asarray(self.data)[: self.end]


_TEXT_NAMES = tuple(dict.fromkeys(name for names in TEXTS.values() for name in names))
_NUMBER_NAMES = ("ts", *(name for names in NUMBERS.values() for name in names))


def measure(list of_flows not None):
    """How many events flows (n,) have, of how many bytes, and whether any has a signature."""
    cdef Py_ssize_t count = 0, size = 0
    cdef bint signatures = False
    cdef bytes one
    for of_flow in of_flows:
        if of_flow is None:
            continue
        for one in <list?>of_flow:
            if PyBytes_AS_STRING(one)[0] == SIGNATURE:
                signatures = True
            else:
                count += 1
                size += PyBytes_GET_SIZE(one)
    return count, size, signatures


def unpack(list of_flows not None, Py_ssize_t count, Py_ssize_t size):
    """Columns of the events among what was remembered of flows (n,), flow by flow.

    `count` events with `size` bytes are there, see `measure`. Gives where the events of each flow
    begin (n + 1,), whether it has any (n,), the letters of the kinds, numbers by name (NaN for
    none), and by name of a text the bits of valid rows, offsets and bytes; the addresses are such a
    column with where each event's begin, and whether it has any answer.
    """
    cdef int32_t[::1] starts = np.zeros(len(of_flows) + 1, np.int32)
    cdef uint8_t[::1] known = np.zeros(len(of_flows), np.uint8)
    cdef uint8_t[::1] kinds = np.zeros(count, np.uint8)
    cdef dict numbers = {name: np.full(count, np.nan) for name in _NUMBER_NAMES}
    cdef dict texts = {name: TextColumn(count, size) for name in _TEXT_NAMES}
    cdef TextColumn addresses = TextColumn(count * MOST_ANSWERS, size)
    cdef int32_t[::1] address_starts = np.zeros(count + 1, np.int32)
    cdef uint8_t[::1] answered = np.zeros(count, np.uint8)
    cdef double[::1] ts = numbers["ts"], ttl = numbers["ttl"], status = numbers["status"]
    cdef double[::1] before = numbers["not_valid_before"], after = numbers["not_valid_after"]
    cdef list of_kind = [[texts[name] for name in names] for names in TEXTS.values()]
    cdef list without = [
        [texts[name] for name in _TEXT_NAMES if name not in names] for names in TEXTS.values()
    ]
    cdef Part[MOST_EVENTS] parts
    cdef Part* part
    cdef const uint8_t* data
    cdef int n, i, j, _, which
    cdef Py_ssize_t flow, row = 0
    cdef size_t at
    cdef uint16_t length
    cdef uint8_t found
    cdef bytes event
    cdef TextColumn column
    cdef bint placed
    for flow in range(len(of_flows)):
        if of_flows[flow] is not None:
            n = 0
            for event in <list?>of_flows[flow]:
                if PyBytes_AS_STRING(event)[0] == SIGNATURE:
                    continue
                if n == MOST_EVENTS:
                    raise ValueError("a flow has more events than are kept")
                part = &parts[n]
                part.data = <const uint8_t*>PyBytes_AS_STRING(event)
                if PyBytes_GET_SIZE(event) < HEAD or not is_kind(part.data[0]):
                    raise ValueError("what was remembered of a flow is no event")
                part.size = PyBytes_GET_SIZE(event)
                memcpy(&part.ts, part.data + 1, 8)
                placed = False
                if is_answer(part):
                    for j in range(n):
                        if answers_to(part, &parts[j]):
                            part.ts = parts[j].ts
                            parts[j] = part[0]
                            placed = True
                            break
                n += not placed
            if row + n > count:
                raise ValueError("there are more events than were counted")
            known[flow] = n > 0
            for i in range(n):
                data = parts[i].data
                kinds[row] = data[0]
                which = 0 if data[0] == c'd' else 1 if data[0] == c'h' else 2
                behind_texts(data, parts[i].size, len(<list>of_kind[which]))
                at = HEAD
                for column in <list>of_kind[which]:
                    memcpy(&length, data + at, 2)
                    at += 2
                    if length == NO_TEXT:
                        column.add_none()
                    else:
                        column.add(data + at, length)
                        at += length
                for column in <list>without[which]:
                    column.add_none()
                ts[row] = parts[i].ts
                if at + (8 if which < 2 else 16) > <size_t>parts[i].size:
                    raise ValueError("an event is cut short")
                if which == 0:
                    memcpy(&ttl[row], data + at, 8)
                    at += 8
                    if at + 1 > <size_t>parts[i].size:
                        raise ValueError("an event is cut short")
                    found = data[at]
                    at += 1
                    for _ in range(found):
                        if at + 2 > <size_t>parts[i].size:
                            raise ValueError("an event is cut short")
                        memcpy(&length, data + at, 2)
                        at += 2
                        if length == NO_TEXT or at + length > <size_t>parts[i].size:
                            raise ValueError("an event is cut short")
                        addresses.add(data + at, length)
                        at += length
                    if at + 1 > <size_t>parts[i].size:
                        raise ValueError("an event is cut short")
                    answered[row] = data[at]
                elif which == 1:
                    memcpy(&status[row], data + at, 8)
                else:
                    memcpy(&before[row], data + at, 8)
                    memcpy(&after[row], data + at + 8, 8)
                row += 1
                address_starts[row] = <int32_t>addresses.rows
        starts[flow + 1] = <int32_t>row
    return (
        np.asarray(starts),
        np.asarray(known),
        np.asarray(kinds)[:row],
        {name: values[:row] for name, values in numbers.items()},
        {name: (<TextColumn>column).buffers() for name, column in texts.items()},
        (
            addresses.buffers(),
            addresses.rows,
            np.asarray(address_starts)[: row + 1],
            np.asarray(answered)[:row],
        ),
    )
