"""Interim records beside conn.log: the same however many processes score its flows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from open_sessions import (
    BEGIN,
    STORES,
    UPLOADS,
    as_json,
    as_tsv,
    conn_long,
    open_conn,
    with_uploads,
)

from zeekml.batch.job import Cutting, ScoreJob
from zeekml.batch.run import score
from zeekml.outputs import OutputOptions
from zeekml.readers.files.discovery import discover

OUTPUTS = ("notice.log", "eve.json", "evidence.jsonl", "rejects.jsonl")
SMALL = Cutting(slice_records=200, part_bytes=30_000, batch_rows=64)
ROWS = with_uploads()
LONG, HOURLY = conn_long(ROWS), open_conn(ROWS)


def scored(out: Path, logs: Path, workers: int = 1, cutting: Cutting | None = None) -> Any:
    """The summary, and the outputs."""
    options = OutputOptions(scores=True)
    job = ScoreJob(out=out, workers=workers, cutting=cutting or Cutting(), options=options)
    summary = score(discover([logs]), job).summary
    written = [(out / name).read_bytes() for name in OUTPUTS]
    return summary, [*written, pq.read_table(out / "scores.parquet").to_pydict()]


def uploads(outputs: list[Any]) -> list[dict[str, Any]]:
    notices = map(json.loads, outputs[0].splitlines())
    return [notice for notice in notices if notice["src"] == UPLOADS]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    place = tmp_path / "logs"
    place.mkdir()
    (place / "conn.log").write_bytes(b"".join(as_json(ROWS)))
    return place


def test_slices_tell_what_the_whole_does(tmp_path: Path, logs: Path) -> None:
    _, alone = scored(tmp_path / "alone", logs)
    (logs / "conn_long.log").write_bytes(b"".join(as_json(LONG)) + b"{rubbish\n")
    packed = gzip.compress(b"".join(as_tsv("open_conn", HOURLY)))
    (logs / "open_conn.log.gz").write_bytes(packed)
    summary, whole = scored(tmp_path / "whole", logs)
    assert scored(tmp_path / "slices", logs, 2, SMALL)[1] == whole
    assert scored(tmp_path / "rows", logs, cutting=Cutting(batch_rows=17))[1] == whole
    # they are no flows
    assert whole[-1] == alone[-1]
    assert summary["records_scored"] == len(ROWS)
    assert summary["records_skipped"] == {"conn_long": len(LONG), "open_conn": len(HOURLY)}
    assert summary["records_rejected"] == {"bad_json": 1}
    assert summary["records_read"] == len(ROWS) + len(LONG) + len(HOURLY) + 1
    (reject,) = map(json.loads, whole[3].splitlines())
    assert (Path(reject["source"]).name, reject["line"]) == ("conn_long.log", len(LONG) + 1)
    # what the fourth upload gives away is known when it has lasted half an hour
    ended, begun = uploads(alone)[0], uploads(whole)[0]
    assert (ended["dst"], begun["dst"]) == (STORES, STORES)
    assert begun["uid"] == ended["uid"]
    assert begun["ts"] == pytest.approx(ended["ts"] - 5200.0)
    assert begun["msg"].endswith("; no other host contacts it; open for 30 min so far)")
    assert "so far" not in ended["msg"]
    assert begun["ts"] > BEGIN


def test_an_incident_counts_no_byte_of_a_flow_twice(tmp_path: Path, logs: Path) -> None:
    (logs / "open_conn.log").write_bytes(b"".join(as_json(HOURLY)))
    _, whole = scored(tmp_path / "whole", logs)
    opened, closed = uploads(whole)
    assert "sent 669 kB" in opened["msg"]
    assert "sent 1.3 MB" in closed["msg"]
    assert closed["uid"] == opened["uid"]
    assert scored(tmp_path / "rows", logs, cutting=Cutting(batch_rows=17))[1] == whole


def test_what_is_open_when_the_last_flow_has_ended(tmp_path: Path, logs: Path) -> None:
    told = uploads(scored(tmp_path / "all", logs)[1])[0]
    until = told["ts"] - 6000.0  # in the fourth upload, ten minutes after it began
    flows = [row for row in ROWS if row["ts"] + row["duration"] < until]
    (logs / "conn.log").write_bytes(b"".join(as_json(flows)))
    (logs / "conn_long.log").write_bytes(b"".join(as_json(LONG)))
    (notice, _) = uploads(scored(tmp_path / "cut", logs)[1])
    assert notice["uid"] == told["uid"]
    assert "open for 30 min so far" in notice["msg"]
