"""The directory of a feed: which files are in it, and whole files put into place when they change.

Who reads them looks every second or so, whenever it likes: it finds a whole file, the one before or
the new one, and never one that is being written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.directory_lock import DirectoryLock
from zeekml.core.file_stamp import Stamp, stamp_of
from zeekml.errors import OutputError
from zeekml.feeds.host_files import HOST_FILES
from zeekml.outputs import FILE_MODE

NOTICES: Final = "notices.jsonl"
NOTICES_BEFORE: Final = "notices.jsonl.1"
NOTICE_TABLE: Final = "notices.tsv"
FEED_FILES: Final = (NOTICES, NOTICE_TABLE, *HOST_FILES)

TABLE_LINES: Final = 2_000
"""Latest notices in the table: a reader that looks every second misses none unless more come in
between."""


class WholeFiles:
    """Files of a directory that are replaced when their content is another one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: dict[str, tuple[bytes, Stamp | None]] = {}

    def put(self, name: str, content: bytes) -> bool:
        """Have a file hold this; tell whether it had to be written. `OutputError` if it cannot."""
        path = self._directory / name
        known = self._written.get(name)
        if known is None:
            known = _content_of(path, len(content)), stamp_of(path)
        if known[0] == content and known[1] is not None and known[1] == stamp_of(path):
            self._written[name] = known
            return False
        with as_output_error(path), replacing(path, FILE_MODE) as file:
            file.write(content)
        self._written[name] = content, stamp_of(path)
        return True


def _content_of(path: Path, size: int) -> bytes:
    """What a file holds, if it is as long as that."""
    try:
        return path.read_bytes() if path.stat().st_size == size else b""
    except OSError:
        return b""


def lock_feed(directory: Path) -> DirectoryLock:
    """Make the directory if need be, and keep other runs and watches out of it.

    What one left there that was killed while it wrote a file is removed.
    """
    with as_output_error(directory):
        directory.mkdir(parents=True, exist_ok=True)
        taken = "another zeekml writes to this feed; stop it, or choose another --feed"
        lock = DirectoryLock(directory, f"{directory}: {taken}")
        for name in FEED_FILES:
            for left in directory.glob(f".{name}.*"):
                left.unlink(missing_ok=True)
        return lock


def refuse_feed(feed: Path, out: Path, state: Path | None = None) -> None:
    """Raise `OutputError` if the directory of a feed is that of the outputs, or in the state.

    The state is for one user alone, and whoever reads a feed is another.
    """
    if feed.resolve() == out.resolve():
        below = os.fspath(out / "feed")
        raise OutputError(f"{feed}: --feed must not be --out; a directory in it will do: {below}")
    if state is not None:
        first, second = feed.resolve(), state.resolve()
        if first.is_relative_to(second) or second.is_relative_to(first):
            apart = "--feed and --state must be directories apart, neither in the other"
            raise OutputError(f"{feed}: {apart}; --state is {state}")
