# cython: boundscheck=True, show_performance_hints=False
"""Scanner of JSON lines that hold nothing unusual, straight from the bytes of a block.

A line is *plain* when it is one JSON object in strict grammar, all its texts are printable ASCII
without escapes, no wanted key stands in it twice, and every wanted value is of a kind its rule
names. Values of such lines mean the same to any JSON parser, but for numbers beyond a float64: they
are sound JSON that no reader takes. All other lines are only pointed at: they are the business of
a real parser, which may then accept them, explain or skip them.

What was found in a line stands in two arrays of shape (fields, rows): the kind of each value
and, in 64 bits, the value itself or where its text is (`span`).

The bytes of a block end in a newline, and nothing here goes beyond one. Every access tests its
index all the same: were that wrong, an IndexError would come of it.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp

from zeekml.readers.formats._json_scanner cimport ABSENT, OBJECT, TEXT, span
from zeekml.readers.formats._json_values cimport (
    BAD, Value, is_blank, is_digit, read_literal, read_number, read_whole_numbers,
)

cdef enum:
    BUCKETS = 512
    MOST_KEYS = 128
    MOST_DEPTH = 60
    LONGEST_TYPE = 64
    NO_KEY = -1
    # texts behind the keys
    TYPE_NAME = 0
    WANTED_TYPE = 1
    PARSED_TYPE = 2
    # what a line was found to be, unless it has another type than the wanted one
    PLAIN = -1
    UNUSUAL = -2
    EMPTY = -3
    FAILED = -4  # by an exception

cdef uint8_t[256] ENDS_TEXT
cdef int _c
for _c in range(256):
    ENDS_TEXT[_c] = _c < 32 or _c > 126 or _c in b'"\\'


cdef inline uint32_t key_hash(
    const uint8_t[::1] data, size_t start, size_t length, int group, uint64_t seed
) except? 0xFFFFFFFF nogil:
    # five characters and the length tell all keys apart
    if length < 2:
        return 0
    cdef uint64_t x = length * 131 + data[start]
    x = x * 131 + data[start + (2 if length > 2 else 1)]
    x = x * 131 + data[start + (length >> 1)]
    x = x * 131 + data[start + length - 2]
    x = x * 131 + data[start + length - 1]
    return (((x * 131 + group) * (2 * seed + 1)) >> 13) & (BUCKETS - 1)


@cython.final
cdef class Keys:
    """The wanted keys of one log format, as they are looked up.

    Parameters
    ----------
    keys
        Name, group and field of each: the group is 0 for keys of the record, else that of the
        object around it; the field is the row in the arrays.
    rules
        By field, the kinds that may stand there. Where `OBJECT` may, and opens no group, so may an
        array of anything; its value is the span of it all.
    opens
        By field, the group of the keys within an object, 0 for none.
    type_field, types
        The field that tells the type of a record, -1 for none; its name, the wanted type, and
        another one, whose lines are for the parser.
    """

    cdef int32_t[BUCKETS] buckets  # a key by its hash
    cdef uint64_t seed
    cdef const uint8_t[::1] text  # all keys, one after the other, and the texts of `types`
    cdef size_t[MOST_KEYS + 4] offsets
    cdef int32_t[MOST_KEYS] groups
    cdef int32_t[MOST_KEYS] fields
    cdef int32_t[MOST_KEYS] rules
    cdef int32_t[MOST_KEYS] opens
    cdef int32_t type_field
    cdef int32_t count

    def __init__(self, list keys, list rules, list opens, int type_field, tuple types):
        cdef int i
        if len(keys) > MOST_KEYS or len(rules) > len(keys) or len(opens) != len(rules):
            raise ValueError("more keys than can be looked up")
        texts = [*(name for name, _, _ in keys), *types]
        self.text = b"".join(texts)
        self.offsets[0] = 0
        for i, text in enumerate(texts):
            self.offsets[i + 1] = self.offsets[i] + len(text)
        for i, (_, group, field) in enumerate(keys):
            if not 0 <= field < len(rules):
                raise ValueError("a key belongs to no field")
            self.groups[i] = group
            self.fields[i] = field
        for i in range(len(rules)):
            self.rules[i] = rules[i]
            self.opens[i] = opens[i]
        self.count = len(keys)
        self.type_field = type_field
        # under a seed with which no two keys share a bucket, every look-up is one comparison
        self.seed = 1
        while not self.are_apart():
            self.seed += 1
            if self.seed == 1 << 12:
                raise ValueError("no seed separates the keys")

    cdef bint are_apart(self) except -1:
        cdef int i
        cdef uint32_t at
        for i in range(BUCKETS):
            self.buckets[i] = NO_KEY
        for i in range(self.count):
            at = key_hash(
                self.text, self.offsets[i], self.offsets[i + 1] - self.offsets[i],
                self.groups[i], self.seed,
            )
            if self.buckets[at] != NO_KEY:
                return False
            self.buckets[at] = i
        return True


@cython.final
cdef class Scan:
    """One pass over the lines of a block.

    Functions that read something give the place behind it, or `BAD`.
    """

    cdef const uint8_t[::1] data
    cdef uint8_t[:, ::1] kinds
    cdef int64_t[:, ::1] values
    cdef Keys keys
    # most lines of a log have their keys in one order: what came after each the last time
    cdef int32_t[MOST_KEYS + 1] follows

    def __init__(self, const uint8_t[::1] data, Keys keys not None, kinds, values):
        cdef int i
        self.data = data
        self.keys = keys
        self.kinds = kinds
        self.values = values
        for i in range(MOST_KEYS + 1):
            self.follows[i] = NO_KEY

    cdef inline size_t skip_blank(self, size_t i) except? 0 nogil:
        while is_blank(self.data[i]):
            i += 1
        return i

    cdef inline size_t text_end(self, size_t i) except? 0 nogil:
        """Place of the closing quote."""
        while not ENDS_TEXT[self.data[i]]:
            i += 1
        return i if self.data[i] == c'"' else BAD

    cdef inline bint has_text(self, size_t i, size_t length, size_t text) except -1 nogil:
        """Whether a piece of the block is one of the keys' texts."""
        cdef size_t first = self.keys.offsets[text], size = self.data.shape[0]
        if length != self.keys.offsets[text + 1] - first or i >= size or length > size - i:
            return False
        # the texts of the keys are as long as their offsets say
        return length == 0 or memcmp(&self.data[i], &self.keys.text[first], length) == 0

    cdef inline int32_t find(self, size_t i, size_t length, int32_t group) except -2 nogil:
        """Which of the wanted keys of a group stands at a place; -1 for none."""
        cdef int32_t key = self.keys.buckets[
            key_hash(self.data, i, length, group, self.keys.seed) & (BUCKETS - 1)
        ]
        if key >= 0 and self.keys.groups[key] == group and self.has_text(i, length, key):
            return key
        return NO_KEY

    cdef int64_t scan_line(self, size_t i, size_t row, size_t* line_end) except -4 nogil:
        """Fill one row from one line; give `PLAIN`, `UNUSUAL`, `EMPTY`, or the span of its type.

        Where a plain line ends is put out.
        """
        cdef int depth = 1
        cdef uint64_t arrays = 0  # a bit for each depth at which an array is open
        cdef int32_t inner_group = NO_KEY  # of the keys at depth 2
        cdef int32_t last = NO_KEY, key, group, field, count = self.keys.count
        cdef int32_t type_field = self.keys.type_field
        cdef size_t end, length
        cdef int32_t raw_field = -1
        cdef int raw_depth = 0
        cdef size_t raw_start = 0
        cdef bint in_array, opened
        cdef uint8_t c
        cdef Value value
        i = self.skip_blank(i)
        if self.data[i] == c'\n':
            return EMPTY
        if self.data[i] != c'{':
            return UNUSUAL
        i = self.skip_blank(i + 1)
        while True:
            # here a member of an object, an element of an array, or the end of either begins
            in_array = (arrays >> depth) & 1
            c = self.data[i]
            if c == (c']' if in_array else c'}'):
                if raw_field >= 0 and depth == raw_depth:
                    self.values[raw_field, row] = span(raw_start, i + 1)
                    raw_field = -1
                i = self.skip_blank(i + 1)
                arrays &= ~(<uint64_t>1 << depth)
                depth -= 1
                if depth == 0:
                    line_end[0] = i
                    return PLAIN if self.data[i] == c'\n' else UNUSUAL
            else:
                field = -1
                if not in_array:
                    if c != c'"':
                        return UNUSUAL
                    i += 1
                    group = 0 if depth == 1 else inner_group if depth == 2 else -1
                    key = self.follows[last + 1]
                    length = 0
                    if key >= 0 and self.keys.groups[key] == group:
                        length = self.keys.offsets[key + 1] - self.keys.offsets[key]
                        if not self.has_text(i, length, key) or self.data[i + length] != c'"':
                            length = 0
                    if length == 0:
                        end = self.text_end(i)
                        if end == BAD:
                            return UNUSUAL
                        length = end - i
                        key = self.find(i, length, group) if group >= 0 else NO_KEY
                    if key >= 0:
                        self.follows[last + 1] = key
                        last = key
                        field = self.keys.fields[key]
                        if self.kinds[field, row]:
                            return UNUSUAL
                    if type_field >= 0 and field != type_field:
                        # another key of this name may be what a search for the type finds first
                        if self.has_text(i, length, count + TYPE_NAME):
                            return UNUSUAL
                    i = self.skip_blank(i + length + 1)
                    if self.data[i] != c':':
                        return UNUSUAL
                    i = self.skip_blank(i + 1)
                    c = self.data[i]
                opened = False
                if c == c'"':
                    i += 1
                    end = self.text_end(i)
                    if end == BAD:
                        return UNUSUAL
                    value.kind, value.number = TEXT, span(i, end)
                    if field >= 0 and field == type_field:
                        length = end - i
                        if not self.has_text(i, length, count + WANTED_TYPE):
                            if self.has_text(i, length, count + PARSED_TYPE):
                                return UNUSUAL
                            return value.number if 0 < length <= LONGEST_TYPE else UNUSUAL
                    i = end + 1
                elif c == c'-' or is_digit(c):
                    i = read_number(self.data, i, &value)
                elif c == c'{':
                    value.kind, value.number, opened = OBJECT, 0, True
                elif c == c'[':
                    if field >= 0 and not (
                        self.keys.rules[field] & OBJECT and self.keys.opens[field] == 0
                    ):
                        i = read_whole_numbers(self.data, i + 1, &value)
                    else:
                        value.kind, value.number, opened = OBJECT, 0, True
                        if field >= 0:
                            raw_field, raw_depth, raw_start = field, depth + 1, i
                else:
                    i = read_literal(self.data, i, &value)
                if i == BAD:
                    return UNUSUAL
                if field >= 0:
                    if not self.keys.rules[field] & value.kind:
                        return UNUSUAL
                    self.kinds[field, row] = value.kind
                    self.values[field, row] = value.number
                if opened:
                    depth += 1
                    if depth > MOST_DEPTH:
                        return UNUSUAL
                    if c == c'[':
                        arrays |= <uint64_t>1 << depth
                    if depth == 2:
                        inner_group = NO_KEY
                        if field >= 0 and self.keys.opens[field]:
                            inner_group = self.keys.opens[field]
                    i = self.skip_blank(i + 1)
                    continue
            # behind a value: another one or the end
            i = self.skip_blank(i)
            if self.data[i] == c',':
                i = self.skip_blank(i + 1)
                if self.data[i] == c']' or self.data[i] == c'}':
                    return UNUSUAL
            elif self.data[i] != c']' and self.data[i] != c'}':
                return UNUSUAL

    cdef inline size_t newline(self, size_t i) except? 0 nogil:
        """Place of the next newline."""
        cdef const uint8_t* start = &self.data[i]
        cdef const void* found = memchr(start, c'\n', self.data.shape[0] - i)
        if not found:
            with gil:
                raise ValueError("no newline ends the last line")
        return i + (<const uint8_t*>found - start)


def scan_some(
    const uint8_t[::1] data,
    Keys keys not None,
    const int64_t[:, ::1] lines,
    uint8_t[:, ::1] kinds,
    int64_t[:, ::1] values,
    int64_t[:, ::1] rows,
    int64_t[:, ::1] others,
):
    """Scan the lines (n, 3) of which start, end and number are given; else as `scan`.

    The type of others is not told.
    """
    cdef Scan scanned = Scan(data, keys, kinds, values)
    cdef size_t n_rows = 0, n_others = 0, end = 0, field, part
    cdef Py_ssize_t line
    with nogil:
        for line in range(lines.shape[0]):
            if scanned.scan_line(<size_t>lines[line, 0], n_rows, &end) == PLAIN:
                for part in range(3):
                    rows[n_rows, part] = lines[line, part]
                n_rows += 1
                continue
            for field in range(<size_t>kinds.shape[0]):
                kinds[field, n_rows] = ABSENT
            for part in range(3):
                others[n_others, part] = lines[line, part]
            others[n_others, 3] = -1
            n_others += 1
    return n_rows, n_others


def scan(
    const uint8_t[::1] data,
    Keys keys not None,
    uint8_t[:, ::1] kinds,
    int64_t[:, ::1] values,
    int64_t[:, ::1] rows,
    int64_t[:, ::1] others,
):
    """Scan all lines of a block; give how many rows and others there are.

    `kinds`, which is zero, and `values` (fields, lines) are filled row by row for the plain lines.
    `rows` (lines, 3) gets start, end and number (from 0) of each plain line; `others` (lines, 4)
    the same of each other line that is not empty, and the span of its type if that is all that has
    to be known of it, else -1.
    """
    cdef Scan lines = Scan(data, keys, kinds, values)
    cdef size_t size = data.shape[0], start = 0, end = 0, n_rows = 0, n_others = 0, field
    cdef int64_t found, line = 0
    with nogil:
        while start < size:
            found = lines.scan_line(start, n_rows, &end)
            if found == PLAIN:
                rows[n_rows, 0] = start
                rows[n_rows, 1] = end
                rows[n_rows, 2] = line
                n_rows += 1
            else:
                end = lines.newline(start)
                if found != EMPTY:
                    for field in range(<size_t>kinds.shape[0]):
                        kinds[field, n_rows] = ABSENT
                    others[n_others, 0] = start
                    others[n_others, 1] = end
                    others[n_others, 2] = line
                    others[n_others, 3] = max(found, -1)
                    n_others += 1
            line += 1
            start = end + 1
    return n_rows, n_others
