"""A disk that can be filled up: one of its own where that is permitted."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

SIZE = 512 << 10
FULL = "No space left|disk is full|File too large|disk I/O error"
"""What is said on a full disk, and where a limit on the size of files stands for it."""


class SmallDisk:
    """A disk of `size` bytes; without the right to mount one, files that may grow no more."""

    def __init__(self, path: Path, size: int = SIZE) -> None:
        self.path = path
        self.path.mkdir()
        self._ballast = path / "ballast"
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
        self.mounted = (
            os.geteuid() == 0
            and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        )
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self, leave: int, growing: Path) -> None:
        """Leave room for `leave` bytes, give or take a page, that are added to a file."""
        if not self.mounted:
            size = growing.stat().st_size if growing.exists() else 0
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + leave, self._limits[1]))
            return
        with self._ballast.open("ab", buffering=0) as file, pytest.raises(OSError, match="space"):
            while True:
                file.write(b"b" * 4096)
        os.truncate(self._ballast, max(self._ballast.stat().st_size - leave, 0))

    def make_room(self) -> None:
        """Give all room back."""
        if not self.mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        self.make_room()
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)
