"""A place for compiled code where numba finds none.

numba keeps compiled functions beside the source, or else in the user's cache directory, and refuses
to load a cached function where both cannot be written: under a service user without a home, say,
who runs a read-only installation. Compiled code is code, so the place must be private.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_VARIABLE = "NUMBA_CACHE_DIR"


def provide_compile_cache() -> None:
    """Point numba to a private directory for this process if it could write nowhere else.

    Does nothing where `NUMBA_CACHE_DIR` is set. Call it before anything imports numba.
    """
    if os.environ.get(_VARIABLE) or _beside_source() or _in_home():
        return
    directory = tempfile.mkdtemp(prefix="zeekml-compiled-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    os.environ[_VARIABLE] = directory


def _beside_source() -> bool:
    package = Path(__file__).parent
    places = [p.parent / "__pycache__" for p in package.glob("*/__init__.py")]
    return all(os.access(p if p.exists() else p.parent, os.W_OK) for p in places)


def _in_home() -> bool:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    try:
        (Path(base) / "numba").mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(Path(base) / "numba", os.W_OK)
