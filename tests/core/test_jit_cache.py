"""A read-only installation used by somebody without a home still runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


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


def run_with_cache(source: Path, base: Path) -> str:
    """Where the package at `source` would have compiled code kept."""
    script = (
        "import os; from zeekml.core.jit_cache import provide_compile_cache as provide; "
        "provide(); provide(); print(os.environ['NUMBA_CACHE_DIR'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(source), "XDG_CACHE_HOME": str(base)},
        cwd=base,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_changed_source_never_meets_old_compiled_code(tmp_path: Path) -> None:
    base, source = tmp_path / "cache", tmp_path / "site"
    base.mkdir()
    shutil.copytree(
        ROOT / "zeekml", source / "zeekml", ignore=shutil.ignore_patterns("__pycache__")
    )
    first = Path(run_with_cache(source, base))
    assert first.parent == base
    assert first.stat().st_mode & 0o777 == 0o700
    assert run_with_cache(source, base) == str(first)
    with (source / "zeekml" / "features" / "series.py").open("a") as file:
        file.write("# another version\n")
    second = Path(run_with_cache(source, base))
    assert second.parent == base
    assert second != first
    # what was not used for long goes, what was used lately stays
    os.utime(first, (0, 0))
    run_with_cache(source, base)
    assert not first.exists()
    assert second.exists()
