"""Records that are written over several lines, followed while they are being written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from follower import Follower, append
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeekml.live.tail.decoder import TailDecoder
from zeekml.live.tail.events import Event, FileOpened, Lines
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.files.line_splitter import Block, LineSplitter
from zeekml.readers.rejects import ReadCounters, SourceAccount


def records(n: int) -> list[dict[str, Any]]:
    return [
        {
            "ts": 1772359200.5 + i,
            "uid": f"C{i}",
            "id.orig_h": "10.0.0.5",
            "id.orig_p": 4000 + i,
            "id.resp_h": "192.0.2.1",
            "id.resp_p": 443,
            "proto": "tcp",
            "conn_state": "SF",
            "tunnel_parents": [],
            "geo": {"asn": [i]},
        }
        for i in range(n)
    ]


LAYOUTS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "pretty": lambda some: "".join(json.dumps(r, indent=2) + "\n" for r in some),
    "array": lambda some: json.dumps(some, indent=1) + "\n",
    "record a line": lambda some: "[\n" + ",\n".join(map(json.dumps, some)) + "\n]\n",
    "embraced": lambda some: json.dumps(some, indent=1).replace("},\n {", "}, {") + "\n",
}


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    directory = tmp_path / "logs"
    directory.mkdir()
    return directory / "conn.log"


class Reader:
    """Decodes what a tail brings, and keeps what came of it."""

    def __init__(self) -> None:
        self.counters = ReadCounters()
        self.rows: list[tuple[int, str]] = []
        self.rejects: list[tuple[int, str]] = []
        self._decoder = TailDecoder(
            "zeek",
            lambda source: SourceAccount(source, self.counters, self),
            memory=FlowMemory(),
            keep_originals=False,
        )

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        self.rejects.append((line, reason))

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, FileOpened):
                self._decoder.opened(event)
            elif isinstance(event, Lines):
                for batch in self._decoder.lines(event):
                    lines, uids = batch["line"].to_pylist(), batch["uid"].to_pylist()
                    self.rows += zip(lines, uids, strict=True)


def in_archive(text: str) -> list[tuple[int, str]]:
    reader, splitter = Reader(), LineSplitter()
    for item in [*splitter.feed(text.encode()), *splitter.finish()]:
        assert isinstance(item, Block)
        for row in item.data.split(b"\n"):
            if b"{" in row:
                number = item.first_line + item.data[: item.data.index(row)].count(b"\n")
                reader.rows.append((number, json.loads(row.strip(b" ,[]"))["uid"]))
    return reader.rows


def test_a_log_that_grows_byte_by_byte(log: Path, layout: str) -> None:
    text = LAYOUTS[layout](records(3))
    follower, reader = Follower(log), Reader()
    follower.poll()
    for byte in text.encode():
        append(log, bytes([byte]))
        reader.take(follower.poll(0.25))
    assert [uid for _, uid in reader.rows] == ["C0", "C1", "C2"]
    assert reader.rows == in_archive(text)
    assert reader.counters.records_read == 3
    assert not reader.rejects
    assert not follower.gaps
    follower.tail.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.lists(st.tuples(st.integers(0, 2000), st.booleans()), max_size=8),
)
def test_stopped_anywhere_and_gone_on(
    tmp_path_factory: pytest.TempPathFactory, layout: str, stops: list[tuple[int, bool]]
) -> None:
    text = LAYOUTS[layout](records(6)).encode()
    log = tmp_path_factory.mktemp("logs") / "conn.log"
    follower, reader = Follower(log), Reader()
    follower.poll()
    begin = 0
    for end, restart in [*sorted(stops), (len(text), False)]:
        append(log, text[begin:end])
        begin = max(begin, end)
        reader.take(follower.poll(0.5))
        if restart:
            follower.restart()
    reader.take(follower.poll())
    assert reader.rows == in_archive(text.decode())
    assert reader.counters.records_read == 6
    assert not follower.gaps
    follower.tail.close()


def test_a_record_begun_waits_for_its_end(log: Path) -> None:
    text = LAYOUTS["pretty"](records(2)).encode()
    cut = text.rindex(b'"proto"')
    log.write_bytes(text[:cut])
    follower, reader = Follower(log), Reader()
    reader.take(follower.poll())
    # also where nobody seems to write any more
    reader.take(follower.tail.finish())
    assert [uid for _, uid in reader.rows] == ["C0"]
    follower.restart()
    append(log, text[cut:])
    reader.take(follower.poll())
    assert [uid for _, uid in reader.rows] == ["C0", "C1"]
    assert not reader.rejects
    assert not follower.gaps
    follower.tail.close()


def test_the_last_record_of_an_array_needs_no_end(log: Path) -> None:
    text = LAYOUTS["pretty"](records(2)).rstrip("\n")
    log.write_text(text)
    follower, reader = Follower(log), Reader()
    reader.take(follower.poll())
    reader.take(follower.tail.finish())
    assert [uid for _, uid in reader.rows] == ["C0", "C1"]
    append(log, b"\n" + LAYOUTS["pretty"](records(3)[2:]).encode())
    follower.restart()
    reader.take(follower.poll())
    assert [uid for _, uid in reader.rows] == ["C0", "C1", "C2"]
    assert not follower.gaps
    follower.tail.close()


def test_rotation_in_the_middle_of_a_record(log: Path) -> None:
    text = LAYOUTS["pretty"](records(3)).encode()
    first = LAYOUTS["pretty"](records(1)).encode()
    follower, reader = Follower(log), Reader()
    follower.poll()
    log.write_bytes(text[: len(first) + 30])
    reader.take(follower.poll())
    follower.restart()
    append(log, text[len(first) + 30 : -20])
    rotated = log.with_name("conn.2026-03-01-10-00-00.log")
    log.rename(rotated)
    log.write_text(LAYOUTS["pretty"](records(4)[3:]))
    reader.take(follower.poll())
    assert [uid for _, uid in reader.rows] == ["C0", "C1", "C3"]
    assert [reason for _, reason in reader.rejects] == ["truncated"]
    assert not follower.gaps
    follower.tail.close()


def test_a_file_with_nothing_but_a_bracket_is_no_other(log: Path) -> None:
    """Until its first record is whole, a file cannot be told from others of its layout."""
    text = LAYOUTS["array"](records(2)).encode()
    log.write_bytes(text[:10])
    follower = Follower(log)
    follower.poll()
    assert follower.tail.checkpoint is not None
    assert follower.tail.checkpoint.identity is None
    append(log, text[10:])
    follower.poll()
    assert follower.tail.checkpoint.identity is not None
    follower.tail.close()


def test_a_rotated_file_is_found_packed(log: Path) -> None:
    text = LAYOUTS["array"](records(4)).encode()
    follower, reader = Follower(log), Reader()
    follower.poll()
    log.write_bytes(text[: text.index(b'"C2"')])
    reader.take(follower.poll())
    follower.restart()
    log.with_name("conn.2026-03-01-10-00-00.log.gz").write_bytes(gzip.compress(text))
    log.unlink()
    log.write_text(LAYOUTS["pretty"](records(5)[4:]))
    reader.take(follower.poll())
    assert [uid for _, uid in reader.rows] == [f"C{i}" for i in range(5)]
    assert reader.counters.records_read == 5
    follower.tail.close()
