"""Scoring of some dates: what the whole log gives for them, however it is cut up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from zeekml.batch.run import Cutting, ScoreJob, score
from zeekml.outputs import OutputOptions
from zeekml.readers.files.discovery import discover
from zeekml.readers.record_dates import RecordDates, read_moment

SAMPLES = Path(__file__).parent.parent.parent / "sample_logs"
BEGIN, MIDDLE, END = (
    read_moment(f"2026-11-23T10:{minute}") for minute in ("44:30", "46:00", "47:30")
)
CUTTING = Cutting(slice_records=1500, part_bytes=400_000, batch_rows=700)


def run(log: Path, out: Path, dates: RecordDates | None, **more: Any) -> dict[str, Any]:
    options = OutputOptions(scores=True, enriched=True)
    job = ScoreJob(out=out, options=options, dates=dates, **more)
    return score(discover([log]), job).summary


def rows(out: Path) -> pa.Table:
    return pq.read_table(out / "scores.parquet").drop_columns(["source"])


def ends(out: Path) -> dict[str, float]:
    """By uid, when each flow ended."""
    found = {}
    for line in (out / "conn_scored.log").read_bytes().splitlines():
        record = json.loads(line)
        found[record["uid"]] = record["ts"] + float(record.get("duration") or 0.0)
    return found


@pytest.fixture(scope="module", params=["zeek_tsv/conn.log", "suricata"])
def log(request: pytest.FixtureRequest) -> Path:
    return SAMPLES / str(request.param)


@pytest.fixture(scope="module")
def whole(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    run(log, out, None)
    return out


def test_scores_are_those_of_the_whole_log_and_dates_side_by_side_are_all_of_it(
    log: Path, whole: Path, tmp_path: Path
) -> None:
    dates = [
        RecordDates(end=BEGIN),
        RecordDates(BEGIN, MIDDLE),
        RecordDates(MIDDLE, END),
        RecordDates(END),
    ]
    parts = []
    for number, some in enumerate(dates):
        out = tmp_path / str(number)
        summary = run(log, out, some)
        part = rows(out)
        assert part.num_rows == summary["records_scored"] > 0
        skipped = sum(summary["records_skipped"].values())
        rejected = sum(summary["records_rejected"].values())
        assert summary["records_read"] == part.num_rows + skipped + rejected
        assert summary["with_events"] <= summary["records_scored"]
        parts.append(part)
    together = pa.concat_tables(parts).sort_by([("line", "ascending"), ("uid", "ascending")])
    expected = rows(whole).sort_by([("line", "ascending"), ("uid", "ascending")])
    assert together.equals(expected)


def test_only_flows_of_these_dates_are_told_of(log: Path, tmp_path: Path) -> None:
    run(log, tmp_path, RecordDates(BEGIN, END))
    assert rows(tmp_path).num_rows == len((tmp_path / "conn_scored.log").read_bytes().splitlines())
    notices = [json.loads(line) for line in (tmp_path / "notice.log").read_bytes().splitlines()]
    assert notices
    for notice in notices:
        assert BEGIN <= notice["zeekml_last_ts"] < END, notice
    if log.is_relative_to(SAMPLES / "zeek_tsv"):
        found = ends(tmp_path)
        assert min(found.values()) >= BEGIN - 1e-6
        assert max(found.values()) < END


def test_slices_give_the_same_bytes(log: Path, tmp_path: Path) -> None:
    dates = RecordDates(BEGIN, END)
    one = run(log, tmp_path / "one", dates)
    many = run(log, tmp_path / "many", dates, workers=2, cutting=CUTTING)
    assert one == many
    for name in ("notice.log", "eve.json", "evidence.jsonl", "conn_scored.log", "rejects.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()
    assert rows(tmp_path / "one").equals(rows(tmp_path / "many"))


def test_the_dates_lie_within_the_log(whole: Path) -> None:
    moments = pc.min_max(rows(whole).column("ts")).as_py()
    assert moments["min"] < BEGIN < END < moments["max"]
