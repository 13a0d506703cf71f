from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_bytes import split

from zeekml.readers.files import line_splitter as lines_module
from zeekml.readers.files.line_splitter import Block, LineSplitter, LongLine
from zeekml.readers.formats.multiline_json import record_end

RECORD = {
    "ts": 1772359200.5,
    "uid": "CabC",
    "id.orig_h": "10.0.0.5",
    "note": 'a "quoted" {brace], and \\ more',
    "tunnel_parents": ["a", {"b": [1, 2]}],
    "none": {},
    "list": [],
}


def numbered(n: int) -> list[dict[str, Any]]:
    return [{**RECORD, "uid": f"C{i}"} for i in range(n)]


def pretty(records: list[dict[str, Any]], indent: int | str = 2) -> str:
    return "".join(json.dumps(record, indent=indent) + "\n" for record in records)


def embraced(records: list[dict[str, Any]]) -> str:
    """An array whose records end and begin on one line."""
    inner = json.dumps(records, indent=1)
    return inner.replace("},\n {", "}, {")


LAYOUTS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "lines": lambda records: "".join(json.dumps(r) + "\n" for r in records),
    "jq": pretty,
    "tabs": lambda records: pretty(records, "\t"),
    "flat": lambda records: pretty(records, 0),
    "without newlines between": lambda records: pretty(records).replace("}\n{", "}{"),
    "with commas": lambda records: pretty(records).replace("}\n{", "},\n{"),
    "first member on the first line": lambda records: pretty(records).replace(
        '{\n  "ts"', '{ "ts"'
    ),
    "braces on lines of their own": lambda records: pretty(records).replace(": {\n", ":\n  {\n"),
    "array": lambda records: json.dumps(records, indent=1) + "\n",
    "flat array": lambda records: json.dumps(records, indent=0) + "\n",
    "array without a newline": lambda records: json.dumps(records, indent="\t"),
    "a record a line": lambda records: "[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n",
    "embraced": embraced,
    "opened on the first line": lambda records: "[" + json.dumps(records, indent=2)[1:].lstrip(),
    "blank lines": lambda records: pretty(records).replace("\n", "\n\n"),
    "CRLF": lambda records: pretty(records).replace("\n", "\r\n"),
    "mixed": lambda records: (
        pretty(records[:1]) + LAYOUTS["lines"](records[1:2]) + pretty(records[2:])
    ),
}


def lines_of(items: list[Block | LongLine]) -> list[tuple[int, bytes, bool]]:
    found = []
    for item in items:
        if isinstance(item, LongLine):
            found.append((item.line, b"too long", True))
            continue
        for number, line in enumerate(item.data.split(b"\n"), item.first_line):
            if line.strip():
                found.append((number, line, item.complete))
    return found


def read(data: bytes) -> list[tuple[int, Any]]:
    """The records in some lines, with the number of the line that each stands in."""
    found = []
    for number, line, _ in lines_of(split(data)):
        text = line.strip(b" \r,[]")
        if text:
            found.append((number, json.loads(text)))
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_records_of_any_layout_come_one_by_one(layout: str) -> None:
    records = numbered(4)
    text = LAYOUTS[layout](records)
    found = read(text.encode())
    assert [record for _, record in found] == records
    begins = [text[: text.index(f'"C{i}"')].count("\n") + 1 for i in range(4)]
    for (line, _), inside in zip(found, begins, strict=True):
        # the record begins where it opens, at most a few lines before its second member
        assert line <= inside <= line + 6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_breaks_off_costs_no_other_record(layout: str) -> None:
    records = numbered(5)
    text = LAYOUTS[layout](records)
    # the third record is torn in the middle
    middle = text.index('"C2"')
    damaged = text[: middle + 2] + "\n" + text[middle + 12 :]
    uids = [
        json.loads(record)["uid"]
        for _, line, _ in lines_of(split(damaged.encode()))
        if (record := line.strip(b" \r,[]")) and _is_sound(record)
    ]
    assert uids == ["C0", "C1", "C3", "C4"]


def _is_sound(text: bytes) -> bool:
    try:
        return "uid" in json.loads(text)
    except (ValueError, TypeError):
        return False


def test_a_broken_record_is_one_line_and_so_is_the_rest_of_one() -> None:
    text = pretty(numbered(2))
    torn = text.replace('"uid": "C0"', '"uid": "C0')
    found = lines_of(split(torn.encode()))
    assert len(found) == 2
    assert b'"C0, "id' in found[0][1]
    tail = text[text.index('"uid"') - 2 :]
    found = lines_of(split(tail.encode()))
    assert [line for _, line, _ in found][1:] == [
        line for _, line, _ in lines_of(split(pretty(numbered(2)[1:]).encode()))
    ]
    assert len(found) == 2


def test_a_torn_line_takes_no_whole_one_with_it() -> None:
    whole = json.dumps(RECORD).encode()
    for end in (b'{"ts":1,', b'{"ts":1,"id":{', b'{"ts":1,"tunnel_parents":[', b'{"ts":'):
        found = lines_of(split(end + b"\n" + whole + b"\n" + whole + b"\n"))
        assert [line for _, line, _ in found] == [end, whole, whole]
        assert [number for number, _, _ in found] == [1, 2, 3]


def test_a_record_cut_at_the_end_is_marked() -> None:
    text = pretty(numbered(2)).encode()
    assert [c for _, _, c in lines_of(split(text[:-10]))] == [True, False]
    # nothing but the newline is missing
    assert [c for _, _, c in lines_of(split(text[:-1]))] == [True, False]
    assert _is_sound(lines_of(split(text[:-1]))[-1][1])


@pytest.mark.parametrize(
    "line",
    [
        "1795430526.962997\tCxyz\t10.0.0.1\t443",
        "1795430526.962997,Cxyz,10.0.0.1,443",
        "1795430526|Cxyz",
        "-\t-\t10.0.0.1",
        "null and void",
    ],
)
@pytest.mark.parametrize("begun", ['{"a":', '{"a": [', '{"a": [1,', '[{"a": {"b":'])
def test_a_record_of_columns_is_no_value(begun: str, line: str) -> None:
    found = lines_of(split(f"{begun}\n{line}\n{line}\n".encode()))
    assert [(number, text.lstrip(b"[")) for number, text, _ in found] == [
        (1, begun.lstrip("[").encode()),
        (2, line.encode()),
        (3, line.encode()),
    ]


def test_values_on_lines_of_their_own() -> None:
    values = [0, -1, 1.5, -2e-05, 1e300, True, False, None, "1\t2", float("nan"), -float("inf")]
    for indent in (0, 2):
        for end in ("\n", " \n", "\r\n"):
            text = json.dumps({"ts": 1, "a": values, "b": 1.5}, indent=indent).replace(": ", ":\n")
            pairs = text.replace("0,\n", "0, ").replace("true,\n", "true,")
            for data in (text, pairs):
                (found,) = lines_of(split((data.replace("\n", end) + "\n").encode()))
                assert str(json.loads(found[1])["a"]) == str(values)


def test_a_record_that_is_too_long_is_dropped_and_numbers_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines_module, "MAX_LINE", 1000)
    long = json.dumps({**RECORD, "x": ["y" * 100] * 50}, indent=1)
    after = pretty(numbered(1))
    for size in (1, 7, 100, 10_000):
        data = (long + "\n" + after).encode()
        found = lines_of(split(*(data[i : i + size] for i in range(0, len(data), size))))
        assert [(number, line) for number, line, _ in found if line == b"too long"] == [
            (1, b"too long")
        ]
        number, line, _ = found[-1]
        assert json.loads(line) == numbered(1)[0]
        assert number == long.count("\n") + 2


def test_a_line_of_many_objects_that_is_too_long_is_cut_between_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines_module, "MAX_LINE", 1000)
    records = numbered(50)
    for text in (json.dumps(records), "".join(map(json.dumps, records))):
        data = text.encode() + b"\n" + json.dumps(RECORD).encode()
        splitter = LineSplitter(cut_arrays=True)
        chunks = [data[i : i + 300] for i in range(0, len(data), 300)]
        items = [item for chunk in chunks for item in splitter.feed(chunk)]
        items += splitter.finish()
        assert all(isinstance(item, Block) and len(item.data) <= 1300 for item in items)
        assert b"".join(item.data for item in items if isinstance(item, Block)) == data
        assert [n for n, _, _ in lines_of(items)] == [1] * (len(items) - 1) + [2]


# single lines that a log may be made of, whatever came before
PIECES = [
    "{", "}", "[", "]", ",", "},", "}, {", "},{", "}{", "[{", "]}", "{}", "{ ", "{\t",
    '"a": 1,', '"a": "b"', '"a": {', '"a": [', '"a":', '"x', '  "a": 1,', '  "b": {', "  }",
    "  },", '    "c": [', "    ]", "  {", " {", '{"ts": 1}', '{"ts": 1},', '{"ts": 1,',
    '{"ts": 1, "a": {', '{"ts": "', '{"a":[', '{"ts": 2, "a": {}}, {', "text", "1\t2", "", " ",
    "\0{", "\ufeff{", '{"a": "}"', '"a": "\\"", ',
]  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    end = draw(st.sampled_from(["", newline]))
    return (newline.join(draw(st.lists(st.sampled_from(PIECES), max_size=14))) + end).encode()


@settings(max_examples=500)
@given(logs(), st.lists(st.integers(0, 200), max_size=6))
def test_records_do_not_depend_on_chunks(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    assert lines_of(split(*(data[a:b] for a, b in pairwise(edges)))) == lines_of(split(data))


@settings(max_examples=500)
@given(logs(), st.lists(st.integers(0, 200), max_size=6))
def test_reading_goes_on_from_any_place_between_records(data: bytes, cuts: list[int]) -> None:
    whole = lines_of(split(data))
    splitter = LineSplitter()
    before: list[Block | LongLine] = []
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    for a, b in pairwise(edges):
        for item in splitter.feed(data[a:b]):
            before.append(item)
            after = LineSplitter()
            after.line = splitter.line
            rest = [*after.feed(data[splitter.taken :]), *after.finish()]
            assert lines_of(before) + lines_of(rest) == whole


@given(logs())
def test_the_first_record_ends_where_it_is_given_back(data: bytes) -> None:
    data = data.replace(b"\0", b"").replace("\ufeff".encode(), b"")
    end = record_end(data)
    if end:
        # its end may stand in one line with the beginning of the next
        assert lines_of(split(data))[0][1].startswith(lines_of(split(data[:end]))[0][1])
