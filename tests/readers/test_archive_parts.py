"""Parts of a file give what the file gives: records, rejects, counts and bytes."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeekml.readers.archive import LogPart, cut_file, read_part, read_stream
from zeekml.readers.files.discovery import LogFile, Stream
from zeekml.readers.files.file_type import Kind
from zeekml.readers.flow_order import in_end_order
from zeekml.readers.rejects import ReadCounters
from zeekml.readers.stream_reader import Events

SENSORS = {Kind.ZEEK_TSV: "zeek", Kind.ZEEK_JSON: "zeek", Kind.EVE: "suricata"}
Row = dict[str, Any]


class Sink:
    def __init__(self) -> None:
        self.lines: list[tuple[str, int, str, Any]] = []

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        self.lines.append((source, line, reason, excerpt))


def rows(batches: Iterator[pa.RecordBatch]) -> list[Row]:
    return [row for batch in batches for row in batch.to_pylist()]


def log_file(path: Path, kind: Kind) -> LogFile:
    return LogFile(path.name, path, kind, path.stat().st_size)


def whole(file: LogFile) -> tuple[list[Row], ReadCounters, Sink]:
    counters, sink = ReadCounters(), Sink()
    stream = Stream("log", SENSORS[file.kind], file.kind, ((file,),))
    found = rows(read_stream(stream, counters=counters, rejects=sink, keep_originals=True))
    return found, counters, sink


def check(file: LogFile, parts: list[LogPart], read_size: int | None) -> None:
    expected, counted, rejected = whole(file)
    found: list[pa.RecordBatch] = []
    totals, sink, events = ReadCounters(), Sink(), Events()
    for part in parts:
        counters = ReadCounters()
        found += read_part(
            part,
            counters=counters,
            rejects=sink,
            keep_originals=True,
            events=events,
            read_size=read_size,
        )
        totals.merge(counters)
    if file.kind is not Kind.EVE:  # whose alerts and events come from before
        assert rows(iter(found)) == expected
    else:
        in_order = rows(in_end_order(found))
        before = {"signatures": None, "events": None}
        assert [r | before for r in in_order] == [r | before for r in expected]
    assert sink.lines == rejected.lines
    if events.only_netflows:
        totals.files_skipped["suricata_netflow_only"] += 1
    # what is counted of alerts and events is known when parts are put together
    totals.with_events, totals.without_flow = counted.with_events, counted.without_flow
    assert asdict(totals) == asdict(counted)
    assert list(totals.skipped) == list(counted.skipped)


def damaged(data: bytes, kind: Kind) -> bytes:
    """The log with all sorts of lines in it that are no good records."""
    lines = data.splitlines(keepends=True)
    header = [line for line in lines if line.startswith(b"#")] if kind is Kind.ZEEK_TSV else []
    lines[40:40] = [b"rubbish\n", b"\xff\xfe\n", b"\n"]
    lines[60:60] = [b"\0\0\0", *header]
    if header:
        # another order of columns from here on
        fields = next(line for line in header if line.startswith(b"#fields")).split(b"\t")
        lines[80:80] = [line for line in header if not line.startswith((b"#fields", b"#types"))]
        lines[90:90] = [b"\t".join([*fields[:-1], b"extra", fields[-1]])]
    else:
        lines[70:70] = [b'{"event_type":"%d","_path":"%d"}\n' % (i, i) for i in range(90)]
        lines[165:165] = [b'{"event_type":"netflow","_path":"1"}\n'] * 3
        for i in range(200, 230):
            lines[i] = json.dumps(json.loads(lines[i]), indent=2).encode() + b"\n"
        lines[229] = lines[229][:-40]
        lines[240:250] = [b"Mar  1 10:00:00 fw sensor: " + line for line in lines[240:250]]
        lines[260:270] = [b"[" + b",".join(lines[260:270]).replace(b"\n", b"") + b"]\n"]
    lines[-5] = lines[-5].replace(b"\n", b"\r\n")
    return b"".join(lines)[:-7]


@pytest.fixture(scope="session", params=[Kind.ZEEK_TSV, Kind.ZEEK_JSON, Kind.EVE])
def log(
    request: pytest.FixtureRequest, office_tsv: bytes, office_json: bytes, office_eve: bytes
) -> tuple[Kind, bytes]:
    data = {Kind.ZEEK_TSV: office_tsv, Kind.ZEEK_JSON: office_json, Kind.EVE: office_eve}
    return request.param, damaged(data[request.param], request.param)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "gz cut": lambda data: gzip.compress(data)[:-500],
    "bz2": bz2.compress,
}


@pytest.mark.parametrize("packing", list(PACK))
@pytest.mark.parametrize(("parts", "read_size"), [(1, None), (2, 4096), (5, 1500), (40, 700)])
def test_equal_parts(
    log: tuple[Kind, bytes], packing: str, parts: int, read_size: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(PACK[packing](log[1]))
    file = log_file(path, log[0])
    cut = cut_file(file, parts)
    assert len(cut) == parts
    check(file, cut, read_size)


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(st.lists(st.floats(0, 1), max_size=5), st.integers(200, 30_000))
def test_cuts_anywhere(
    log: tuple[Kind, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    places: list[float],
    read_size: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"{log[0].name}.log"
    path.write_bytes(log[1])
    file = log_file(path, log[0])
    edges = sorted({round(place * file.size) for place in places} - {0})
    parts = [
        LogPart(file, begin, end) for begin, end in zip([0, *edges], [*edges, None], strict=True)
    ]
    check(file, parts, read_size)


def test_what_is_written_meanwhile_is_left_alone(office_tsv: bytes, tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(office_tsv)
    file = log_file(path, Kind.ZEEK_TSV)
    expected = whole(file)
    with path.open("ab") as log:
        log.write(office_tsv)
    counters = ReadCounters()
    found = [
        row
        for part in cut_file(file, 3)
        for row in rows(read_part(part, counters=counters, keep_originals=True, read_size=4096))
    ]
    assert found == expected[0]
    assert counters.bytes_read == len(office_tsv)


def test_a_file_that_is_gone_is_missed_once(tmp_path: Path) -> None:
    file = LogFile("conn.log", tmp_path / "conn.log", Kind.ZEEK_TSV, 1000)
    check(file, cut_file(file, 4), None)
    assert whole(file)[1].truncated == ["conn.log"]
    assert whole(file)[1].files_skipped == {"unreadable": 1}


def test_an_empty_file_has_one_part() -> None:
    file = LogFile("conn.log", Path("conn.log"), Kind.ZEEK_TSV, 0)
    assert cut_file(file, 7) == [LogPart(file)]
