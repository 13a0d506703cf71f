"""Flows get the same events however many processes score them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from zeekml.batch.job import Cutting, ScoreJob
from zeekml.batch.run import score
from zeekml.outputs import OutputOptions
from zeekml.readers.files.discovery import discover

DATA = Path(__file__).parents[1] / "readers" / "data" / "office_events"
OUTPUTS = ("notice.log", "eve.json", "scores.parquet", "rejects.jsonl")


def outputs(out: Path, logs: Path, workers: int, cutting: Cutting) -> list[bytes]:
    options = OutputOptions(scores=True)
    score(discover([logs]), ScoreJob(out=out, workers=workers, cutting=cutting, options=options))
    return [(out / name).read_bytes() for name in OUTPUTS]


def test_slices_get_what_the_whole_does(tmp_path: Path) -> None:
    whole = outputs(tmp_path / "whole", DATA, 1, Cutting())
    small = Cutting(slice_records=300, part_bytes=40_000, batch_rows=100)
    assert outputs(tmp_path / "slices", DATA, 2, small) == whole
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "conn.log.gz").write_bytes((DATA / "conn.log.gz").read_bytes())
    outputs(tmp_path / "alone", tmp_path / "flows", 1, Cutting())
    scores = [
        pq.read_table(tmp_path / name / "scores.parquet")["score"].to_pylist()
        for name in ("whole", "alone")
    ]
    assert scores[0] != scores[1], "or nothing would have been shown"
