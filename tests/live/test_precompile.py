"""Compiling ahead leaves nothing to compile, and the process that asked for it small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from zeekml.live.precompile import rehearse

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, os, re, sys
from pathlib import Path
from zeekml.live.precompile import compile_ahead
done = [compile_ahead(), compile_ahead()]
cache = Path(os.environ["NUMBA_CACHE_DIR"])
def compiled():
    return sorted(str(path) for path in cache.rglob("*.nbc"))
ahead = compiled()

import zeekml
from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import discover
from zeekml.detection.policy import load_policy
from zeekml.pipeline import Pipeline
bundle, policy = zeekml.load_bundle(), load_policy(None)
notices = 0
for logs in ("zeek_tsv", "zeek_json", "suricata"):
    pipeline = Pipeline(bundle, policy, sensor="zeek", stream=logs)
    for batch in flows_of(discover([Path(sys.argv[1], logs)])).to_batches(max_chunksize=1000):
        notices += len(pipeline.feed(batch)[1])
    notices += len(pipeline.close())
status = Path("/proc/self/status").read_text()
print(json.dumps({
    "done": done, "ahead": len(ahead), "later": sorted(set(compiled()) - set(ahead)),
    "notices": notices, "anonymous": int(re.findall(r"RssAnon:\\s+(\\d+)", status)[0]) // 1024,
}))
"""


def test_nothing_is_left_to_compile(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT / "sample_logs")],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=600,
        check=True,
    )
    told: Any = json.loads(done.stdout)
    assert told["done"] == [True, False]
    assert told["ahead"] > 10
    # whether records are in order of time is asked of archives only
    assert [path for path in told["later"] if "stream_clock._run-" not in path] == []
    assert told["notices"] > 10
    assert told["anonymous"] < 300  # MB; over 500 if it had compiled by itself


def test_the_rehearsal_comes_to_notices() -> None:
    assert rehearse() > 3
