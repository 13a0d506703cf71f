"""Live files as they were when a watch was started, before anything that takes time.

Nothing but the operating system is asked here: what else it takes to follow a log is read in for
half a second, on a busy machine for longer, and a log may be rotated meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEAD: Final = 1 << 16
_MOST_FILES: Final = 64
_NAMES: Final = ("conn", "eve")
_DATA: Final = (".log", ".json")


@dataclass(frozen=True, slots=True)
class FilesAtStart:
    """A live file."""

    device: int
    inode: int
    head: bytes  # its first bytes
    file: int  # descriptor, open so that no other file gets its inode

    def close(self) -> None:
        os.close(self.file)


def sight(paths: Iterable[Path]) -> dict[Path, FilesAtStart]:
    """Look at live files, and at those in directories that sensors write to."""
    found: dict[Path, FilesAtStart] = {}
    for path in paths:
        for file in _files(path):
            if file not in found and (sighting := _sight(file)) is not None:
                found[file] = sighting
    return found


def _files(path: Path) -> list[Path]:
    try:
        names = sorted(file.name for file in path.iterdir())
    except (OSError, ValueError):
        return [path]
    usual = [name for name in names if name.startswith(_NAMES) and name.endswith(_DATA)]
    return [path / name for name in usual[:_MOST_FILES]]


def _sight(path: Path) -> FilesAtStart | None:
    try:
        # whatever it is, opening it must not wait
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode):
            return FilesAtStart(status.st_dev, status.st_ino, os.pread(file, _HEAD, 0), file)
    except OSError:
        pass
    os.close(file)
    return None
