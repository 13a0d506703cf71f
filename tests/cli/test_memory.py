"""Want of memory is one line that says so, wherever it comes to light."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from zeekml.cli import memory

ROOT = Path(__file__).parents[2]
LOG = ROOT / "sample_logs" / "zeek_tsv" / "conn.log"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 8 GiB\nfor an array"),
        pa.ArrowMemoryError("malloc of size 64 failed"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libx.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        pa.ArrowException("Failed to launch worker thread: Resource temporarily unavailable"),
    ],
)
def test_is_recognised(error: Exception) -> None:
    said = memory.shortage(error)
    assert said is not None
    assert said.startswith("not enough memory")
    assert said.isprintable()


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left"), RuntimeError("other"), ImportError("no module")],
)
def test_other_errors_are_others(error: Exception) -> None:
    assert memory.shortage(error) is None


def limited(megabytes: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zeekml", *map(str, arguments)]
    return subprocess.run(
        ["/bin/sh", "-c", f'ulimit -v {megabytes << 10}; exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("megabytes", [150, 560, 700, 1200, 2500])
def test_a_limit_is_named(tmp_path: Path, megabytes: int) -> None:
    done = limited(megabytes, "score", LOG, "--out", tmp_path / "out")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("zeekml: not enough memory")
    assert f"limited to {megabytes:,} MiB (ulimit -v)" in line
    assert not (tmp_path / "out" / "notice.log").exists()


def test_the_remedy_helps(tmp_path: Path) -> None:
    config = tmp_path / "zeekml.toml"
    config.write_text("context_records = 10000\n")
    done = limited(2500, "score", LOG, "--out", tmp_path / "out", "--config", config)
    assert done.returncode == 0, done.stderr


def test_help_needs_little() -> None:
    assert limited(150, "score", "--help").returncode == 0


def test_what_is_nested_too_deeply_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "zeekml.toml"
    config.write_text("x = " + "{a = " * 5000 + "1" + "}" * 5000)
    done = subprocess.run(
        [sys.executable, "-m", "zeekml", "score", LOG, "--out", tmp_path, "--config", config],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr == (
        f"zeekml: {config}: not valid TOML: nested too deeply; no setting needs that\n"
    )
