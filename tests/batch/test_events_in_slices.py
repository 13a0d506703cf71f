"""Flows get the same events however many processes score them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from zeekml.batch.job import Cutting, ScoreJob
from zeekml.batch.run import score
from zeekml.outputs import OutputOptions
from zeekml.readers.files.discovery import discover

DATA = Path(__file__).parents[1] / "readers" / "data" / "office_events"
OUTPUTS = ("notice.log", "eve.json", "rejects.jsonl")


def outputs(out: Path, logs: Path, workers: int, cutting: Cutting) -> list[Any]:
    options = OutputOptions(scores=True)
    score(discover([logs]), ScoreJob(out=out, workers=workers, cutting=cutting, options=options))
    told: list[Any] = [(out / name).read_bytes() for name in OUTPUTS]
    return [*told, pq.read_table(out / "scores.parquet").to_pydict()]


def test_slices_get_what_the_whole_does(tmp_path: Path) -> None:
    whole = outputs(tmp_path / "whole", DATA, 1, Cutting())
    small = Cutting(slice_records=300, part_bytes=40_000, batch_rows=100)
    assert outputs(tmp_path / "slices", DATA, 2, small) == whole
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "conn.log.gz").write_bytes((DATA / "conn.log.gz").read_bytes())
    alone = outputs(tmp_path / "alone", tmp_path / "flows", 1, Cutting())
    assert alone[-1]["score"] != whole[-1]["score"], "or nothing would have been shown"
