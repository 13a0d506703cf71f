"""Compiled reading of JSON lines that hold nothing unusual, straight from the bytes of a block.

A line is *plain* when it is one JSON object in strict grammar, all its texts are printable ASCII
without escapes, no wanted key stands in it twice, and every wanted value is of a kind its rule
names. Values of such lines mean the same to any JSON parser, but for numbers beyond a float64: they
are sound JSON that no reader takes. All other lines are only pointed at: they are the business of
a real parser, which may then accept them, explain or skip them.

What was found in a line stands in two arrays of shape (fields, rows): the kind of each value
(`zeekml.readers.formats.json_scanner_values`) and, in 64 bits, the value itself or where its
text is (`span`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.core.jit import njit
from zeekml.readers.formats.json_scanner_values import (
    ABSENT,
    ARRAY,
    CLOSE_ARRAY,
    CLOSE_OBJECT,
    COLON,
    COMMA,
    MINUS,
    NEWLINE,
    NINE,
    NULL,
    OBJECT,
    OPEN_ARRAY,
    OPEN_OBJECT,
    OTHER,
    QUOTE,
    TEXT,
    ZERO,
    Bytes,
    Ints,
    byte_at,
    read_literal,
    read_number,
    read_whole_numbers,
    skip_blank,
    span,
    starts_with,
    text_end,
)

_BUCKETS: Final = 512
_MOST_DEPTH: Final = 60
_LONGEST_TYPE: Final = 64

# what a line was found to be
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


def make_keys(
    rules: dict[str, int],
    *,
    aliases: dict[str, str] | None = None,
    objects: Sequence[str] = (),
    type_key: str | None = None,
    type_text: str = "",
    parsed_type: str = "",
) -> Keys:
    """Lay out the keys of a format.

    Parameters
    ----------
    rules : dict of str to int
        For each field the kinds of values that are plain, or-ed; null and absence always are.
        A field within one of `objects` is called ``object/key``. The order is that of the rows.
        Keys have two letters or more.
    aliases : dict of str to str, optional
        Other keys for a field; a line that has both is not plain.
    objects : sequence of str
        Fields whose values are objects with wanted keys.
    type_key, type_text
        Lines whose text in this field is another one are told apart at once.
    parsed_type
        Lines of this type are not plain.
    """
    names = list(rules)
    spelled = [(name, name) for name in names] + list((aliases or {}).items())
    keys = []
    for key, field in spelled:
        parent, _, own = key.rpartition("/")
        group = objects.index(parent) + 1 if parent else 0
        keys.append((own.encode(), group, names.index(field)))
    text = b"".join(key for key, _, _ in keys)
    offsets = np.cumsum([0] + [len(key) for key, _, _ in keys])
    # a seed under which no two keys share a bucket makes every look-up one comparison
    for seed in range(1, 1 << 12):
        places = [_hash_of(key, group, seed) for key, group, _ in keys]
        if len(set(places)) == len(keys):
            break
    else:
        raise ValueError("no seed separates the keys")
    buckets = np.full(_BUCKETS, -1, np.int32)
    buckets[places] = np.arange(len(keys))
    return Keys(
        buckets=buckets,
        seed=seed,
        text=np.frombuffer(text, np.uint8),
        offsets=offsets.astype(np.int64),
        groups=np.array([group for _, group, _ in keys], np.int64),
        fields=np.array([field for _, _, field in keys], np.int64),
        rules=np.array([rules[name] | NULL for name in names], np.int64),
        opens=np.array([objects.index(n) + 1 if n in objects else 0 for n in names], np.int64),
        type_key=-1 if type_key is None else names.index(type_key),
        type_text=np.frombuffer(type_text.encode(), np.uint8),
        parsed_type=np.frombuffer(parsed_type.encode(), np.uint8),
    )


def _hash_of(key: bytes, group: int, seed: int) -> int:
    # uncompiled, so that importing this costs nothing
    return int(_hash.py_func(list(key), 0, len(key), group, seed))


@njit(cache=True)
def _hash(data: Bytes, start: int, end: int, group: int, seed: int) -> int:
    # five characters and the length tell all keys apart
    length = end - start
    if length < 2:
        return 0
    x = length * 131 + data[start]
    x = x * 131 + data[start + (2 if length > 2 else 1)]
    x = x * 131 + data[start + (length >> 1)]
    x = x * 131 + data[end - 2]
    x = x * 131 + data[end - 1]
    return (((x * 131 + group) * (2 * seed + 1)) >> 13) & (_BUCKETS - 1)


@njit(cache=True)
def _find(data: Bytes, start: int, end: int, group: int, keys: Keys) -> np.int64:
    """Index of a key, -1 if it is not wanted."""
    key = keys.buckets[_hash(data, start, end, group, keys.seed)]
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
def _line_end(data: Bytes, words: npt.NDArray[np.uint64], i: int) -> int:
    """Place of the next newline, eight bytes at a time where it is far."""
    ones = np.uint64(0x0101010101010101)
    while i & 7:
        if byte_at(data, i) == NEWLINE:
            return i
        i += 1
    word = i >> 3
    while word < len(words):
        x = words[word] ^ (ones * np.uint64(NEWLINE))
        if (x - ones) & ~x & (ones * np.uint64(128)):
            break
        word += 1
    i = word << 3
    while byte_at(data, i) != NEWLINE:
        i += 1
    return i


@njit(cache=True)
def _same_text(data: Bytes, start: int, end: int, text: Bytes) -> bool:
    return end - start == len(text) and starts_with(data, start, text)


@njit(cache=True)
def _scan_line(
    data: Bytes,
    i: int,
    keys: Keys,
    kinds: npt.NDArray[np.uint8],
    values: Ints,
    row: int,
) -> tuple[int, int]:
    """Fill one row from one line.

    Returns
    -------
    found, place
        `PLAIN`, `UNUSUAL`, `EMPTY`, or the span of the line's type; and how far it was read.
    """
    begin = i
    i = skip_blank(data, i)
    if byte_at(data, i) == NEWLINE:
        return EMPTY, i
    if byte_at(data, i) != OPEN_OBJECT:
        return UNUSUAL, i
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
                return (PLAIN, i) if byte_at(data, i) == NEWLINE else (UNUSUAL, i)
        else:
            field = -1
            if not in_array:
                if c != QUOTE:
                    return UNUSUAL, begin
                end = text_end(data, i + 1)
                if end < 0:
                    return UNUSUAL, begin
                group = 0 if depth == 1 else (inner_group if depth == 2 else -1)
                if group >= 0:
                    key = _find(data, i + 1, end, group, keys)
                    if key >= 0:
                        field = keys.fields[key]
                        if kinds[field, row]:
                            return UNUSUAL, begin
                if keys.type_key >= 0 and field != keys.type_key:
                    # another key of this name may be what a search for the type finds first
                    at = keys.offsets[keys.type_key]
                    name = keys.text[at : keys.offsets[keys.type_key + 1]]
                    if _same_text(data, i + 1, end, name):
                        return UNUSUAL, begin
                i = skip_blank(data, end + 1)
                if byte_at(data, i) != COLON:
                    return UNUSUAL, begin
                i = skip_blank(data, i + 1)
                c = byte_at(data, i)
            kind = OTHER
            value = np.int64(0)
            opened = False
            if c == QUOTE:
                end = text_end(data, i + 1)
                if end < 0:
                    return UNUSUAL, begin
                kind, value = TEXT, span(i + 1, end)
                i = end + 1
                if field >= 0 and field == keys.type_key:
                    start = value >> 32
                    if not _same_text(data, start, end, keys.type_text):
                        if _same_text(data, start, end, keys.parsed_type):
                            return UNUSUAL, begin
                        return (value if 0 < end - start <= _LONGEST_TYPE else UNUSUAL), end
            elif c == MINUS or ZERO <= c <= NINE:
                i, kind, value = read_number(data, i)
                if i < 0:
                    return UNUSUAL, begin
            elif c == OPEN_OBJECT:
                kind, opened = OBJECT, True
            elif c == OPEN_ARRAY:
                if field >= 0:
                    kind = ARRAY
                    i, value = read_whole_numbers(data, i + 1)
                    if i < 0:
                        return UNUSUAL, begin
                else:
                    opened = True
            else:
                i, kind = read_literal(data, i)
                if i < 0:
                    return UNUSUAL, begin
            if field >= 0:
                if not keys.rules[field] & kind:
                    return UNUSUAL, begin
                kinds[field, row] = kind
                values[field, row] = value
            if opened:
                depth += 1
                if depth > _MOST_DEPTH:
                    return UNUSUAL, begin
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
                return UNUSUAL, begin
        elif byte_at(data, i) != CLOSE_ARRAY and byte_at(data, i) != CLOSE_OBJECT:
            return UNUSUAL, begin


@njit(cache=True, nogil=True)
def scan(
    data: Bytes,
    words: npt.NDArray[np.uint64],
    keys: Keys,
    kinds: npt.NDArray[np.uint8],
    values: Ints,
    rows: Ints,
    others: Ints,
) -> tuple[int, int]:
    """Scan all lines of a block.

    Parameters
    ----------
    data : uint8 array
        Whole lines, each with its newline.
    words : uint64 array
        The same memory without the last bytes that make no whole word.
    keys : Keys
        What to look for.
    kinds, values : arrays of shape (fields, lines)
        `kinds` is zero; both are filled row by row for the plain lines.
    rows : int64 array of shape (lines, 3)
        Gets start, end and number (from 0) of each plain line.
    others : int64 array of shape (lines, 4)
        Gets the same of each other line that is not empty, and the span of its type if that is
        all that has to be known of it, else -1.

    Returns
    -------
    n_rows, n_others : int
    """
    n_rows = 0
    n_others = 0
    line = 0
    start = 0
    while start < len(data):
        found, end = _scan_line(data, start, keys, kinds, values, n_rows)
        if byte_at(data, end) != NEWLINE:
            end = _line_end(data, words, end)
        if found == PLAIN:
            rows[n_rows, 0] = start
            rows[n_rows, 1] = end
            rows[n_rows, 2] = line
            n_rows += 1
        else:
            if n_rows < kinds.shape[1]:
                kinds[:, n_rows] = ABSENT
            if found != EMPTY:
                others[n_others, 0] = start
                others[n_others, 1] = end
                others[n_others, 2] = line
                others[n_others, 3] = found if found >= 0 else -1
                n_others += 1
        start = end + 1
        line += 1
    return n_rows, n_others
