"""What is wrong with places or sizes is refused: no compiled code reads or writes outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zeekml.readers.formats import _json_columns
from zeekml.readers.formats._json_scanner import ARRAY, TEXT, WHOLE, scan
from zeekml.readers.formats.json_columns import make_keys

KEYS = make_keys({"text": TEXT, "whole": WHOLE | ARRAY})
LINE = b'{ "text":"abc","a":[true,null,false,{"b":-1.25e+10}],"c":0.12345678,"whole":[ 12 ,3] }\n'


def arrays(fields: int = 2, lines: int = 3) -> tuple[Any, ...]:
    return (
        np.zeros((fields, lines), np.uint8),
        np.zeros((fields, lines), np.int64),
        np.zeros((lines, 3), np.int64),
        np.zeros((lines, 4), np.int64),
    )


@pytest.mark.parametrize("length", range(1, len(LINE)))
def test_lines_that_nothing_ends(length: int) -> None:
    # what stands behind the end of the block would make them whole
    for lines in (LINE, 2 * LINE):
        data = np.frombuffer(lines, np.uint8)[: len(lines) - len(LINE) + length]
        with pytest.raises((IndexError, ValueError)):
            scan(data, KEYS, *arrays())


@pytest.mark.parametrize("line", [LINE, b"[]\n"])
def test_arrays_that_are_too_small(line: bytes) -> None:
    assert sum(scan(3 * line, KEYS, *arrays())) == 3
    with pytest.raises(IndexError):
        scan(4 * line, KEYS, *arrays())


def test_fewer_fields_than_keys() -> None:
    with pytest.raises(IndexError):
        scan(LINE, KEYS, *arrays(fields=1))


def test_no_lines() -> None:
    assert scan(b"", KEYS, *arrays(lines=0)) == (0, 0)


def test_more_keys_than_there_is_room_for() -> None:
    with pytest.raises(ValueError, match="more keys"):
        make_keys({f"key {i}": TEXT for i in range(129)})


@pytest.mark.parametrize("place", [(4 << 32) | 3, (7 << 32), (1 << 62) | 3, -(1 << 32) | 3])
def test_places_outside_of_a_block(place: int) -> None:
    kinds = np.full(1, TEXT, np.uint8)
    places = np.array([place], np.int64)
    with pytest.raises(IndexError):
        _json_columns.copy_texts(
            b"abcdef", kinds, places, np.array([0, 3], np.int32), np.zeros(3, np.uint8)
        )
    # the size stands in the offsets as well
    with pytest.raises(IndexError):
        _json_columns.copy_texts(
            b"abcdef",
            kinds,
            np.zeros(1, np.int64),
            np.array([0, 4], np.int32),
            np.zeros(3, np.uint8),
        )
    assert _json_columns.count_texts(b"abcdef", places) in ({b"": 1}, {b"ef": 1})


def test_times_outside_of_a_block() -> None:
    text = b"2026-11-23T10:30:48.019698Z"
    kinds, places = np.full(1, TEXT, np.uint8), np.array([len(text)], np.int64)
    assert _json_columns.read_moments(text, kinds, places) == 0
    kinds, places = np.full(1, TEXT, np.uint8), np.array([(1 << 32) | len(text)], np.int64)
    with pytest.raises(IndexError):
        _json_columns.read_moments(b"x" + text[:-1], kinds, places)
