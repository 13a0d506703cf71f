"""Parts of a log of Suricata, decoded apart and put in order, are the log read in one piece."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from zeekml.batch.decoded_part import AlertReplay, PartOrder, decode_part, read_batches
from zeekml.batch.job import Cutting, ScoreJob
from zeekml.errors import OutputError
from zeekml.readers.archive import cut_file, read_stream
from zeekml.readers.files.discovery import LogFile, Stream
from zeekml.readers.files.file_type import Kind
from zeekml.readers.rejects import ReadCounters
from zeekml.readers.stream_clock import flow_ends

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
    replay, order = AlertReplay(), PartOrder(place, batch_rows)
    ordered = []
    for number, part in enumerate(cut_file(log, parts)):
        piece = decode_part(part, place / f"{number}", job)
        replay.run(piece)
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


def test_a_directory_that_cannot_be_written(log: LogFile, tmp_path: Path) -> None:
    (part,) = cut_file(log, 1)
    piece = decode_part(part, tmp_path / "0", ScoreJob(out=tmp_path))
    order = PartOrder(tmp_path / "missing", 100)
    with pytest.raises(OutputError, match="missing"):
        list(order.add(piece))
        list(order.finish())
