from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from log_bytes import split

from zeekml.readers.files.line_splitter import MAX_LINE, Block, LineSplitter, LongLine


def numbered(items: list[Block | LongLine]) -> list[tuple[int, bytes]]:
    lines = []
    for item in items:
        assert isinstance(item, Block)
        for number, line in enumerate(item.data.split(b"\n"), item.first_line):
            if line:
                lines.append((number, line))
    return lines


@settings(max_examples=200)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_lines_do_not_depend_on_chunks(data: bytes, cuts: list[int]) -> None:
    data = data.replace(b"\0", b"x").replace(b"\xef", b"x").replace(b"\x80", b"\n")
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(edges)]
    expected = [(n, line) for n, line in enumerate(data.split(b"\n"), 1) if line]
    assert numbered(split(*chunks)) == expected


def test_blocks_end_at_newlines_and_the_rest_is_marked() -> None:
    items = split(b"one\ntwo\nth", b"ree")
    assert items == [Block(b"one\ntwo\n", 1), Block(b"three", 3, complete=False)]


def test_nul_prefix_and_bom_are_dropped() -> None:
    assert split(b"\0" * 100, b"\0\0a\nb\n") == [Block(b"a\nb\n", 1)]
    assert split(b"\xef\xbb\xbfa\n") == [Block(b"a\n", 1)]
    assert split(b"\xef", b"\xbb\xbfa\n") == [Block(b"a\n", 1)]
    assert split(b"a\n\0\0b\n") == [Block(b"a\nb\n", 1)]


def test_long_line_is_dropped_and_numbers_go_on() -> None:
    part = b"x" * (1 << 20)
    items = split(b"a\n", *[part] * 11, b"\nb\n")
    assert items[0] == Block(b"a\n", 1)
    assert isinstance(items[1], LongLine)
    assert (items[1].line, len(items[1].excerpt)) == (2, 1024)
    assert items[2] == Block(b"b\n", 3)


def test_limit_is_exact_however_the_line_is_cut() -> None:
    for cut in (1, 1 << 20, MAX_LINE - 1):
        line = b"y" * MAX_LINE
        fits = split(line[:cut], line[cut:] + b"\n")
        assert sum(len(item.data) for item in fits if isinstance(item, Block)) == MAX_LINE + 1
        too_long = split(line[:cut], line[cut:] + b"y\nz\n")
        assert [type(item) for item in too_long] == [LongLine, Block]
    one_chunk = split(b"y" * (MAX_LINE + 1) + b"\nz\n")
    assert [type(item) for item in one_chunk] == [LongLine, Block]


def test_unterminated_long_line_is_reported() -> None:
    (item,) = split(b"x" * (MAX_LINE + 1))
    assert isinstance(item, LongLine)
    assert item.line == 1


def test_memory_stays_bounded_for_an_endless_line() -> None:
    splitter = LineSplitter()
    part = b"x" * (1 << 20)
    for _ in range(64):
        assert list(splitter.feed(part)) == []
        assert splitter._pending_size <= MAX_LINE
