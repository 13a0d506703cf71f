"""Run something that permissions apply to, even where the tests are run by root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_CAPABILITIES = "-dac_override,-dac_read_search"


def run_unprivileged(code: str, *arguments: str | Path) -> list[str]:
    """Run Python code without the right to pass by permissions; return what it prints, in lines."""
    before = ["setpriv", "--bounding-set", _CAPABILITIES] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*before, sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()
