"""Compiled scanner of JSON lines that hold nothing unusual, straight from the bytes of a block.

A line is *plain* when it is one JSON object in strict grammar, all its texts are printable ASCII
without escapes, no wanted key stands in it twice, and every wanted value is of a kind its rule
names. Values of such lines mean the same to any JSON parser, but for numbers beyond a float64: they
are sound JSON that no reader takes. All other lines are only pointed at: they are the business of
a real parser, which may then accept them, explain or skip them.

What was found in a line stands in two arrays of shape (fields, rows): the kind of each value
and, in 64 bits, the value itself or where its text is (`span`).

Bounds: the bytes of a block end in a newline, and nothing here goes beyond one. So no index is
tested against the length of the block; each loop over bytes stops at a newline.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.core.jit import njit

# kinds of values, as bits so that a rule can name several
ABSENT: Final = 0
TEXT: Final = 1  # the value is its span, without quotes
WHOLE: Final = 2  # an integer from 0 to 10**18 - 1
MICROS: Final = 4  # a decimal fraction; its millionths, rounded
DECIMAL: Final = 8  # a decimal fraction whose rounding is too close to call; its span
NULL: Final = 16
OBJECT: Final = 32
ARRAY: Final = 64  # of whole numbers; how many
OTHER: Final = 128  # true, false, negative, huge, …: nothing a rule may name

NUMBER: Final = WHOLE | MICROS | DECIMAL

# below, half a unit in the last place of a float64 is less than a quarter of a microsecond
_MOST_MICROS: Final = 1 << 51

NEWLINE: Final = ord("\n")
QUOTE: Final = ord('"')
COLON: Final = ord(":")
COMMA: Final = ord(",")
OPEN_ARRAY: Final = ord("[")
CLOSE_ARRAY: Final = ord("]")
OPEN_OBJECT: Final = ord("{")
CLOSE_OBJECT: Final = ord("}")
MINUS: Final = ord("-")
PLUS: Final = ord("+")
ZERO: Final = ord("0")
NINE: Final = ord("9")

_POINT: Final = ord(".")
_BLANKS: Final = np.array([c in b" \t\r" for c in range(256)])
_LETTERS_E: Final = (ord("e"), ord("E"))
_NULL: Final = np.frombuffer(b"null", np.uint8)
_TRUE: Final = np.frombuffer(b"true", np.uint8)
_FALSE: Final = np.frombuffer(b"false", np.uint8)
_ENDS_TEXT: Final = np.array([c < 32 or c > 126 or c in b'"\\' for c in range(256)])

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

BUCKETS: Final = 512
_MOST_DEPTH: Final = 60
_LONGEST_TYPE: Final = 64

# what a line was found to be, unless it has another type than the wanted one
PLAIN: Final = -1
UNUSUAL: Final = -2
EMPTY: Final = -3


class Keys(NamedTuple):
    """The wanted keys of one log format, as the compiled code looks them up."""

    buckets: npt.NDArray[np.int32]  # (512,) index of a key by its hash, -1 for none
    seed: int
    text: Bytes  # all keys, one after the other
    offsets: Ints  # (keys + 1,)
    groups: Ints  # (keys,) 0 for keys of the record, else of the object that opened the group
    fields: Ints  # (keys,) row in the arrays
    rules: Ints  # (fields,) kinds that may stand there
    opens: Ints  # (fields,) group of the keys within an object, 0 for none
    type_key: int  # key that tells the type of a record, -1 for none
    type_text: Bytes  # the wanted type
    parsed_type: Bytes  # another type, whose lines are for the parser


@njit(cache=True)
def byte_at(data: Bytes, i: int) -> np.uint8:
    """One byte; an unsigned index spares the test for one that counts from the end."""
    return data[np.uint64(i)]


@njit(cache=True)
def span(start: int, end: int) -> np.int64:
    """Pack the place of a text into 64 bits."""
    return (np.int64(start) << 32) | np.int64(end - start)


@njit(cache=True)
def text_end(data: Bytes, i: int) -> int:
    """Place of the closing quote; -1 when the text is not plain."""
    while not _ENDS_TEXT[byte_at(data, i)]:
        i += 1
    return i if byte_at(data, i) == QUOTE else -1


@njit(cache=True)
def _exponent(data: Bytes, i: int) -> int:
    """Place behind an exponent whose letter is at `i`; -1 for bad grammar."""
    i += 1
    if byte_at(data, i) == PLUS or byte_at(data, i) == MINUS:
        i += 1
    first = i
    while ZERO <= byte_at(data, i) <= NINE:
        i += 1
    return i if i > first else -1


@njit(cache=True)
def read_number(data: Bytes, i: int) -> tuple[int, int, int | np.int64]:
    """Read a number; give its end (-1 for bad grammar), kind and value."""
    start = i
    negative = byte_at(data, i) == MINUS
    if negative:
        i += 1
    first = i
    whole = np.int64(0)
    while ZERO <= byte_at(data, i) <= NINE:
        if i - first < 18:
            whole = whole * 10 + np.int64(byte_at(data, i) - ZERO)
        i += 1
    places = i - first
    if places == 0 or (places > 1 and byte_at(data, first) == ZERO):
        return -1, OTHER, 0
    micros = np.int64(0)
    rest = 0.0
    if byte_at(data, i) == _POINT:
        i += 1
        fraction = i
        for _ in range(6):
            micros *= 10
            if ZERO <= byte_at(data, i) <= NINE:
                micros += np.int64(byte_at(data, i) - ZERO)
                i += 1
        scale = 0.1
        while ZERO <= byte_at(data, i) <= NINE:
            rest += scale * np.float64(byte_at(data, i) - ZERO)
            scale *= 0.1
            i += 1
        if i == fraction:
            return -1, OTHER, 0
    elif byte_at(data, i) not in _LETTERS_E:
        return i, OTHER if negative or places > 18 else WHOLE, whole
    if byte_at(data, i) in _LETTERS_E:
        i = _exponent(data, i)
        return i, OTHER if negative else DECIMAL, span(start, i)
    if negative:
        return i, OTHER, 0
    if places > 10:
        return i, DECIMAL, span(start, i)
    micros += whole * 1_000_000
    # a parser rounds the text to a float64, whose product with 10**6 is rounded again: each
    # time by at most one part in 2**53
    doubt = np.float64(micros) * 2.0**-52 + 1e-6
    if micros >= _MOST_MICROS or abs(rest - 0.5) <= doubt:
        return i, DECIMAL, span(start, i)
    return i, MICROS, micros + (rest > 0.5)


@njit(cache=True)
def skip_blank(data: Bytes, i: int) -> int:
    while _BLANKS[byte_at(data, i)]:
        i += 1
    return i


@njit(cache=True)
def read_whole_numbers(data: Bytes, i: int) -> tuple[int, int]:
    """Read the rest of an array of whole numbers; give its end (-1 for others) and length."""
    n = 0
    i = skip_blank(data, i)
    if byte_at(data, i) == CLOSE_ARRAY:
        return i + 1, 0
    while True:
        i, kind, _ = read_number(data, skip_blank(data, i))
        if i < 0 or kind != WHOLE:
            return -1, 0
        n += 1
        i = skip_blank(data, i)
        if byte_at(data, i) == CLOSE_ARRAY:
            return i + 1, n
        if byte_at(data, i) != COMMA:
            return -1, 0
        i += 1


@njit(cache=True)
def starts_with(data: Bytes, i: int, text: Bytes) -> bool:
    """Whether a text that holds no newline stands at a place."""
    for j in range(len(text)):  # noqa: SIM110 - numba compiles no generators
        if byte_at(data, i + j) != text[j]:
            return False
    return True


@njit(cache=True)
def read_literal(data: Bytes, i: int) -> tuple[int, int]:
    """Read true, false or null; give its end (-1 for anything else) and kind."""
    if starts_with(data, i, _NULL):
        return i + 4, NULL
    if starts_with(data, i, _TRUE):
        return i + 4, OTHER
    if starts_with(data, i, _FALSE):
        return i + 5, OTHER
    return -1, OTHER


@njit(cache=True)
def key_hash(data: Bytes, start: int, end: int, group: int, seed: int) -> int:
    # five characters and the length tell all keys apart
    length = end - start
    if length < 2:
        return 0
    x = length * 131 + data[start]
    x = x * 131 + data[start + (2 if length > 2 else 1)]
    x = x * 131 + data[start + (length >> 1)]
    x = x * 131 + data[end - 2]
    x = x * 131 + data[end - 1]
    return (((x * 131 + group) * (2 * seed + 1)) >> 13) & (BUCKETS - 1)


@njit(cache=True)
def _find(data: Bytes, start: int, end: int, group: int, keys: Keys) -> np.int64:
    """Index of a key, -1 if it is not wanted."""
    key = keys.buckets[key_hash(data, start, end, group, keys.seed)]
    if key < 0 or keys.groups[key] != group:
        return np.int64(-1)
    at = keys.offsets[key]
    if keys.offsets[key + 1] - at != end - start:
        return np.int64(-1)
    for i in range(end - start):
        if byte_at(data, start + i) != keys.text[at + i]:
            return np.int64(-1)
    return np.int64(key)


@njit(cache=True)
def _same_text(data: Bytes, start: int, end: int, text: Bytes) -> bool:
    return end - start == len(text) and starts_with(data, start, text)


@njit(cache=True)
def _scan_line(
    data: Bytes, i: int, keys: Keys, kinds: npt.NDArray[np.uint8], values: Ints, row: int
) -> int | np.int64:
    """Fill one row from one line; give `PLAIN`, `UNUSUAL`, `EMPTY`, or the span of its type."""
    i = skip_blank(data, i)
    if byte_at(data, i) == NEWLINE:
        return EMPTY
    if byte_at(data, i) != OPEN_OBJECT:
        return UNUSUAL
    i = skip_blank(data, i + 1)
    depth = 1
    arrays = np.uint64(0)  # a bit for each depth at which an array is open
    inner_group = -1  # of the keys at depth 2
    while True:
        # here a member of an object, an element of an array, or the end of either begins
        in_array = (arrays >> np.uint64(depth)) & np.uint64(1) == np.uint64(1)
        c = byte_at(data, i)
        if c == (CLOSE_ARRAY if in_array else CLOSE_OBJECT):
            i = skip_blank(data, i + 1)
            arrays &= ~(np.uint64(1) << np.uint64(depth))
            depth -= 1
            if depth == 0:
                return PLAIN if byte_at(data, i) == NEWLINE else UNUSUAL
        else:
            field = -1
            if not in_array:
                if c != QUOTE:
                    return UNUSUAL
                end = text_end(data, i + 1)
                if end < 0:
                    return UNUSUAL
                group = 0 if depth == 1 else (inner_group if depth == 2 else -1)
                if group >= 0:
                    key = _find(data, i + 1, end, group, keys)
                    if key >= 0:
                        field = keys.fields[key]
                        if kinds[field, row]:
                            return UNUSUAL
                if keys.type_key >= 0 and field != keys.type_key:
                    # another key of this name may be what a search for the type finds first
                    at = keys.offsets[keys.type_key]
                    name = keys.text[at : keys.offsets[keys.type_key + 1]]
                    if _same_text(data, i + 1, end, name):
                        return UNUSUAL
                i = skip_blank(data, end + 1)
                if byte_at(data, i) != COLON:
                    return UNUSUAL
                i = skip_blank(data, i + 1)
                c = byte_at(data, i)
            kind = OTHER
            value = np.int64(0)
            opened = False
            if c == QUOTE:
                end = text_end(data, i + 1)
                if end < 0:
                    return UNUSUAL
                kind, value = TEXT, span(i + 1, end)
                i = end + 1
                if field >= 0 and field == keys.type_key:
                    start = value >> 32
                    if not _same_text(data, start, end, keys.type_text):
                        if _same_text(data, start, end, keys.parsed_type):
                            return UNUSUAL
                        return value if 0 < end - start <= _LONGEST_TYPE else UNUSUAL
            elif c == MINUS or ZERO <= c <= NINE:
                i, kind, value = read_number(data, i)
                if i < 0:
                    return UNUSUAL
            elif c == OPEN_OBJECT:
                kind, opened = OBJECT, True
            elif c == OPEN_ARRAY:
                if field >= 0:
                    kind = ARRAY
                    i, value = read_whole_numbers(data, i + 1)
                    if i < 0:
                        return UNUSUAL
                else:
                    opened = True
            else:
                i, kind = read_literal(data, i)
                if i < 0:
                    return UNUSUAL
            if field >= 0:
                if not keys.rules[field] & kind:
                    return UNUSUAL
                kinds[field, row] = kind
                values[field, row] = value
            if opened:
                depth += 1
                if depth > _MOST_DEPTH:
                    return UNUSUAL
                if c == OPEN_ARRAY:
                    arrays |= np.uint64(1) << np.uint64(depth)
                if depth == 2:
                    inner_group = keys.opens[field] if field >= 0 and keys.opens[field] else -1
                i = skip_blank(data, i + 1)
                continue
        # behind a value: another one or the end
        i = skip_blank(data, i)
        if byte_at(data, i) == COMMA:
            i = skip_blank(data, i + 1)
            if byte_at(data, i) == CLOSE_ARRAY or byte_at(data, i) == CLOSE_OBJECT:
                return UNUSUAL
        elif byte_at(data, i) != CLOSE_ARRAY and byte_at(data, i) != CLOSE_OBJECT:
            return UNUSUAL


@njit(cache=True, nogil=True)
def scan(
    data: Bytes,
    ends: Ints,
    keys: Keys,
    kinds: npt.NDArray[np.uint8],
    values: Ints,
    rows: Ints,
    others: Ints,
) -> tuple[int, int]:
    """Scan all lines of a block, of which `ends` has the places of the newlines (lines,).

    `kinds`, which is zero, and `values` (fields, lines) are filled row by row for the plain lines.
    `rows` (lines, 3) gets start, end and number (from 0) of each plain line; `others` (lines, 4)
    the same of each other line that is not empty, and the span of its type if that is all that has
    to be known of it, else -1. How many rows and others there are is returned.
    """
    n_rows = 0
    n_others = 0
    start = 0
    for line in range(len(ends)):
        end = ends[line]
        found = _scan_line(data, start, keys, kinds, values, n_rows)
        if found == PLAIN:
            rows[n_rows, 0] = start
            rows[n_rows, 1] = end
            rows[n_rows, 2] = line
            n_rows += 1
        else:
            kinds[:, n_rows] = ABSENT
            if found != EMPTY:
                others[n_others, 0] = start
                others[n_others, 1] = end
                others[n_others, 2] = line
                others[n_others, 3] = max(found, -1)
                n_others += 1
        start = end + 1
    return n_rows, n_others
