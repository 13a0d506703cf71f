"""Lines of a tail become flows, whatever format each file has and however its lines are cut."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.decoder import TailDecoder
from zeekml.live.tail.events import FileOpened, How, Lines
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.line_splitter import Block, LongLine
from zeekml.readers.flow_schema import AT_EXIT_FIELD, ORIGINAL_FIELD
from zeekml.readers.rejects import ReadCounters, SourceAccount

HEADER = [
    b"#separator \\x09\n",
    b"#set_separator\t,\n",
    b"#empty_field\t(empty)\n",
    b"#unset_field\t-\n",
    b"#path\tconn\n",
    b"#open\t2026-01-01-00-00-00\n",
    b"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state\n",
    b"#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\n",
]


def tsv(*numbers: int) -> list[bytes]:
    return [b"%d.5\tC%d\t10.0.0.1\t1\t10.0.0.2\t2\ttcp\tSF\n" % (n, n) for n in numbers]


def zeek_json(*numbers: int) -> list[bytes]:
    return [
        b'{"ts":%d.5,"uid":"C%d","id.orig_h":"10.0.0.1","id.orig_p":1,"id.resp_h":"10.0.0.2",'
        b'"id.resp_p":2,"proto":"tcp","conn_state":"SF"}\n' % (n, n)
        for n in numbers
    ]


def eve(*numbers: int) -> list[bytes]:
    return [
        json.dumps(
            {
                "timestamp": f"2026-01-01T00:00:{n:02}.000000+0000",
                "flow_id": n,
                "event_type": "flow",
                "src_ip": "10.0.0.1",
                "src_port": 1,
                "dest_ip": "10.0.0.2",
                "dest_port": 2,
                "proto": "UDP",
                "flow": {
                    "pkts_toserver": 1,
                    "pkts_toclient": 1,
                    "bytes_toserver": 60,
                    "bytes_toclient": 60,
                    "start": f"2026-01-01T00:00:{n:02}.000000+0000",
                    "end": f"2026-01-01T00:00:{n:02}.000000+0000",
                    "reason": "timeout",
                },
            },
            separators=(",", ":"),
        ).encode()
        + b"\n"
        for n in numbers
    ]


class Reading:
    """What a decoder makes of lines, and its books."""

    def __init__(self, sensor: str, *, originals: bool = False) -> None:
        self.counters = ReadCounters()
        self.alerts = FlowMemory()
        self.decoder = TailDecoder(
            sensor,
            lambda source: SourceAccount(source, self.counters, None),
            memory=self.alerts,
            keep_originals=originals,
        )
        self.batches: list[pa.RecordBatch] = []
        self.line = 1
        self.source = ""

    def open(self, source: str = "conn.log", header: bytes = b"") -> None:
        self.source, self.line = source, 1
        block = Block(header, 1) if header else None
        self.decoder.opened(FileOpened(source, How.ROTATED, block))

    def event(self, lines: Sequence[bytes], *, complete: bool = True) -> Lines:
        event = Lines(self.source, Block(b"".join(lines), self.line, complete), Checkpoint())
        self.line += len(lines)
        return event

    def read(self, lines: Sequence[bytes], *, complete: bool = True) -> None:
        if lines:
            self.batches += self.decoder.lines(self.event(lines, complete=complete))

    def read_long(self) -> None:
        event = Lines(self.source, LongLine(self.line, b"{" * 1024), Checkpoint())
        self.line += 1
        self.batches += self.decoder.lines(event)

    def uids(self) -> list[str]:
        return [uid for batch in self.batches for uid in batch.column("uid").to_pylist()]

    def column(self, name: str) -> list[object]:
        return [value for batch in self.batches for value in batch.column(name).to_pylist()]


@pytest.mark.parametrize(
    ("sensor", "kind", "lines"),
    [
        ("zeek", Kind.ZEEK_TSV, HEADER + tsv(*range(6))),
        ("zeek", Kind.ZEEK_JSON, zeek_json(*range(6))),
        ("suricata", Kind.EVE, eve(*range(6))),
    ],
)
@given(cuts=st.sets(st.integers(1, 13)))
@settings(max_examples=25, derandomize=True)
def test_cuts_change_nothing(sensor: str, kind: Kind, lines: list[bytes], cuts: set[int]) -> None:
    reading = Reading(sensor)
    reading.open()
    places = [0, *sorted(cuts), len(lines)]
    for begin, end in itertools.pairwise(places):
        reading.read(lines[begin:end])
    prefix = "C" if sensor == "zeek" else ""
    assert reading.uids() == [f"{prefix}{n}" for n in range(6)]
    first = len(HEADER) * (kind is Kind.ZEEK_TSV) + 1
    assert reading.column("line") == list(range(first, first + 6))
    assert set(reading.column("source")) == {"conn.log"}
    assert reading.decoder.kind is kind
    assert (reading.counters.records_read, reading.counters.accepted) == (6, 6)


def test_the_format_changes_from_file_to_file() -> None:
    reading = Reading("zeek")
    assert reading.decoder.kind is None
    reading.open("conn.log.2")
    reading.read(HEADER + tsv(1))
    assert reading.decoder.kind is Kind.ZEEK_TSV
    reading.open("conn.log.1")
    reading.read(zeek_json(2))
    assert reading.decoder.kind is Kind.ZEEK_JSON
    reading.open("conn.log")
    # Zeek writes a header line by line at times
    reading.read(HEADER[:1])
    reading.read(HEADER[1:])
    reading.read(tsv(3))
    assert reading.uids() == ["C1", "C2", "C3"]
    assert reading.column("source") == ["conn.log.2", "conn.log.1", "conn.log"]
    assert not reading.counters.rejected


def test_going_on_in_the_middle_of_a_file() -> None:
    reading = Reading("zeek")
    header = [line.replace(b"uid\tid.orig_h", b"id.orig_h\tuid") for line in HEADER]
    reading.open("conn.log", b"".join(header))
    reading.read([b"1.5\t10.0.0.1\tC1\t1\t10.0.0.2\t2\ttcp\tSF\n"])
    assert reading.uids() == ["C1"]
    assert reading.counters.records_read == 1, "the header counts for nothing"


@pytest.mark.parametrize("junk", [b"\n", b"half a line\n", b'9.5,"uid":"C0"}\n', None])
@pytest.mark.parametrize("before", [None, "tsv", "json"])
@pytest.mark.parametrize("after", ["tsv", "json"])
def test_a_first_line_that_tells_nothing_does_not_spoil_the_file(
    junk: bytes | None, before: str | None, after: str
) -> None:
    reading = Reading("zeek")
    if before:
        reading.open("conn.log.1")
        reading.read([*HEADER, *tsv(0)] if before == "tsv" else zeek_json(0))
    reading.open()
    for _ in range(2):
        reading.read_long() if junk is None else reading.read([junk])
    reading.read([*HEADER, *tsv(1)] if after == "tsv" else zeek_json(1))
    reading.read(tsv(2) if after == "tsv" else zeek_json(2))
    assert reading.uids()[before is not None :] == ["C1", "C2"]
    assert sum(reading.counters.rejected.values()) == 2 * (junk != b"\n")


def test_a_remembered_header_gives_way_to_what_a_line_is() -> None:
    reading = Reading("zeek")
    reading.open("conn.log", b"".join(HEADER))
    reading.read(zeek_json(1, 2))
    assert reading.decoder.kind is Kind.ZEEK_JSON
    # an emptied log goes on without its header
    reading.read(tsv(3))
    assert reading.uids() == ["C1", "C2", "C3"]
    assert not reading.counters.rejected


def test_a_name_that_cannot_be_written() -> None:
    reading = Reading("zeek")
    reading.open(os.fsdecode(b"conn.log-\xff\x1b[31m"))
    reading.read(HEADER + tsv(1))
    assert reading.column("source") == ["conn.log-\\udcff\\x1b[31m"]


def test_a_log_of_something_else_is_skipped() -> None:
    reading = Reading("zeek")
    reading.open("dns.log")
    reading.read([line.replace(b"\tconn\n", b"\tdns\n") for line in HEADER] + tsv(1))
    reading.open("dns.log")
    reading.read([b'{"_path":"dns","ts":1.5,"uid":"C2"}\n'] * 2)
    assert reading.uids() == []
    assert reading.counters.records_read == 3
    assert reading.counters.accepted == 0


def test_the_last_line_of_a_file() -> None:
    for lines, sensor in ((HEADER + tsv(1), "zeek"), (zeek_json(1), "zeek"), (eve(1), "suricata")):
        whole, cut = Reading(sensor), Reading(sensor)
        for reading, last in ((whole, lines[-1][:-1]), (cut, lines[-1][:-9])):
            reading.open()
            reading.read(lines[:-1])
            reading.read([last], complete=False)
        assert len(whole.uids()) == 1
        if lines[0] != HEADER[0]:
            assert (cut.uids(), cut.counters.rejected) == ([], {"truncated": 1})


@pytest.mark.parametrize(
    ("sensor", "lines", "records"),
    [
        ("zeek", HEADER + tsv(1, 2), 2),
        ("zeek", [*HEADER, b"\n", *tsv(1), b"#close\tx\n"], 1),
        ("zeek", zeek_json(1, 2, 3), 3),
        ("suricata", [*eve(1), b" \n", *eve(2)], 2),
    ],
)
def test_passing_over(sensor: str, lines: list[bytes], records: int) -> None:
    reading = Reading(sensor)
    reading.open()
    assert reading.decoder.pass_over(reading.event(lines)) == records
    assert reading.decoder.pass_over(reading.event([lines[-1][:-1]], complete=False)) == (
        not lines[-1].startswith(b"#")
    )
    assert reading.decoder.pass_over(Lines("conn.log", LongLine(9, b""), Checkpoint())) == 1
    assert reading.counters.records_read == 0
    # the header among them is in force
    following = tsv(8) if lines[0].startswith(b"#") else zeek_json(8)
    reading.read(eve(8) if sensor == "suricata" else following)
    assert reading.uids() == ["8" if sensor == "suricata" else "C8"]


def test_alerts_and_columns_of_suricata() -> None:
    reading = Reading("suricata", originals=True)
    reading.open("eve.json")
    alert = b'{"event_type":"alert","flow_id":2,"alert":{"signature":"S","signature_id":7}}\n'
    reading.read([alert])
    reading.open("eve.json")
    reading.read(eve(1, 2))
    assert reading.column("signatures") == [None, ["S [sid 7]"]]
    assert reading.batches[0].schema.names[-2:] == [ORIGINAL_FIELD.name, AT_EXIT_FIELD.name]
    assert reading.column("original") == [line.strip() for line in eve(1, 2)]
    assert len(reading.alerts) == 0


def test_what_the_sensor_says_about_itself() -> None:
    reading = Reading("suricata")
    reading.open("eve.json")
    stats = {"capture": {"kernel_packets": 10, "kernel_drops": 3}}
    event = {"timestamp": "2026-01-01T00:00:00.000000+0000", "event_type": "stats", "stats": stats}
    reading.read([*eve(1), json.dumps(event, separators=(",", ":")).encode() + b"\n", *eve(2)])
    assert (reading.decoder.stats.packets, reading.decoder.stats.drops) == (10, 3)
    assert reading.uids() == ["1", "2"]
