"""Zeek's logs of events are read as columns or record by record: what comes of them is the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.readers.events._packed_events import pack
from zeekml.readers.events.event_schema import DNS, HTTP, TLS
from zeekml.readers.events.zeek_event_decoder import ZeekEventDecoder
from zeekml.readers.events.zeek_events import zeek_event
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.rejects import ReadCounters, SourceAccount

Rows = list[tuple[Any, int, bytes]]
FIELDS = {
    DNS: ["ts", "uid", "query", "qtype_name", "rcode_name", "answers", "TTLs"],
    HTTP: [
        *("ts", "uid", "host", "method", "uri", "user_agent", "referrer", "resp_mime_types"),
        "status_code",
    ],
    TLS: ["ts", "uid", "server_name", "version", "subject", "issuer"],
}


class Reading:
    """A decoder with its books."""

    def __init__(self, kind: str, *, by_record: bool = False) -> None:
        self.counters = ReadCounters()
        self.decoder = ZeekEventDecoder(kind, SourceAccount("x.log", self.counters, None))
        if by_record:
            self.decoder._as_columns = lambda *_: None  # type: ignore[method-assign]

    def read(self, *pieces: bytes, complete: bool = True) -> Rows:
        found: Rows = []
        line = 1
        for number, piece in enumerate(pieces, 1):
            whole = complete or number < len(pieces)
            for told in self.decoder.decode(Block(piece, line, whole)):
                found += zip(told.flows, told.lines.tolist(), told.events, strict=True)
            line += piece.count(b"\n")
        return found


def header(kind: str) -> bytes:
    lines = (
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        f"#path\t{kind}",
        "\t".join(["#fields", *FIELDS[kind]]),
    )
    return "".join(f"{line}\n" for line in lines).encode()


def row(*cells: str) -> bytes:
    return "\t".join(cells).encode("utf-8", "surrogateescape") + b"\n"


PLAIN = {
    DNS: row(
        "1795429846.691246", "C1", "WWW.a.net", "A", "NOERROR", "a.net,192.0.2.1", "5.0,2.500000"
    ),
    HTTP: row("1795429846.5", "C1", "A.net:80", "GET", "/x?y", "curl/8", "-", "text/html,x", "200"),
    TLS: row("1795429846.000001", "C1", "a.net", "TLSv12", "CN=a", "CN=b"),
}


@pytest.mark.parametrize("kind", [DNS, HTTP, TLS])
def test_a_usual_record(kind: str) -> None:
    reading = Reading(kind)
    reading.decoder._event = None  # type: ignore[assignment, method-assign]
    ((uid, clock, event),) = reading.read(header(kind) + PLAIN[kind])
    assert uid == "C1"
    assert clock == 1795429846_000000 + {DNS: 691246, HTTP: 500000, TLS: 1}[kind]
    record: dict[str, Any] = dict(
        zip(FIELDS[kind], PLAIN[kind].decode()[:-1].split("\t"), strict=True)
    )
    record = {name: value for name, value in record.items() if value != "-"}
    for name in ("answers", "TTLs", "resp_mime_types"):
        if name in record:
            record[name] = record[name].split(",")
    assert event == pack(zeek_event(kind, record))
    assert reading.counters.skipped == {{DNS: "dns", HTTP: "http", TLS: "ssl"}[kind]: 1}


CELLS = st.one_of(
    st.sampled_from(
        [
            *("-", "(empty)", "", "a.net", "A.NET.", "192.0.2.1", "::1", "a,192.0.2.7,b", "x:80"),
            *(
                "1795429846.691246",
                "5.0",
                "5.000000,7.0",
                "1e3",
                ".5",
                "5.",
                "200",
                "99999",
                "\\x2c",
            ),
            *("a\\x2cb,c", "ü", "x" * 300, "1795429846691", "2026-11-23T10:30:46Z", "nan", "-5"),
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), max_size=8),
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    kind = draw(st.sampled_from([DNS, HTTP, TLS]))
    count = len(FIELDS[kind])
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        cells = draw(st.lists(CELLS, min_size=count, max_size=count))
        if draw(st.integers(0, 3)):
            cells[0] = draw(st.sampled_from(["1795429846.691246", "5.25", "-"]))
        if draw(st.integers(0, 9)) == 0:
            cells.append("more")
        rows.append(row(*cells))
    return kind, rows


@given(logs(), st.integers(0, 400))
@settings(max_examples=300)
def test_columns_and_records_say_the_same(log: tuple[str, list[bytes]], cut: int) -> None:
    kind, rows = log
    data = header(kind) + b"".join(rows)
    ends = [0, *(i + 1 for i, c in enumerate(data) if c == 10)]
    at = ends[cut % len(ends)]
    readings = Reading(kind), Reading(kind, by_record=True), Reading(kind)
    whole = readings[0].read(data)
    assert readings[1].read(data) == whole
    assert readings[2].read(data[:at], data[at:]) == whole
    for other in readings[1:]:
        assert other.counters.skipped == readings[0].counters.skipped
        assert other.counters.rejected == readings[0].counters.rejected
    assert [clock for _, clock, _ in whole] == sorted(clock for _, clock, _ in whole)


def test_json_says_the_same_as_columns() -> None:
    record = {
        "ts": 1795429846.691246, "uid": "C1", "query": "WWW.a.net", "qtype_name": "A",
        "rcode_name": "NOERROR", "answers": ["a.net", "192.0.2.1"], "TTLs": [5.0, 2.5],
    }  # fmt: skip
    line = json.dumps(record).encode() + b"\n"
    assert Reading(DNS).read(line) == Reading(DNS).read(header(DNS) + PLAIN[DNS])
    # a log that went over from one form to the other
    mixed = Reading(DNS).read(header(DNS) + PLAIN[DNS] + line + PLAIN[DNS])
    assert len(mixed) == 3
    assert len(set(mixed)) == 1


def test_what_cannot_be_read_is_booked() -> None:
    reading = Reading(DNS)
    data = header(DNS) + PLAIN[DNS] + b"short\n" + b'{"ts": 1\n' + b"\xff\xfe\n"
    assert len(reading.read(data)) == 1
    assert reading.counters.rejected == {"column_count": 2, "bad_json": 1}
    cut = Reading(DNS)
    assert len(cut.read(header(DNS) + PLAIN[DNS] + PLAIN[DNS][:20], complete=False)) == 1
    assert cut.counters.rejected == {"truncated": 1}


def test_records_without_a_flow_are_counted_and_left_out() -> None:
    reading = Reading(TLS)
    assert reading.read(header(TLS) + row("1.0", "-", "a.net", "-", "-", "-")) == []
    assert reading.counters.skipped == {"ssl": 1}


def test_times_that_go_back_do_not_turn_the_clock_back() -> None:
    rows = [row(ts, f"C{n}", "a", "-", "-", "-") for n, ts in enumerate(("5.0", "2.0", "-", "7.0"))]
    found = Reading(TLS).read(header(TLS) + b"".join(rows))
    assert [clock for _, clock, _ in found] == [5_000_000, 5_000_000, 5_000_000, 7_000_000]
