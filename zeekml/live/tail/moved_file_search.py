"""Search for a file of a log that was moved where its log's files usually are not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from zeekml.live.tail.directory_listing import dated_directories
from zeekml.live.tail.file_reader import place_of
from zeekml.live.tail.fingerprint import Fingerprint, identify
from zeekml.live.tail.rotated_files import DirectoryEntry, RotatedFile, head_of
from zeekml.readers.files.file_names import parse_name

_DEPTH: Final = 4
_MOST_SEARCHED: Final = 1 << 16
_MOST_HEADS: Final = 512
_MOST_DATED: Final = 8
_FOR_ROTATED: Final = re.compile(r"old|arch|rotat|backup|\bbak|hist", re.IGNORECASE)
"""What directories are called that logs are moved into."""


def search(path: Path, archives: Iterable[Path], fingerprint: Fingerprint) -> RotatedFile | None:
    """Look for a file wherever it may have been moved to; None if it is nowhere near.

    As long as it was only renamed it has its inode, whatever its name and directory; a copy,
    packed or not, still begins as it did and mostly keeps the beginning of its name.
    """
    stem = path.name.partition(".")[0]
    heads = 0
    for entry in _nearby(path, archives):
        alike = entry.name.startswith(stem) and heads < _MOST_HEADS
        if entry.inode() != fingerprint.inode and not alike:
            continue
        try:
            status = entry.stat(follow_symlinks=False)
            if place_of(status) != fingerprint.place and not alike:
                continue
            heads += 1
            found = DirectoryEntry.of(Path(entry.path), status, parse_name(entry.name))
            head = head_of(found)
        except OSError:
            continue
        file = RotatedFile(found, head, identify(head.data, *found.place))
        if file.is_file(fingerprint):
            return file
    return None


def rotated_into(path: Path, found: RotatedFile) -> Path | None:
    """The directory of a file that `search` found, if others will be rotated into it.

    It may as well have been moved away with the whole directory that the log was in.
    """
    directory = found.entry.path.parent
    below = directory.is_relative_to(os.path.realpath(path.parent))
    return directory if below or _FOR_ROTATED.search(directory.name) else None


def _nearby(path: Path, archives: Iterable[Path]) -> Iterator[os.DirEntry[str]]:
    """Files around the live one, then those of the archives, lately filled first."""
    yield from _below(Path(os.path.realpath(path.parent)).parent, _DEPTH)
    for archive in archives:
        dated = sorted(dated_directories(archive, 0), key=_filled, reverse=True)
        for directory in (archive, *dated[:_MOST_DATED]):
            yield from _below(directory, 1)


def _filled(directory: Path) -> int:
    """When something was last put into a directory, or taken from it; 0 if that is unknown."""
    try:
        return directory.stat().st_mtime_ns
    except OSError:
        return 0


def _below(root: Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """Regular files in a directory and those below it, nearest first, within bounds."""
    level, left = [str(root)], _MOST_SEARCHED
    for _ in range(depth):
        below: list[str] = []
        for directory in level:
            try:
                with os.scandir(directory) as entries:
                    listed = [entry for entry, _ in zip(entries, range(left), strict=False)]
            except OSError:
                continue
            left -= len(listed)
            for entry in listed:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry
        level = below
