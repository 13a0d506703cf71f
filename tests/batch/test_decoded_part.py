"""Decoded parts keep alerts, rejects and clock times as one reader would have them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.batch.decoded_part import (
    DecodedPart,
    PartOrder,
    decode_part,
    read_batches,
    replay_memory,
)
from zeekml.batch.job import Cutting, ScoreJob
from zeekml.errors import OutputError
from zeekml.readers.archive import cut_file, read_stream
from zeekml.readers.events import flow_memory
from zeekml.readers.events.events_column import count_events
from zeekml.readers.files.discovery import LogFile, Stream
from zeekml.readers.files.file_type import Kind
from zeekml.readers.flow_order import in_end_order
from zeekml.readers.rejects import ReadCounters
from zeekml.readers.stream_clock import flow_ends

JOB = ScoreJob(out=Path(), cutting=Cutting(read_size=300, batch_rows=3))


def alert(flow_id: int | None, number: int) -> dict[str, Any]:
    return {
        "event_type": "alert",
        "flow_id": flow_id,
        "alert": {"signature": f"ET \u202e {number}", "signature_id": number},
    }


def lookup(flow_id: int | None, number: int, *, answer: bool) -> dict[str, Any]:
    told = {"type": "query", "rrname": f"{number}.example.net", "rrtype": "A"}
    if answer:
        told |= {"type": "answer", "rcode": "NXDOMAIN"}
    return {"event_type": "dns", "flow_id": flow_id, "dns": told}


def flow(flow_id: int | None, second: int, *, good: bool = True) -> dict[str, Any]:
    return {
        "event_type": "flow",
        "flow_id": flow_id,
        "src_ip": "10.0.0.1" if good else "nonsense",
        "dest_ip": "192.0.2.1",
        "proto": "UDP",
        "flow": {
            "start": f"2026-11-23T10:00:{second % 60:02}.000000+0000",
            "end": f"2026-11-23T10:01:{second % 60:02}.000000+0000",
        },
    }


IDS = st.sampled_from([1, 2, 3, 2**63 + 5, 2**70, None])
EVENTS = st.one_of(
    st.builds(alert, IDS, st.integers(0, 7)),
    st.builds(lookup, IDS, st.integers(0, 3), answer=st.booleans()),
    st.builds(flow, IDS, st.integers(0, 59), good=st.sampled_from([True, True, True, False])),
)


def decoded(path: Path, kind: Kind, parts: int, into: Path) -> tuple[LogFile, list[DecodedPart]]:
    file = LogFile(path.name, path, kind, path.stat().st_size)
    cut = cut_file(file, parts)
    return file, [decode_part(None, part, into / f"{i}", JOB) for i, part in enumerate(cut)]


@settings(max_examples=40)
@given(st.lists(EVENTS, min_size=1, max_size=60), st.integers(1, 6), st.integers(1, 4))
def test_alerts_find_their_flows_across_parts(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[dict[str, Any]],
    parts: int,
    remembered: int,
) -> None:
    place = tmp_path_factory.mktemp("eve")
    path = place / "eve.json"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_memory, "MAX_FLOWS", remembered)
        file, pieces = decoded(path, Kind.EVE, parts, place)
        stream = Stream("eve", "suricata", Kind.EVE, ((file,),))
        counters = ReadCounters()
        expected = [
            row for batch in read_stream(stream, counters=counters) for row in batch.to_pylist()
        ]
        memory = flow_memory.FlowMemory()
        found = []
        for piece in pieces:
            replay_memory(piece, memory)
            batches = list(read_batches(piece.directory, 0, len(piece.rows)))
            assert [len(batch) for batch in batches] == list(piece.rows)
            for batch, ends in zip(batches, piece.ends(), strict=True):
                np.testing.assert_array_equal(flow_ends(batch), ends)
            found += batches
    assert [row for batch in in_end_order(found) for row in batch.to_pylist()] == expected
    assert memory.unasked == counters.without_flow
    assert sum(map(count_events, found)) == counters.with_events


def test_a_part_without_flows(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_text("{}\nrubbish\n")
    _, (piece,) = decoded(path, Kind.ZEEK_JSON, 1, tmp_path)
    assert piece.rows == ()
    assert list(piece.ends()) == []
    assert list(read_batches(piece.directory, 0, 0)) == []
    assert [r["line"] for r in piece.reject_lines()] == [2]


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_text("{}\n")
    with pytest.raises(OutputError, match=r"conn\.log"):
        decoded(path, Kind.ZEEK_JSON, 1, path)


SAMPLE = Path(__file__).parent.parent.parent / "sample_logs" / "suricata" / "eve.json.gz"


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    path = tmp_path / "eve.json"
    lines = gzip.decompress(SAMPLE.read_bytes()).splitlines(keepends=True)
    # from within the log, and its end, where Suricata stopped
    path.write_bytes(b"".join([*lines[2000:3500], *lines[-1500:]]))
    return LogFile(path.name, path, Kind.EVE, path.stat().st_size)


@pytest.mark.parametrize(("parts", "batch_rows"), [(1, 8192), (5, 100), (40, 7)])
def test_parts_in_order(log: LogFile, tmp_path: Path, parts: int, batch_rows: int) -> None:
    stream = Stream("eve", "suricata", Kind.EVE, ((log,),))
    expected = [
        row for batch in read_stream(stream, counters=ReadCounters()) for row in batch.to_pylist()
    ]
    assert [row["line"] for row in expected] != sorted(row["line"] for row in expected)
    job = ScoreJob(out=tmp_path, cutting=Cutting(batch_rows=batch_rows, read_size=4096))
    place = tmp_path / "parts"
    memory, order = flow_memory.FlowMemory(), PartOrder(place, batch_rows)
    ordered = []
    for number, part in enumerate(cut_file(log, parts)):
        piece = decode_part(None, part, place / f"{number}", job)
        replay_memory(piece, memory)
        ordered += list(order.add(piece))
    ordered += list(order.finish())
    found = []
    for directory, ends in ordered:
        batches = list(read_batches(directory, 0, len(ends)))
        assert max(map(len, batches)) <= batch_rows
        for batch, of_batch in zip(batches, ends, strict=True):
            np.testing.assert_array_equal(flow_ends(batch), of_batch)
            found += batch.to_pylist()
    assert found == expected
    assert len({directory for directory, _ in ordered}) == len(ordered)


def test_an_order_that_cannot_be_written(log: LogFile, tmp_path: Path) -> None:
    (part,) = cut_file(log, 1)
    piece = decode_part(None, part, tmp_path / "0", ScoreJob(out=tmp_path))
    order = PartOrder(tmp_path / "missing", 100)
    with pytest.raises(OutputError, match="missing"):
        list(order.add(piece))
        list(order.finish())
