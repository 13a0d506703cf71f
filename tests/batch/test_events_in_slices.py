"""Flows get the same events however many processes score them."""

from __future__ import annotations

import gzip
import shutil
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
    job = ScoreJob(out=out, workers=workers, cutting=cutting, options=options)
    summary = score(discover([logs]), job).summary
    told: list[Any] = [summary["with_events"], summary["without_flow"], summary["records_skipped"]]
    told += [(out / name).read_bytes() for name in OUTPUTS]
    return [*told, pq.read_table(out / "scores.parquet").to_pydict()]


def test_slices_get_what_the_whole_does(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    shutil.copytree(DATA, logs)
    conn = gzip.decompress((DATA / "conn.log.gz").read_bytes()).splitlines(keepends=True)
    # some connections had not ended yet
    (logs / "conn.log.gz").write_bytes(gzip.compress(b"".join(conn[:-500])))
    whole = outputs(tmp_path / "whole", logs, 1, Cutting())
    small = Cutting(slice_records=300, part_bytes=40_000, batch_rows=100)
    assert outputs(tmp_path / "slices", logs, 2, small) == whole
    assert whole[0] > 1000
    assert whole[1] > 0
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "conn.log.gz").write_bytes((logs / "conn.log.gz").read_bytes())
    alone = outputs(tmp_path / "alone", tmp_path / "flows", 1, Cutting())
    assert alone[:3] == [0, 0, {}]
    assert alone[-1]["score"] != whole[-1]["score"], "or nothing would have been shown"
