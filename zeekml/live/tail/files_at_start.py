"""Live files as they were when a watch was started, before anything that takes time.

Nothing but the operating system is asked here: what else it takes to follow a log is read in for
half a second, on a busy machine for longer, and a log may be rotated meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEAD: Final = 1 << 16
_MOST_FILES: Final = 64
_NAMES: Final = ("conn", "eve")
_DATA: Final = (".log", ".json")


@dataclass(frozen=True, slots=True)
class FileAtStart:
    """A live file, open so that no other file gets its inode."""

    descriptor: int
    head: bytes  # its first bytes


def open_live_files(paths: Iterable[Path]) -> dict[Path, FileAtStart]:
    """Open live files, and those in directories that sensors write to."""
    found: dict[Path, FileAtStart] = {}
    for path in paths:
        for name in _files(path):
            if name not in found and (file := _open(name)) is not None:
                found[name] = file
    return found


def _files(path: Path) -> list[Path]:
    try:
        names = sorted(file.name for file in path.iterdir())
    except (OSError, ValueError):
        return [path]
    usual = [name for name in names if name.startswith(_NAMES) and name.endswith(_DATA)]
    return [path / name for name in usual[:_MOST_FILES]]


def _open(path: Path) -> FileAtStart | None:
    with suppress(OSError, ValueError):
        # whatever it is, opening it must not wait
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return FileAtStart(descriptor, os.pread(descriptor, _HEAD, 0))
        os.close(descriptor)
    return None
