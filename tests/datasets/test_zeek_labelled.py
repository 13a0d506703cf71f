"""Label columns of Zeek's labelled logs."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.datasets.zeek_labelled import LabelTail, label_columns
from zeekml.readers.files.line_splitter import MAX_LINE

Row = Callable[..., dict[str, Any]]
Tsv = Callable[..., str]

LABELS = [("Malicious", "C&C"), ("Benign", "-"), ("Malicious", "PartOfAHorizontalPortScan")]


class Pieces(io.RawIOBase):
    """A file that gives no more than a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._inner = io.BytesIO(data)
        self._size = size

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(self._size if size < 0 else min(size, self._size))


def taken(data: bytes, size: int = 1 << 20) -> tuple[bytes, LabelTail]:
    tail = LabelTail(Pieces(data, size))  # type: ignore[arg-type]
    return b"".join(tail.chunks()), tail


def labels_at(tail: LabelTail, *lines: int) -> list[tuple[str, str] | None]:
    codes = tail.codes(np.array(lines, np.int64))
    return [None if code < 0 else tail.pairs[code] for code in codes]


@pytest.mark.parametrize("join", ["   ", "\t"])
@pytest.mark.parametrize("names", [("label", "detailed-label"), ("label", "detailedlabel")])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_remains_is_zeeks_own_log(
    row_of: Row, tsv_of: Tsv, join: str, names: tuple[str, ...], end: str
) -> None:
    rows = [row_of(i) for i in range(3)]
    plain = tsv_of(rows).encode()
    labelled = tsv_of(rows, LABELS, names, join).replace("\n", end).encode()
    rest, tail = taken(labelled)
    assert rest.replace(b"\r", b"") == plain
    assert tail.labelled
    assert labels_at(tail, 7, 8, 9, 10, 11) == [None, *LABELS, None]


def test_a_log_without_labels_is_untouched(row_of: Row, tsv_of: Tsv) -> None:
    plain = tsv_of([row_of(1)]).encode()
    rest, tail = taken(plain)
    assert rest == plain
    assert not tail.labelled


@pytest.mark.parametrize("header", ["   ", "\t"])
def test_records_may_be_parted_otherwise_than_the_header(
    row_of: Row, tsv_of: Tsv, header: str
) -> None:
    rows = [row_of(i) for i in range(3)]
    other = "\t" if header == "   " else "   "
    lines = tsv_of(rows, LABELS, join=header).splitlines()
    lines[8] = tsv_of(rows, LABELS, join=other).splitlines()[8]
    rest, tail = taken("\n".join(lines).encode() + b"\n")
    assert rest == tsv_of(rows).encode()
    assert labels_at(tail, 8, 9, 10) == LABELS


def test_only_a_label_without_detail(row_of: Row, tsv_of: Tsv) -> None:
    rest, tail = taken(tsv_of([row_of(1)], [("scan",)], ("label",), "\t").encode())
    assert rest == tsv_of([row_of(1)]).encode()
    assert labels_at(tail, 8) == [("scan", "")]


def test_records_without_labels_are_left_to_the_reader(row_of: Row, tsv_of: Tsv) -> None:
    rows = [row_of(i) for i in range(3)]
    lines = tsv_of(rows, LABELS).splitlines()
    lines[8] = lines[8].removesuffix("   Benign   -")
    lines[9] = "cut\tshort"
    rest, tail = taken("\n".join(lines).encode())
    assert labels_at(tail, 8, 9, 10) == [LABELS[0], None, None]
    assert rest.splitlines()[9] == b"cut\tshort"


def test_header_of_names_alone(row_of: Row, tsv_of: Tsv) -> None:
    lines = tsv_of([row_of(1)], LABELS[:1], join="\t").splitlines()
    text = "\n".join([lines[5].removeprefix("#fields\t"), lines[7]]) + "\n"
    rest, tail = taken(text.encode())
    assert labels_at(tail, 1, 2) == [None, LABELS[0]]
    assert b"label" not in rest


def test_logs_put_together_change_their_columns(row_of: Row, tsv_of: Tsv) -> None:
    rows = [row_of(1)]
    text = tsv_of(rows) + tsv_of(rows, LABELS[:1]) + tsv_of(rows, LABELS[:1], join="\t")
    rest, tail = taken(text.encode())
    assert rest == 3 * tsv_of(rows).encode()
    assert labels_at(tail, 8, 17, 26) == [None, LABELS[0], LABELS[0]]


def test_lines_too_long_pass_through(row_of: Row, tsv_of: Tsv) -> None:
    rows = [row_of(1), row_of(2)]
    lines = tsv_of(rows, LABELS[:2]).encode().splitlines(keepends=True)
    long = b"x" * (MAX_LINE + 10) + b"\n"
    rest, tail = taken(b"".join([*lines[:8], long, *lines[8:]]))
    assert long in rest
    assert labels_at(tail, 8, 9, 10) == [LABELS[0], None, LABELS[1]]


@given(size=st.integers(1, 400))
def test_how_the_file_is_cut_makes_no_difference(row_of: Row, tsv_of: Tsv, size: int) -> None:
    rows = [row_of(i) for i in range(3)]
    rest, tail = taken(tsv_of(rows, LABELS).encode(), size)
    assert rest == tsv_of(rows).encode()
    assert labels_at(tail, 8, 9, 10) == LABELS


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_any_bytes_keep_their_number_of_lines(lines: list[bytes]) -> None:
    head = b"#separator \\x09\n#fields\tts\tid.orig_h\tlabel   detailed-label\n"
    data = head + b"\n".join(lines)
    rest, _ = taken(data)
    assert rest.count(b"\n") == data.count(b"\n")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), ()),
        ((b"ts", b"uid"), ()),
        ((b"label",), ()),
        ((b"label", b"ts"), ()),
        ((b"ts", b"detailed-label"), ()),
        ((b"ts", b"label"), (b"label",)),
        ((b"ts", b"a   label   detailed-label"), (b"label", b"detailed-label")),
        ((b"ts", b"Label", b"detailedlabel"), (b"label", b"detailedlabel")),
    ],
)
def test_label_columns(fields: tuple[bytes, ...], expected: tuple[bytes, ...]) -> None:
    assert label_columns(fields) == expected
