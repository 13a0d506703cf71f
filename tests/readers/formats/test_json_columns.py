"""Plain lines are read as the parser reads them, whatever stands beside them."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zeekml.readers.batch_builder import to_microseconds
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats._json_scanner import NUMBER, OBJECT, TEXT, WHOLE
from zeekml.readers.formats.json_columns import PlainLines, make_keys
from zeekml.readers.formats.json_parser import MAX_DEPTH
from zeekml.readers.formats.suricata_eve import EveDecoder
from zeekml.readers.formats.zeek_json import ZeekJsonDecoder
from zeekml.readers.values import UNREADABLE, read_time, understood

Read = Callable[..., Any]
Check = Callable[..., None]
ParserOnly = Callable[[], AbstractContextManager[None]]

DATA = Path(__file__).parents[1] / "data"
ZEEK_LINES = gzip.decompress((DATA / "office_conn.json.gz").read_bytes()).splitlines()
EVE_LINES = gzip.decompress((DATA / "office_eve.json.gz").read_bytes()).splitlines()
FLOW_LINE = next(line for line in EVE_LINES if b'"event_type":"flow"' in line)
EVE_LINES += [
    b'{"timestamp":"2026-11-23T10:30:49.000000+0000","flow_id":%d,"event_type":"alert",'
    b'"alert":{"signature_id":7,"signature":"S%d"}}' % (json.loads(line)["flow_id"], i)
    for i, line in enumerate(EVE_LINES)
    if b'"event_type":"flow"' in line and i % 7 == 0
]

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 70000),
    st.floats(),
    st.floats(0, 3e12).map(lambda x: round(x, 6)),
    st.text(max_size=8),
    st.integers(-5, 70_000).map(str),
    st.integers(0, 65535).map(float),
    st.floats(0, 1e19).map(str),
    st.sampled_from(["1900-01-00T00:00:14.199185+0000", "2026-11-23 10:30:48", "(empty)", "0x1F"]),
    st.sampled_from(["conn", "dns", "flow", "alert", "UDP", "tcp", "ICMP", "", "-", "1f", "zz"]),
    st.datetimes(datetime(1960, 1, 1), datetime(2100, 1, 1)).map(
        lambda t: t.replace(tzinfo=UTC).isoformat()
    ),
    st.lists(st.integers(0, 4095), max_size=3),
    st.dictionaries(st.sampled_from(["flow", "start", "event_type", "x"]), st.text(max_size=3)),
)
NUMBERS = st.one_of(
    st.sampled_from([b"1e999", b"-1e999", b"1e-999", b"9" * 400, b"9" * 5000, b"9" * 400 + b".5"]),
    st.from_regex(rb"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,8})?([eE][+-]?[0-9]{1,4})?", fullmatch=True),
)
SPACES = st.sampled_from([b" ", b"\t", b"  ", b"\r", b"\n", b"\x0b", b"\0", b"\xc2\xa0"])
INNER = ["value", "again", "drop", "move", "rename", "inner", "nest"]
CHANGES = ["none", "none", "flip", "cut", "insert", "space", "escape", "number", "number"]


def _pairs(line: bytes) -> list[tuple[str, Any]]:
    # a list of pairs, so that keys can stand twice
    return json.loads(line, object_pairs_hook=lambda pairs: pairs)


def _spelled(value: Any, gap: str = "") -> str:
    if isinstance(value, list) and value and all(isinstance(v, tuple) for v in value):
        inner = (f"{json.dumps(k)}{gap}:{gap}{_spelled(v, gap)}" for k, v in value)
        return "{" + gap + f"{gap},{gap}".join(inner) + gap + "}"
    return json.dumps(value, ensure_ascii=False)


@st.composite
def _changed(draw: st.DrawFn, lines: list[bytes]) -> bytes:
    """A line of a real log after up to three changes, from its meaning down to its bytes."""
    line = draw(st.sampled_from(lines))
    pairs = _pairs(line)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(pairs) - 1))
        name, value = pairs[at]
        change = draw(
            st.sampled_from(["value", "again", "drop", "move", "rename", "inner", "nest"])
        )
        if change == "value":
            pairs[at] = (name, draw(VALUES))
        elif change == "again":
            pairs.insert(draw(st.integers(0, len(pairs))), (name, draw(VALUES)))
        elif change == "drop" and len(pairs) > 1:
            del pairs[at]
        elif change == "move":
            pairs.insert(draw(st.integers(0, len(pairs) - 1)), pairs.pop(at))
        elif change == "rename":
            names = ["id_orig_h", "id_resp_p", "_path", "@stream", "event_type", "vlan", "\x7f"]
            pairs[at] = (draw(st.sampled_from([*names, name.upper()])), value)
        elif change == "nest" and (ids := [pair for pair in pairs if pair[0].startswith("id.")]):
            kept = draw(st.sampled_from([0, 0, 1]))
            pairs = [pair for pair in pairs if pair not in ids[kept:]]
            inside = [(name.removeprefix("id."), value) for name, value in ids]
            pairs.insert(draw(st.integers(0, len(pairs))), ("id", inside))
        elif (
            change == "inner" and isinstance(value, list) and value and isinstance(value[0], tuple)
        ):
            inner = draw(st.integers(0, len(value) - 1))
            value[inner] = (value[inner][0], draw(VALUES))
    text = _spelled(pairs, draw(st.sampled_from(["", "", " ", "\t "]))).encode(
        "utf-8", "surrogatepass"
    )
    change = draw(st.sampled_from(CHANGES))
    at = draw(st.integers(0, len(text) - 1))
    if change == "flip":
        return text[:at] + bytes([draw(st.integers(0, 255))]) + text[at + 1 :]
    if change == "cut":
        return text[:at] + text[at + draw(st.integers(1, 40)) :]
    if change == "insert":
        return text[:at] + draw(st.sampled_from([b'"', b"}", b"{", b",", b"1", text])) + text[at:]
    if change == "space":
        return text[:at] + draw(SPACES) + text[at:]
    if change == "number" and (number := re.search(rb"-?\d[\d.eE+-]*(?=[,}\]])", text[at:])):
        start, end = number.span()
        return text[: at + start] + draw(NUMBERS) + text[at + end :]
    if change == "escape" and (quote := text.find(b'"', at)) >= 0:
        return text[: quote + 1] + b"\\u0041" + text[quote + 1 :]
    return text


@pytest.fixture
def check(read: Read, read_alike: Read, parser_only: ParserOnly) -> Check:
    """Check that bytes are read as by the parser, and alike however they are cut."""

    def run(make: Any, data: bytes, cuts: list[int]) -> None:
        fast = read_alike(make, data, cuts)
        with parser_only():
            exact = read(make, data)
        assert fast.rows == exact.rows
        assert sorted(map(repr, fast.rejects)) == sorted(map(repr, exact.rejects))
        assert fast.counters == exact.counters

    return run


def _with(field: bytes, number: bytes) -> bytes:
    return re.sub(rb'("%s":)[^,}]+' % field, rb"\g<1>" + number, ZEEK_LINES[0])


HUGE = [
    _with(b"duration", b"0.00101111e111939697266"),
    _with(b"ts", b"17954" + b"9" * 3000 + b"5439635.411753"),
    _with(b"ts", b"9" * 600 + b"795431135.310142"),
    _with(b"ts", b"1795429993.1e153782"),
    _with(b"orig_bytes", b"9" * 5000),
]
"""Sound JSON whose numbers no parser takes, as random damage once made them."""

# a brace in a name, and two types: the first one counts where it is not that of a flow
TWICE = [
    re.sub(rb'("event_type":)', rb'"%s":1,\1"stats",\1' % name, FLOW_LINE)
    for name in (b"}", b"{", b"}{", rb"\\\"}", b"a")
]

COMMON = settings(
    max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@COMMON
@given(
    st.lists(_changed(ZEEK_LINES), min_size=1, max_size=6),
    st.lists(st.sampled_from(ZEEK_LINES), max_size=6),
    st.lists(st.integers(0, 5000), max_size=3),
    st.randoms(use_true_random=False),
    st.sampled_from([b"\n", b""]),
)
# among lines that are all damaged, among whole ones, and where the log breaks off
@example(HUGE, [], [0], Random(1), b"\n")
@example(HUGE, ZEEK_LINES[:9], [], Random(1), b"\n")
@example([HUGE[0], *[b"{"] * 5], [], [], Random(1), b"\n")
@example([], HUGE[1:2], [], Random(1), b"")
def test_zeek_is_read_as_by_the_parser(
    check: Check, changed: list[bytes], whole: list[bytes], cuts: list[int], rng: Any, end: bytes
) -> None:
    lines = changed + whole
    rng.shuffle(lines)
    check(ZeekJsonDecoder, b"\n".join(lines) + end, cuts)


@COMMON
@given(
    st.lists(_changed(EVE_LINES), min_size=1, max_size=6),
    st.lists(st.sampled_from(EVE_LINES), max_size=6),
    st.lists(st.integers(0, 5000), max_size=3),
    st.randoms(use_true_random=False),
    st.sampled_from([b"\n", b""]),
)
@example(TWICE, [], [], Random(1), b"\n")
def test_eve_is_read_as_by_the_parser(
    check: Check, changed: list[bytes], whole: list[bytes], cuts: list[int], rng: Any, end: bytes
) -> None:
    lines = changed + whole
    rng.shuffle(lines)
    check(EveDecoder, b"\n".join(lines) + end, cuts)


@pytest.mark.parametrize("originals", [False, True])
def test_whole_logs_take_the_fast_path(
    check: Check, office_json: bytes, office_eve: bytes, originals: bool
) -> None:
    for data, decoder in ((office_json, ZeekJsonDecoder), (office_eve, EveDecoder)):

        def make(account: Any, decoder: Any = decoder) -> Any:
            return decoder(account, keep_originals=originals)

        check(make, data, [1000, 100_000])
        # and few lines of them need the parser
        lines = PlainLines(Block(data, 1), ["event_type"], make_keys({"event_type": TEXT}))
        assert len(lines) > 0.9 * data.count(b"\n")


@pytest.mark.parametrize("lines", [ZEEK_LINES, EVE_LINES])
@pytest.mark.parametrize(
    ("opened", "closed", "accepted"),
    [
        (b"[" * (MAX_DEPTH - 1), b"]" * (MAX_DEPTH - 1), True),
        (b"[" * MAX_DEPTH, b"]" * MAX_DEPTH, False),
        (b'{"[":' * MAX_DEPTH + b"1", b"}" * MAX_DEPTH, False),
        (b"[" * 100_000, b"]" * 100_000, False),
        (b"[" * 990, b"", False),
        (b"[" + b"[]," * 5000, b"[]]", True),
        (b'"' + b"[" * 5000, b'\\""', True),
    ],
)
def test_how_deep_a_line_may_be_nested_is_not_up_to_the_caller(
    read: Read, lines: list[bytes], opened: bytes, closed: bytes, accepted: bool
) -> None:
    decoder = ZeekJsonDecoder if lines is ZEEK_LINES else EveDecoder
    flow = b'"conn_state"' if lines is ZEEK_LINES else b'"event_type":"flow"'
    line = next(line for line in lines if flow in line)
    line = b'{"x":' + opened + closed + b"," + line[1:] + b"\n"

    def read_from(depth: int) -> Any:
        return read_from(depth - 1) if depth else read(decoder, line)

    for depth in (0, 300):
        reading = read_from(depth)
        assert reading.counters.accepted == accepted
        assert reading.reasons == ([] if accepted else [(1, "bad_json")])


RULES = {"num": NUMBER, "text": TEXT, "whole": WHOLE, "obj/key": WHOLE, "obj": OBJECT}


def _lines(*texts: str) -> PlainLines:
    data = "".join(text + "\n" for text in texts).encode()
    return PlainLines(Block(data, 1), list(RULES), make_keys(RULES, objects=["obj"]))


@settings(max_examples=500)
@given(
    st.one_of(
        st.floats(0, 1e13).map(repr),
        st.floats(0, 1).map(repr),
        st.integers(0, 2**60).map(str),
        st.from_regex(r"(0|[1-9][0-9]{0,12})\.[0-9]{1,25}", fullmatch=True),
        st.from_regex(r"(0|[1-9][0-9]{0,9})\.[0-9]{6}[45][0-9]{0,5}", fullmatch=True),
        st.from_regex(r"(0|[1-9][0-9]{0,3})(\.[0-9]{1,8})?[eE][+-]?[0-9]{1,2}", fullmatch=True),
    )
)
def test_numbers_round_to_the_microsecond_of_the_parser(text: str) -> None:
    lines = _lines(f'{{"num":{text}}}')
    parsed = np.array([float(msgspec.json.decode(text))])
    found = lines.numbers("num") if len(lines) else parsed
    # only whole numbers beyond 18 digits are left to the parser
    assert len(lines) or (len(text) > 18 and text.isdigit())
    np.testing.assert_array_equal(to_microseconds(found), to_microseconds(parsed))


def _micros(text: str) -> int | None:
    """Microseconds since 1970 by the library; None for no time, or for one beyond the years."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return micros if 0 <= micros < 2**53 else None


ODD = "2026-02-29T00:00:00.000000Z"  # not in the calendar


@settings(max_examples=300)
@given(
    st.datetimes(datetime(1969, 1, 1), datetime(2260, 1, 1)),
    st.integers(-24 * 60 + 1, 24 * 60 - 1),
    st.sampled_from(["", ":"]),
)
@example(datetime(2000, 2, 29, 23, 59, 59, 999_999), 0, "")
@example(datetime(2100, 3, 1), 0, "")
@example(datetime(2242, 3, 16, 12, 56, 31, 999_999), 0, "")
def test_moments(moment: datetime, zone: int, colon: str) -> None:
    sign = "-" if zone < 0 else "+"
    text = moment.isoformat(timespec="microseconds")
    text += f"{sign}{abs(zone) // 60:02}{colon}{abs(zone) % 60:02}"
    micros = _micros(text)
    for others in ([], [ODD]):
        lines = _lines(*(f'{{"text":"{t}"}}' for t in (text, *others)))
        lines.read_moments("text")
        assert lines.texts("text").to_pylist() == [text if micros is None else None, *others]
        assert micros is None or lines.values("text")[0] == micros


offsets = st.builds(
    "{}{:02}{}{:02}".format,
    st.sampled_from("+-"),
    st.integers(0, 29),
    st.sampled_from(["", ":"]),
    st.integers(0, 69),
)
moments = st.builds(
    "{}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}{}".format,
    st.one_of(st.integers(1960, 1979), st.integers(2000, 2039)),
    *(st.integers(0, most) for most in (13, 39, 29, 69, 69, 999_999)),
    st.one_of(st.just("Z"), offsets),
)


@settings(max_examples=500)
@example("1960-01-01T00:00:00.000000Z", (0, "2"))
@given(
    moments,
    st.one_of(st.none(), st.tuples(st.integers(0, 31), st.sampled_from("0129:-.+TZ x"))),
)
def test_texts_like_moments(text: str, damage: tuple[int, str] | None) -> None:
    if damage is not None:
        text = text[: damage[0]] + damage[1] + text[damage[0] + 1 :]
    before = _lines(f'{{"text":"{text}"}}')
    before.read_moments("text")
    turned = before.texts("text").null_count
    read = understood(read_time, text)
    if turned:
        assert before.numbers("text")[0] == read
    else:
        # the parser, which is asked then, finds none either, or one before 1970 or after 2255
        known = type(read) is float and 0 <= read * 1e6 < 2**53
        assert read is UNREADABLE or not known
    beside = _lines(f'{{"text":"{text}"}}', f'{{"text":"{ODD}"}}')
    beside.read_moments("text")
    assert beside.texts("text").to_pylist() == [None if turned else text, ODD]


@pytest.mark.parametrize(
    "text",
    [
        '{"text":"a"}x',
        '{"text":"a"}{"text":"b"}',
        '{"text":"a",}',
        '{,"text":"a"}',
        '{"text":"a" "whole":1}',
        '{"text":"a":1}',
        '{"text":"a"',
        '{"text":"a]',
        '{"text":"\\u0041"}',
        '{"text":"é"}',
        '{"text":"\x01"}',
        '{"text":"a","text":"a"}',
        '{"text":1}',
        '{"whole":01}',
        '{"whole":1.0}',
        '{"whole":-1}',
        '{"whole":1234567890123456789}',
        '{"num":1.}',
        '{"num":.5}',
        '{"num":1e}',
        '{"num":NaN}',
        '{"x":[1,]}',
        '{"x":[1}',
        '{"x":{"y":1]}',
        '{"x":tru}',
        '{"x":' + "[" * 70 + "]" * 70 + "}",
        '{"obj":1}',
        "[]",
        "1",
    ],
)
def test_what_is_not_plain(text: str) -> None:
    lines = _lines('{"text":"before"}', text, "", '{"text":"behind"}')
    assert lines.texts("text").to_pylist() == ["before", "behind"]
    assert lines.lines.tolist() == [1, 4]
    assert [other[1:3] for other in lines.others()] == [(2, text.encode())]


def test_what_is_plain() -> None:
    lines = _lines(
        ' { "text" : "a" , "whole" : 7 , "x" : [ 1 , { "text" : null } , "b" ] } \r',
        '{"obj":{"key":1,"whole":2,"obj":{"key":3}},"key":4,"text":null}',
        "{}",
        '{"x":-1.5e-7,"y":false,"z":{},"num":0}',
    )
    assert len(lines) == 4
    assert lines.texts("text").to_pylist() == ["a", None, None, None]
    assert lines.whole("whole").to_pylist() == [7, None, None, None]
    assert lines.whole("obj/key").to_pylist() == [None, 1, None, None]
    assert lines.has("num").tolist() == [False, False, False, True]
