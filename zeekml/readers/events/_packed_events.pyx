# cython: boundscheck=True
"""Events packed into bytes, which is how they wait for their flow, and unpacked into columns.

A packed event is the letter of its kind, its time, and its values in the order of `TEXTS` and
`NUMBERS`: a text is its length in two bytes, `NO_TEXT` for none, and its UTF-8. Of DNS the
addresses that were answered follow, after their number in one byte. All of it is of this machine.
"""

from cpython.unicode cimport PyUnicode_DecodeASCII
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport NAN, isnan
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t
from libc.string cimport memcmp, memcpy

import numpy as np

from zeekml.readers.formats._json_scanner cimport (
    OBJECT, TEXT, WHOLE, span_size, span_start,
)
from zeekml.readers.formats._json_times cimport second_of

from zeekml.readers.batch_builder import canonical_address

cdef enum:
    NO_TEXT = 0xFFFF
    LONGEST_TEXT = 255
    MOST_ANSWERS = 16
    MOST_STATUS = 999
    MOST_DIGITS = 15
    SECOND_SIZE = 19  # 2026-11-23T10:30:48
    ROOM = 16384  # more than the texts and addresses of any event can take

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


cdef double MIXED = -1.0  # in place of a TTL: a list that only a parser reads


cdef class Writer:
    """Where one event is put together."""

    cdef uint8_t[ROOM] bytes
    cdef size_t at

    cdef inline int put(self, const void* data, size_t size) except -1:
        if size > ROOM - self.at:
            raise ValueError("an event has more text than any reader lets through")
        memcpy(&self.bytes[self.at], data, size)
        self.at += size
        return 0

    cdef inline int number(self, double value) except -1:
        return self.put(&value, sizeof(double))

    cdef inline int text(self, const void* data, size_t size) except -1:
        cdef uint16_t length = <uint16_t>size
        self.put(&length, sizeof(uint16_t))
        return self.put(data, size)

    cdef inline int no_text(self) except -1:
        cdef uint16_t length = NO_TEXT
        return self.put(&length, sizeof(uint16_t))

    cdef inline int optional(self, value) except -1:
        """Put a text of Python, or none."""
        cdef bytes data
        if value is None:
            return self.no_text()
        data = value.encode("utf-8", "backslashreplace")
        return self.text(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef inline int answers(self, values) except -1:
        """Put addresses as texts."""
        cdef uint8_t count = min(len(values), MOST_ANSWERS)
        self.put(&count, 1)
        for value in values[:count]:
            self.optional(value)
        return 0

    cdef inline int begin(self, uint8_t kind, double ts) except -1:
        self.at = 0
        self.put(&kind, 1)
        return self.number(ts)

    cdef inline bytes done(self):
        return PyBytes_FromStringAndSize(<char*>&self.bytes[0], self.at)


cdef Writer _writer = Writer()


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


# the columns of what the scanner finds in lines of events, see `event_lines`
cdef enum:
    TIMESTAMP = 1
    EVENT_TYPE = 2
    DNS_BODY = 3
    HTTP_BODY = 4
    TLS_BODY = 5
    DNS_TYPE = 6
    RRNAME = 7
    RRTYPE = 8
    RCODE = 9
    HOSTNAME = 10
    METHOD = 11
    URL = 12
    USER_AGENT = 13
    REFERRER = 14
    CONTENT_TYPE = 15
    STATUS = 16
    SNI = 17
    VERSION = 18
    SUBJECT = 19
    ISSUER = 20
    NOT_BEFORE = 21
    NOT_AFTER = 22
    ANSWERS = 23
    QUERIES = 24
    GROUPED = 25
    RDATA = 26
    SCANNED = 27


cdef class Lines:
    """Lines of events in which nothing unusual stands, as the scanner found them."""

    cdef const uint8_t[::1] data
    cdef const uint8_t[:, :] kinds
    cdef const int64_t[:, :] values
    cdef Writer w
    cdef Py_ssize_t row

    cdef inline bint says(self, int field, bytes text) except -1:
        """Whether a text is this one."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
        cdef int64_t start
        if self.kinds[field, self.row] != TEXT or span_size(self.values[field, self.row]) != size:
            return False
        start = span_start(self.values[field, self.row])
        return memcmp(&self.data[start], PyBytes_AS_STRING(text), size) == 0

    cdef inline bint put_text(self, int field, bint is_name, bint is_host) except -1:
        """Put a text as `event_text`, `event_name` or `event_host` would make it.

        False for one that is too long to be put as it is.
        """
        cdef int64_t start, size
        cdef size_t at, begin
        cdef uint8_t c
        if self.kinds[field, self.row] != TEXT:
            self.w.no_text()
            return True
        start = span_start(self.values[field, self.row])
        size = span_size(self.values[field, self.row])
        if is_name:
            while size and self.data[start + size - 1] == c'.':
                size -= 1
        if size > LONGEST_TEXT:
            return False
        if is_unset(self.data, start, size):
            self.w.no_text()
            return True
        if is_host:
            size = without_port(self.data, start, size)
        begin = self.w.at + sizeof(uint16_t)
        self.w.text(&self.data[start], size)
        if is_name:
            for at in range(begin, self.w.at):
                c = self.w.bytes[at]
                if c'A' <= c <= c'Z':
                    self.w.bytes[at] = c + 32
        return True


    cdef inline bint put_second(self, int field) except -1:
        """Put a time in a certificate; False for one that a parser has to read."""
        cdef int64_t second
        if self.kinds[field, self.row] != TEXT:
            self.w.number(NAN)
            return True
        if span_size(self.values[field, self.row]) != SECOND_SIZE:
            return False
        second = second_of(self.data, span_start(self.values[field, self.row]))
        if second < 0:
            return False
        self.w.number(<double>second)
        return True

    cdef inline bint put_answer(self) except -1:
        """Put what answered a query of DNS, if anything did; False if a parser has to read it."""
        cdef double ttl = NAN
        cdef list addresses = []
        cdef bint good = True
        if not (self.says(DNS_TYPE, b"answer") or self.says(DNS_TYPE, b"response")):
            self.w.no_text()
            self.w.number(NAN)
            self.w.put(b"\0\0", 2)
            return True
        if self.kinds[ANSWERS, self.row] == OBJECT:
            ttl = read_records(self.data, self.values[ANSWERS, self.row], addresses)
            if ttl == MIXED:
                return False
        elif self.kinds[GROUPED, self.row] == OBJECT or self.kinds[RDATA, self.row] == TEXT:
            return False
        if self.kinds[RCODE, self.row] != TEXT or is_unset(
            self.data,
            span_start(self.values[RCODE, self.row]),
            span_size(self.values[RCODE, self.row]),
        ):
            self.w.text(b"NOERROR", 7)
        else:
            good = self.put_text(RCODE, False, False)
        self.w.number(ttl)
        self.w.answers(addresses)
        self.w.put(b"\1", 1)
        return good


cdef double read_records(const uint8_t[::1] data, int64_t place, list addresses) except? -2.0:
    """The least TTL of a list of records, NaN for none, whose addresses are appended; or `MIXED`.

    The scanner found sound JSON without escapes there. Records are objects of texts and whole
    numbers; anything else is for a parser.
    """
    cdef size_t at = span_start(place), end = at + span_size(place), start, size
    cdef size_t key, key_size, rdata = 0, rdata_size = 0
    cdef double least = NAN, ttl = NAN
    cdef bint is_address = False, in_record = False
    cdef uint8_t c
    if at == end or data[at] != c'[':
        return MIXED
    at += 1
    while at < end:
        c = data[at]
        if c == c'{':
            if in_record:
                return MIXED
            in_record, is_address, rdata_size, ttl = True, False, 0, NAN
            at += 1
        elif c == c'}':
            if is_address and rdata_size and len(addresses) < MOST_ANSWERS:
                address = canonical_address(
                    PyUnicode_DecodeASCII(<const char*>&data[rdata], rdata_size, NULL)
                )
                if address is not None:
                    addresses.append(address)
            if ttl < least or isnan(least):
                least = ttl
            in_record = False
            at += 1
        elif c == c'"' and in_record:
            key = at + 1
            at = key
            while data[at] != c'"':
                at += 1
            key_size = at - key
            at += 1
            while data[at] == c' ' or data[at] == c':' or data[at] == c'\t':
                at += 1
            c = data[at]
            start = at
            if c == c'"':
                start = at + 1
                at = start
                while data[at] != c'"':
                    at += 1
                size = at - start
                at += 1
                if key_size == 6 and memcmp(&data[key], b"rrtype", 6) == 0:
                    is_address = (size == 1 and data[start] == c'A') or (
                        size == 4 and memcmp(&data[start], b"AAAA", 4) == 0
                    )
                elif key_size == 5 and memcmp(&data[key], b"rdata", 5) == 0:
                    rdata, rdata_size = start, size
                elif key_size == 3 and memcmp(&data[key], b"ttl", 3) == 0:
                    return MIXED
            elif c'0' <= c <= c'9':
                if not (key_size == 3 and memcmp(&data[key], b"ttl", 3) == 0):
                    return MIXED
                ttl = 0.0
                while c'0' <= data[at] <= c'9':
                    ttl = 10.0 * ttl + (data[at] - c'0')
                    at += 1
                c = data[at]
                if at - start > MOST_DIGITS or not (c == c',' or c == c'}' or c == c' '):
                    return MIXED
            else:
                return MIXED
        elif c == c',' or c == c' ' or c == c'\t' or c == c']':
            at += 1
        else:
            return MIXED
    return least


cdef inline bint is_unset(const uint8_t[::1] data, int64_t start, int64_t size) except -1:
    """Whether a text stands for none, see `values.UNSET`."""
    if size == 0:
        return True
    if size == 1:
        return data[start] == c'-'
    return size == 7 and memcmp(&data[start], b"(empty)", 7) == 0


cdef inline int64_t without_port(const uint8_t[::1] data, int64_t start, int64_t size) except -1:
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


def pack_lines(
    const uint8_t[::1] data,
    const uint8_t[:, :] kinds,
    const int64_t[:, :] values,
    const double[::1] ts,
):
    """Packed events of lines (rows,) as the scanner found them; None for those a parser must read."""
    cdef Lines lines = Lines.__new__(Lines)
    cdef Writer w = _writer
    cdef Py_ssize_t row
    cdef bint good
    cdef list packed = []
    if kinds.shape[0] != SCANNED or values.shape[0] != SCANNED:
        raise ValueError("fields of events are missing")
    lines.data, lines.kinds, lines.values, lines.w = data, kinds, values, w
    for row in range(kinds.shape[1]):
        lines.row = row
        if lines.says(EVENT_TYPE, b"dns") and kinds[DNS_BODY, row] == OBJECT:
            w.begin(c'd', ts[row])
            good = (
                kinds[QUERIES, row] != OBJECT
                and lines.put_text(RRNAME, True, False)
                and lines.put_text(RRTYPE, False, False)
                and lines.put_answer()
            )
        elif lines.says(EVENT_TYPE, b"http") and kinds[HTTP_BODY, row] == OBJECT:
            w.begin(c'h', ts[row])
            good = (
                lines.put_text(HOSTNAME, True, True)
                and lines.put_text(METHOD, False, False)
                and lines.put_text(URL, False, False)
                and lines.put_text(USER_AGENT, False, False)
                and lines.put_text(REFERRER, False, False)
                and lines.put_text(CONTENT_TYPE, False, False)
            )
            if kinds[STATUS, row] == WHOLE and values[STATUS, row] <= MOST_STATUS:
                w.number(values[STATUS, row])
            else:
                w.number(NAN)
        elif lines.says(EVENT_TYPE, b"tls") and kinds[TLS_BODY, row] == OBJECT:
            w.begin(c't', ts[row])
            good = (
                lines.put_text(SNI, True, False)
                and put_version(lines)
                and lines.put_text(SUBJECT, False, False)
                and lines.put_text(ISSUER, False, False)
                and lines.put_second(NOT_BEFORE)
                and lines.put_second(NOT_AFTER)
            )
        else:
            good = False
        packed.append(w.done() if good else None)
    return packed


cdef inline bint put_version(Lines lines) except -1:
    """Put a version of TLS as Zeek writes it."""
    cdef int64_t start = span_start(lines.values[VERSION, lines.row])
    cdef uint8_t[7] text
    if lines.says(VERSION, b"TLSv1"):
        lines.w.text(b"TLSv10", 6)
        return True
    if lines.kinds[VERSION, lines.row] == TEXT:
        if span_size(lines.values[VERSION, lines.row]) == 7:
            if memcmp(&lines.data[start], b"TLS 1.", 6) == 0 and c'0' <= lines.data[start + 6] <= c'3':
                memcpy(&text[0], b"TLSv1", 5)
                text[5] = lines.data[start + 6]
                lines.w.text(&text[0], 6)
                return True
    return lines.put_text(VERSION, False, False)


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
    ours, theirs = behind_texts(answer.data, answer.size, 2), behind_texts(query.data, query.size, 2)
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
    cdef int n, i, j, which
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
                    for j in range(found):
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
