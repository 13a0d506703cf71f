"""Quick looks at bytes, beside slow ones."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.readers import _texts
from zeekml.readers.batch_builder import build_batch
from zeekml.readers.flow_schema import ZEEK
from zeekml.readers.rejects import ReadCounters, SourceAccount

BEGIN = b'{"timestamp"'
PIECES = [
    b"\n",
    b"\r\n",
    b"{",
    b"}",
    b"}{",
    BEGIN,
    BEGIN[:-1],
    b"a",
    b",",
    b"[",
    b"]",
    b":",
    b" ",
    b'"',
]
LINES = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)


@settings(max_examples=500)
@given(LINES)
def test_lines(lines: bytes) -> None:
    assert _texts.newlines(lines) == lines.count(b"\n")
    first = [line[:1] for line in lines.split(b"\n")]
    framed = any(byte in (b" ", b"[", b"]") for byte in first)
    assert _texts.line_beginnings(lines) == (first.count(b"{"), framed)
    last = [line.removesuffix(b"\r")[-1:] for line in lines.split(b"\n")[:-1]]
    open_ends = any(end in (b"{", b"[", b",", b":", b" ") for end in last)
    assert _texts.may_leave_open(lines) == (open_ends or lines.startswith(b"\r\n"))


@settings(max_examples=1000)
@given(LINES)
def test_lines_of_several_objects(lines: bytes) -> None:
    found = any(
        re.search(rb"(?!\A)\}\{|(?!\A)" + re.escape(BEGIN), line) for line in lines.split(b"\n")
    )
    assert _texts.holds_several(lines, BEGIN) == found


UNSET = ["", "-", "(empty)"]


@settings(max_examples=300)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from([*UNSET, "x", "(other)", "--"])), min_size=1),
    st.integers(0, 3),
    st.booleans(),
)
def test_texts_that_stand_for_none(texts: list[str | None], skip: int, encoded: bool) -> None:
    uids = pa.array(texts, pa.string()).slice(skip)
    n = len(uids)
    sides = pa.array(["10.0.0.1"] * n, pa.string())
    batch = build_batch(
        {
            "ts": pa.array([1.0] * n, pa.float64()),
            "uid": uids.dictionary_encode() if encoded else uids,
            "id.orig_h": sides,
            "id.resp_h": sides,
            "proto": pa.array(["tcp"] * n, pa.string()),
        },
        np.arange(n, dtype=np.int64),
        sensor=ZEEK,
        account=SourceAccount("f", ReadCounters(), None),
        excerpt=lambda _: b"",
    )
    expected = [None if text in UNSET else text for text in texts[skip:]]
    assert (batch.column("uid").to_pylist() if batch else []) == expected


def test_places_outside_of_a_column() -> None:
    found = np.zeros(1, np.uint8)
    with pytest.raises(IndexError):
        _texts.dotted_quads(np.frombuffer(b"10.0.0.", np.uint8), np.array([0, 8], np.int32), found)
    with pytest.raises(IndexError):
        _texts.dotted_quads(np.zeros(9, np.uint8), np.array([0], np.int32), found)
    with pytest.raises(IndexError):
        _texts.may_be_unset(
            np.zeros(0, np.uint8), np.array([5, 6], np.int32), np.zeros(0, np.uint8), 0
        )
    with pytest.raises(IndexError):
        _texts.may_be_unset(
            np.zeros(0, np.uint8), np.array([0, 0], np.int32), np.zeros(1, np.uint8), 8
        )
