"""Directories whose files are believed: nobody else may have put anything there."""

from __future__ import annotations

import os
from pathlib import Path


def usable(directory: Path) -> bool:
    """Whether the directory is there or can be made, is ours alone, and can be written."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return ours_alone(directory) and os.access(directory, os.W_OK | os.X_OK)


def ours_alone(directory: Path) -> bool:
    """Whether the directory is there, and only this account (and root) may write to it."""
    try:
        status = directory.stat()
    except OSError:
        return False
    return belongs_to(status, os.geteuid())


def belongs_to(status: os.stat_result, uid: int) -> bool:
    """Whether what was looked at is an account's, and nobody else but root may write to it."""
    return status.st_uid == uid and not status.st_mode & 0o022
