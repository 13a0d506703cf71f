"""A read-only installation used by somebody without a home still runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_a_read_only_install_without_a_home(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(
        ROOT / "zeekml", site / "zeekml", ignore=shutil.ignore_patterns("__pycache__", "*.nbc")
    )
    for directory in [site, *(p for p in site.rglob("*") if p.is_dir())]:
        directory.chmod(0o555)
    # root writes anywhere unless it gives up the capabilities that let it
    as_anyone = (
        ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    )
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(site / "nowhere"),
        "TMPDIR": str(temporary),
    }
    try:
        done = subprocess.run(
            [*as_anyone, sys.executable, "-m", "zeekml", "bundle", "verify"],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            timeout=300,
            check=False,
        )
    finally:
        for directory in [site, *(p for p in site.rglob("*") if p.is_dir())]:
            directory.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "sound" in done.stdout
    assert list(temporary.iterdir()) == []
