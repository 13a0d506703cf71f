# cython: boundscheck=True
"""Suricata's lines of events as the scanner found them, packed without a parser."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t, uint8_t, uint16_t
from libc.string cimport memcmp, memcpy

from zeekml.readers.events._packed_events cimport (
    LONGEST_TEXT, MOST_ANSWERS, MOST_STATUS, Writer, is_unset, without_port,
)
from zeekml.readers.formats._json_scanner cimport OBJECT, TEXT, WHOLE, span_size, span_start
from zeekml.readers.formats._json_times cimport second_of

from zeekml.readers.batch_builder import canonical_address

cdef enum:
    MOST_DIGITS = 15
    SECOND_SIZE = 19  # 2026-11-23T10:30:48

cdef double MIXED = -1.0  # in place of a TTL: a list that only a parser reads

cdef Writer _writer = Writer()

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


def pack_lines(
    const uint8_t[::1] data,
    const uint8_t[:, :] kinds,
    const int64_t[:, :] values,
    const double[::1] ts,
):
    """Packed events of lines (rows,) as the scanner found them; None for what needs a parser."""
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
            if (
                memcmp(&lines.data[start], b"TLS 1.", 6) == 0
                and c'0' <= lines.data[start + 6] <= c'3'
            ):
                memcpy(&text[0], b"TLSv1", 5)
                text[5] = lines.data[start + 6]
                lines.w.text(&text[0], 6)
                return True
    return lines.put_text(VERSION, False, False)
