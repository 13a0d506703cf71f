"""Compiled reading of single values in plain JSON, each from the bytes of a block.

All functions rely on a newline at the end of the bytes: nothing here goes beyond one.
"""

from __future__ import annotations

from typing import Final

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
