"""Directory scan: what there is of a log at one moment, the live file and its rotated files.

And the search for a file that was moved where its log's files usually are not.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Final

from zeekml.live.tail import checkpoint as stored
from zeekml.live.tail.checkpoint import Checkpoint, Finished, SkippedFiles
from zeekml.live.tail.default_paths import COMPRESSED
from zeekml.live.tail.directory_listing import (
    Horizon,
    dated_directories,
    list_rotated,
    own_name,
    usual_archives,
)
from zeekml.live.tail.file_reader import place_of, read_head
from zeekml.live.tail.fingerprint import Fingerprint, Place, identify
from zeekml.live.tail.next_file import NEVER_READ
from zeekml.live.tail.rotated_files import DirectoryEntry, HeadCache, RotatedFile, head_of
from zeekml.readers.files.discovery import open_log
from zeekml.readers.files.file_names import parse_name

MAX_FILES: Final = 4096
"""Rotated files of one log that are looked into, the newest by their time of writing."""

_DEPTH: Final = 4
_MOST_SEARCHED: Final = 1 << 16
_MOST_HEADS: Final = 512
_MOST_DATED: Final = 8
_FOR_ROTATED: Final = re.compile(r"old|arch|rotat|backup|\bbak|hist", re.IGNORECASE)
"""What directories are called that logs are moved into."""

_by_time = attrgetter("written")


@dataclass(frozen=True, slots=True)
class LogListing:
    """The files of a log."""

    live: RotatedFile | None
    rotated: list[RotatedFile]  # oldest first
    skipped: list[int]  # when those were last written that are not looked into, nanoseconds
    overlooked: int  # how many of these are only beyond the latest `MAX_FILES`
    left_out: list[RotatedFile]  # those of them that were not there before
    archives: list[Place]  # that were looked at


class DirectoryScan:
    """Looks at the files of one log, whose live file is at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._heads = HeadCache()
        self._directory: int | None = None  # descriptor
        self._held: Place | None = None
        self._looked_at: Place | None = None

    def close(self) -> None:
        """Forget the directory of the live file."""
        if self._directory is not None:
            os.close(self._directory)
            self._directory, self._held = None, None

    def hold_directory(self) -> None:
        """Keep hold of the directory that was looked at, should it be moved away.

        ``zeekctl stop`` moves the whole directory with all that is still to be read.
        """
        if self._looked_at is None or self._looked_at == self._held:
            return
        held = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if place_of(os.fstat(held)) != self._looked_at:
            os.close(held)
            return
        self.close()
        self._directory, self._held = held, self._looked_at

    def scan(self, checkpoint: Checkpoint, reading: int = 0) -> LogListing | None:
        """The files that may have to be read; None to look again later.

        `reading` is when the file that comes before them was last written, in nanoseconds, if it
        is open. OSError is raised when the live file or its directory cannot be read.
        """
        # What the live file becomes after this is met a second time among the rotated files. In
        # the other order, a file that is rotated in between would be missed.
        live = self._live()
        fingerprint, passed = checkpoint.identity, checkpoint.passed
        horizon = Horizon(
            max(checkpoint.written, reading),
            None if passed is None else SkippedFiles.load(passed),
            None if live is None else live.entry.written,
            None if fingerprint is None else fingerprint.place,
            checkpoint.archives,
            checkpoint.forgotten,
            noting=live is not None and bool(live.head.data),
        )
        met, moved = map(Path, checkpoint.directories), self._moved_directory()
        archives = usual_archives(self._path)
        listing = list_rotated(self._path, archives, horizon, met=met, moved=moved)
        if listing is None:
            return None
        entries, skipped = sorted(listing.entries, key=_by_time), listing.skipped
        latest, overlooked = entries[-MAX_FILES:], entries[:-MAX_FILES]
        # more than a few are an archive
        few = sorted(listing.left_out, key=_by_time)[-_MOST_HEADS:]
        files = self._heads.rotated([*latest, *few])
        if files is None:
            return None
        if self._directory is None:
            self.hold_directory()
        skipped += map(_by_time, overlooked)
        places = {entry.place for entry in few}
        rotated = [file for file in files if file.place not in places]
        left_out = [file for file in files if file.place in places]
        return LogListing(live, rotated, skipped, len(overlooked), left_out, listing.archives)

    def search(self, fingerprint: Fingerprint) -> tuple[RotatedFile | None, Path | None]:
        """Look for a file wherever it may have been moved to; None if it is nowhere near.

        As long as it was only renamed it has its inode, whatever its name and directory; a copy,
        packed or not, still begins as it did and mostly keeps the beginning of its name. Also gives
        its directory, if others will be rotated into that.
        """
        stem = self._path.name.partition(".")[0]
        heads = 0
        for entry in _nearby(self._path, usual_archives(self._path)):
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
                # it may as well have been moved away with the whole directory that the log was in
                directory = found.path.parent
                below = directory.is_relative_to(os.path.realpath(self._path.parent))
                return file, directory if below or _FOR_ROTATED.search(directory.name) else None
        return None, None

    def is_usual(self, directory: Path) -> bool:
        """Whether rotated files in a directory are found anyway."""
        archives = {Path(os.path.realpath(place)) for place in usual_archives(self._path)}
        beside = Path(os.path.realpath(self._path.parent))
        return directory in {beside, *archives} or directory.parent in archives

    def first_checkpoint(self, begun: Fingerprint | None = None) -> Checkpoint | None:
        """The checkpoint before the live file; None to look again later.

        Where there is no directory yet, the log begins with whatever appears in it. `begun` is
        what the live file was a moment ago, with which the log begins wherever it is now. Raises
        OSError as `scan` does, but for a directory that does not exist.
        """
        live = self._live()
        try:
            self._moved_directory()
            absent = False
        except (FileNotFoundError, NotADirectoryError):
            absent = True
        listing = list_rotated(self._path, usual_archives(self._path), absent=absent)
        if listing is None:
            return None
        entries = sorted(listing.entries, key=_by_time)
        since = entries[-1].written - stored.RECENT if entries else 0
        recent = sum(entry.written > since for entry in entries)
        several = min(max(recent, stored.MIN_FINISHED), stored.MAX_FINISHED)
        latest = self._heads.rotated(entries[-several:])
        if latest is None:
            return None
        # how many of the rotated files, oldest first, are older than the log's begin
        same = (n for n, file in enumerate(latest) if begun is not None and file.is_file(begun))
        newest = latest[-1] if latest else None
        # Suricata can put the time into the name of the file that it is writing
        alone = live is None and newest and not newest.head.packed and not newest.obstacle
        finished = next(same, len(latest) - 1 if alone else len(latest))
        unread = {file.place for file in latest[finished:]}
        left = [entry.written for entry in entries if entry.place not in unread]
        if absent:
            # what is mounted here one day may have been written long ago
            left.append(time.time_ns() - stored.RECENT)
        else:
            self.hold_directory()
        first = latest[finished] if unread else live
        fingerprint = first.fingerprint if first is not None else None
        if begun is not None and (first is None or not first.is_file(begun)):
            # gone already, which is reported when it is looked for
            first, fingerprint = None, begun
        # before its first record a file cannot be told from others
        known = fingerprint if fingerprint is not None and fingerprint.distinct else None
        size = first.entry.size if first and known and not first.head.packed else 0
        before = [file for file in latest[:finished] if file.fingerprint.distinct]
        old = tuple(Finished(f.fingerprint, NEVER_READ, 1, f.entry.written) for f in before)
        # of what appears with the directory nobody knows since when it has been there
        to_read = [file.entry.written for file in (*latest[finished:], *([live] if live else []))]
        passed = None if absent else SkippedFiles().with_(left, to_read).save()
        written = max(left, default=0)
        checkpoint = Checkpoint(known, size=size, finished=old, written=written, passed=passed)
        if absent:
            return checkpoint
        forgotten = max(map(_by_time, entries[:-several]), default=0)
        return replace(checkpoint, archives=tuple(listing.archives), forgotten=forgotten)

    def _live(self) -> RotatedFile | None:
        try:
            raw = open_log(self._path)
        except FileNotFoundError:
            return None
        with raw:
            entry = DirectoryEntry.of(self._path, os.fstat(raw.fileno()), own_name(self._path))
            head = read_head(raw)
        if head.packed:
            raise OSError(0, COMPRESSED)
        return RotatedFile(entry, head, identify(head.data, *entry.place))

    def _moved_directory(self) -> Path | None:
        """Where the directory is that was held, if the log is in another one by now."""
        self._looked_at = place_of(self._path.parent.stat())
        if self._directory is None or self._held == self._looked_at:
            return None
        return Path(f"/proc/self/fd/{self._directory}").readlink()


def _nearby(path: Path, archives: Iterable[Path]) -> Iterator[os.DirEntry[str]]:
    """Files around the live one, then those of the archives, lately filled first."""
    yield from _below(Path(os.path.realpath(path.parent)).parent, _DEPTH)
    for archive in archives:
        filled: dict[Path, int] = {}  # when something was last put into them, or taken out
        for directory in dated_directories(archive, 0):
            with suppress(OSError):
                filled[directory] = directory.stat().st_mtime_ns
        lately = sorted(filled, key=filled.__getitem__, reverse=True)[:_MOST_DATED]
        for directory in (archive, *lately):
            yield from _below(directory, 1)


def _below(root: Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """Regular files in a directory and those below it, nearest first, within bounds."""
    level, left = [str(root)], _MOST_SEARCHED
    for _ in range(depth):
        below: list[str] = []
        for directory in level:
            listed: list[os.DirEntry[str]] = []
            with suppress(OSError), os.scandir(directory) as entries:
                listed = [entry for entry, _ in zip(entries, range(left), strict=False)]
            left -= len(listed)
            for entry in listed:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry
        level = below
