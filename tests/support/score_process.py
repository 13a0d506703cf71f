"""`zeekml score` as a process of its own that has work for a while, to be interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_TSV: Final = ROOT / "sample_logs" / "zeek_tsv" / "conn.log"


def start_scoring(
    directory: Path, *options: str, copies: int, until: str
) -> tuple[subprocess.Popen[str], Path]:
    """Score the sample so many times over, into a directory that holds an earlier run's notices.

    Returns the process once a file that fits the pattern `until` is there, and its outputs' place.
    """
    header, *body = _TSV.read_text().splitlines(keepends=True)
    log, out = directory / "conn.log", directory / "out"
    with log.open("w") as file:
        file.write(header)
        for _ in range(copies):
            file.writelines(line for line in body if not line.startswith("#close"))
    out.mkdir()
    (out / "notice.log").write_text("from an earlier run\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "zeekml", "score", str(log), "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        # a test run in the background of a shell ignores interrupts, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list(out.glob(until)):
        assert time.monotonic() < deadline, "the run never started"
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process, out
