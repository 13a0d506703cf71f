"""Cache of compiled code, in a directory that belongs to exactly this source.

numba caches each compiled function by the state of its own file. A function compiled together with
one from another file would go on living in the cache when only that other file changes: after an
update, old and new code could run mixed and give scores of neither version. So every state of the
source gets a directory of its own.

Compiled code is code, so the place must be private; and numba refuses to load a cached function
where it cannot write, as under a service user without a home who runs a read-only installation.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from zeekml.core.private_directory import usable

_VARIABLE: Final = "NUMBA_CACHE_DIR"
_PREFIX: Final = "zeekml-"
_KEPT: Final = 60 * 86_400  # seconds for which the code of another version is kept

_kept = True


def provide_compile_cache() -> None:
    """Point numba to a private directory for this version's code.

    It is made in the directory that `NUMBA_CACHE_DIR` names, else in the user's cache, else for
    this process alone. Call it before anything imports numba; afterwards it does nothing.
    """
    directory = cache_directory()
    if not is_kept() or "numba" in sys.modules or os.environ.get(_VARIABLE) == str(directory):
        return
    if usable(directory):
        os.environ[_VARIABLE] = str(directory)
        _drop_old(directory.parent, directory)
        return
    temporary = tempfile.mkdtemp(prefix="zeekml-compiled-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    os.environ[_VARIABLE] = str(Path(temporary) / directory.name)


def cache_directory() -> Path:
    """Where this version's compiled code is to be kept, which need not be there yet."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.tsv")]):
        digest.update(f"{path.relative_to(package)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    name = _PREFIX + digest.hexdigest()[:16]
    chosen = os.environ.get(_VARIABLE)
    if chosen and Path(chosen).name == name:
        return Path(chosen)
    base = chosen or os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / name


def keep_nothing_compiled() -> None:
    """Let this process make no place for compiled code, and compile none.

    For commands that change nothing and read few records. Call it before anything imports
    `zeekml.core.jit`.
    """
    global _kept
    _kept = False


def is_kept() -> bool:
    """Whether this process keeps compiled code."""
    return _kept


def _drop_old(base: Path, current: Path) -> None:
    """Remove the code of versions that have not been used for long."""
    now = time.time()
    try:
        os.utime(current)
        for other in base.glob(f"{_PREFIX}*"):
            if other != current and other.is_dir() and now - other.stat().st_mtime > _KEPT:
                shutil.rmtree(other, ignore_errors=True)
    except OSError:
        return
