"""Files on disk: hostile text stays inside its line, and a full disk is one clear error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from zeekml.batch.run import ScoreJob, score
from zeekml.core.directory_lock import TakenError
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import load_bundle
from zeekml.errors import OutputError
from zeekml.outputs import NoticeOutputs, OutputOptions, RowOutputs, lock_output, refuse_nested
from zeekml.pipeline import Pipeline
from zeekml.readers.files.discovery import discover
from zeekml.readers.flow_schema import FLOW_SCHEMA, ORIGINAL_FIELD

SAMPLE = Path(__file__).parents[1] / "sample_logs" / "zeek_tsv" / "conn.log"

ROOT = Path(__file__).parent.parent
HOSTILE = 'x"},\n{"forged": 1}\r\n\x1b[31m[bold]\u202e\x00'


def hostile_scan() -> pa.RecordBatch:
    rows = [
        {
            "ts": 1_700_000_000.0 + i / 50,
            "uid": HOSTILE,
            "id.orig_h": "192.0.2.66",
            "id.orig_p": 40_000,
            "id.resp_h": f"10.0.{i // 200}.{i % 200 + 1}",
            "id.resp_p": 445,
            "proto": "tcp",
            "service": HOSTILE,
            "conn_state": "S0",
            "orig_pkts": 1,
            "orig_ip_bytes": 44,
            "resp_pkts": 0,
            "resp_ip_bytes": 0,
            "signatures": [HOSTILE],
            "sensor": "zeek",
            "source": HOSTILE,
            "line": i + 1,
            "original": json.dumps({"uid": HOSTILE}).encode(),
        }
        for i in range(400)
    ]
    table = pa.Table.from_pylist(rows, schema=FLOW_SCHEMA.append(ORIGINAL_FIELD))
    return table.combine_chunks().to_batches()[0]


def test_no_record_can_forge_a_line_or_colour_a_screen(tmp_path: Path) -> None:
    pipeline = Pipeline(load_bundle(), load_policy(), sensor="zeek", stream=HOSTILE)
    for form in ("json", "tsv"):
        out = tmp_path / form
        options = OutputOptions(enriched=True, notice_format=form)
        outputs, rows = NoticeOutputs(out, options), RowOutputs(out, options)
        batch, notices = pipeline.feed(hostile_scan())
        assert notices, "400 unanswered probes in 8 seconds raise a notice"
        rows.write_batch(batch)
        outputs.write_notices(notices)
        rows.close()
        outputs.close()
        for name in ("notice.log", "eve.json", "conn_scored.log"):
            data = (out / name).read_bytes()
            assert b"\x1b" not in data
            assert b"\x00" not in data
            for line in data.decode().splitlines():
                if name != "notice.log" or form == "json":
                    assert "forged" not in json.loads(line)
        if form == "tsv":
            lines = (out / "notice.log").read_text().split("\n")[:-1]
            assert len({line.count("\t") for line in lines}) == 1
        pipeline = Pipeline(load_bundle(), load_policy(), sensor="zeek", stream=HOSTILE)


def test_a_full_disk_is_one_line_and_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notice.log").write_text("from an earlier run\n")
    # compiled code is cached on disk too: have that behind us
    Pipeline(load_bundle(), load_policy(), sensor="zeek", stream="s").feed(hostile_scan())
    # a limit on file size makes writes fail as a full disk does
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
        "sys.argv = ['zeekml', 'score', sys.argv[1], '--out', sys.argv[2], '--enriched']; "
        "from zeekml.cli.main import main; main()"
    )
    log = ROOT / "sample_logs" / "zeek_tsv" / "conn.log"
    done = subprocess.run(
        [sys.executable, "-c", limited, str(log), str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
        check=False,
    )
    assert done.returncode == 74, done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in out.iterdir()] == ["notice.log"]
    assert (out / "notice.log").read_text() == "from an earlier run\n"


@pytest.mark.parametrize(
    ("out", "state"), [("a", "a"), ("a/b", "a"), ("a", "a/b/c"), ("a/../b", "b"), ("link", "a")]
)
def test_outputs_and_state_are_apart(tmp_path: Path, out: str, state: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(OutputError, match="directories apart"):
        refuse_nested(tmp_path / out, tmp_path / state)
    refuse_nested(tmp_path / "a", tmp_path / "ab")


def test_a_run_does_not_replace_what_another_writes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    held = lock_output(out)
    (out / "notice.log").write_text("mine")
    job = ScoreJob(out=out)
    found = discover([str(SAMPLE)])
    with pytest.raises(TakenError, match="another zeekml writes to this directory"):
        score(found, job)
    assert [path.name for path in out.iterdir()] == ["notice.log"]
    held.close()
    score(found, job)
    assert (out / "notice.log").read_text() != "mine"
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]
