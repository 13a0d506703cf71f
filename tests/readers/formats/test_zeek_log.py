"""A conn.log in which lines of both formats of Zeek stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.zeek_log import ZeekDecoder
from zeekml.readers.rejects import SourceAccount

HEADER = (
    b"#separator \\x09\n#path\tconn\n"
    b"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state\n"
)
CLOSE = b"#close\t2026-03-01-10-00-00\n"


def tsv(number: int) -> bytes:
    return b"%d.5\tT%d\t10.0.0.1\t1\t10.0.0.2\t2\ttcp\tSF\n" % (number, number)


def json(number: int) -> bytes:
    return (
        b'{"ts":%d.5,"uid":"J%d","id.orig_h":"10.0.0.1","id.orig_p":1,"id.resp_h":"10.0.0.2",'
        b'"id.resp_p":2,"proto":"tcp","conn_state":"SF"}\n' % (number, number)
    )


def decoder(kind: Kind) -> Callable[[SourceAccount], ZeekDecoder]:
    return lambda account: ZeekDecoder(kind, account)


def uids(reading: Any) -> list[str]:
    return [row["uid"] for row in reading.rows]


def test_from_tsv_to_json_and_back(read: Callable[..., Any]) -> None:
    data = HEADER + tsv(1) + CLOSE + json(2) + json(3) + HEADER + tsv(4) + json(5)
    reading = read(decoder(Kind.ZEEK_TSV), data)
    assert uids(reading) == ["T1", "J2", "J3", "T4", "J5"]
    assert [row["line"] for row in reading.rows] == [4, 6, 7, 11, 12]
    assert not reading.rejects


def test_a_header_in_a_json_log(read: Callable[..., Any]) -> None:
    data = json(1) + b"# no header\n" + json(2) + HEADER + tsv(3) + b"rubbish\n"
    reading = read(decoder(Kind.ZEEK_JSON), data)
    assert uids(reading) == ["J1", "J2", "T3"]
    assert reading.reasons == [(2, "bad_json"), (8, "column_count")]


@pytest.mark.parametrize("start", [b"#fields\t", b"#separator \\x09 ", b"#fields\tts\tuid\t"])
def test_a_record_behind_the_word_of_a_header(read: Callable[..., Any], start: bytes) -> None:
    # half a line of one file and a whole one of another; no name of a column has a brace
    reading = read(decoder(Kind.ZEEK_JSON), json(1) + start + json(2) + HEADER + tsv(3) + json(4))
    assert uids(reading) == ["J1", "J2", "T3", "J4"]
    assert reading.counters.unwrapped == {"prefix": 1}
    assert not reading.rejects


@pytest.mark.parametrize("blank", [b" ", b"   ", b" \r", b"\r", b""])
@pytest.mark.parametrize("kind", [Kind.ZEEK_TSV, Kind.ZEEK_JSON])
def test_blanks_are_no_record(read: Callable[..., Any], kind: Kind, blank: bytes) -> None:
    sound = HEADER + tsv(1) if kind is Kind.ZEEK_TSV else json(1)
    # be it in the middle, or the last line, which nothing ends
    reading = read(decoder(kind), sound + blank + b"\n" + sound + blank)
    assert reading.counters.records_read == reading.counters.accepted == 2


@given(
    lines=st.lists(
        st.sampled_from([HEADER, tsv(1), json(2), CLOSE, b"rubbish\n", b"\n", b"\r{}\n", b"{\n"]),
        max_size=12,
    ),
    cuts=st.sets(st.integers(0, 800), max_size=6),
    kind=st.sampled_from([Kind.ZEEK_TSV, Kind.ZEEK_JSON]),
    ended=st.booleans(),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cuts_change_nothing(
    read_alike: Callable[..., Any], lines: list[bytes], cuts: set[int], kind: Kind, ended: bool
) -> None:
    data = b"".join(lines)
    read_alike(decoder(kind), data if ended else data.removesuffix(b"\n"), cuts)


@pytest.mark.parametrize("kind", [Kind.ZEEK_TSV, Kind.ZEEK_JSON])
def test_what_is_passed_over_counts_for_nothing_but_its_header(
    read: Callable[..., Any], kind: Kind
) -> None:
    def make(account: SourceAccount) -> ZeekDecoder:
        made = ZeekDecoder(kind, account)
        made.pass_over(Block(json(1) + HEADER + tsv(2), 1))
        return made

    reading = read(make, tsv(3) + json(4))
    assert uids(reading) == ["T3", "J4"]
    assert reading.counters.records_read == 2
