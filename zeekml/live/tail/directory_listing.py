"""Listing of the directories that a log's rotated files may be in.

These are the directory of the log, archives with Zeek's dated directories in them, directories in
which files of the log were met before, and the one that the log was in before it was moved away.
"""

from __future__ import annotations

import calendar
import datetime
import os
import re
import stat
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.live.tail.checkpoint import SkippedFiles
from zeekml.live.tail.file_reader import place_of
from zeekml.live.tail.fingerprint import Place
from zeekml.live.tail.rotated_files import DirectoryEntry
from zeekml.readers.files.file_names import LogName, parse_name

MAX_ENTRIES: Final = 1 << 17  # entries of one directory that are looked at
MAX_DATED_DIRECTORIES: Final = 400
"""Dated directories of one archive that are looked at, the newest by name."""

SLACK: Final = 2 * 10**9
"""Nanoseconds by which a copy may seem older: some file systems keep even seconds only."""

MAX_BACK: Final = 2 * 86_400 * 10**9
"""Nanoseconds by which a new file of an archive may seem older than what was read before."""

TIMES_SLACK: Final = 3900.0
"""Names and ``#open`` are local time, which is set back by an hour once a year."""

_DATE: Final = re.compile(r"(?:19|20)\d\d-\d\d-\d\d")
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Horizon:
    """Which files may be new; times are in nanoseconds. By default all may be."""

    written: int = 0  # what was not written since is old, unless a clock was set back
    skipped: SkippedFiles | None = None  # what was there before, if that is known
    live: int | None = None  # when the live file was last written, if there is one
    reading: Place | None = None  # the file being read, wanted however old it seems
    archives: Collection[Place] = ()  # those that were there before
    # of the files that were there once, all that were written after this are among these
    forgotten: int = 0
    noting: bool = False  # whether all that is not to be read is to be noted

    @property
    def since(self) -> int:
        """The time from which on there may be something new."""
        return self.written if self.live is None else min(self.written, self.live)

    def seems_old(self, written: int) -> bool:
        return written < self.written - SLACK

    def came(self, written: int) -> bool:
        """Whether it is known that no file with this time was there before."""
        return self.skipped is not None and written not in self.skipped

    @property
    def set_back(self) -> bool:
        """Whether the live file seems older than what was finished."""
        return self.live is not None and self.seems_old(self.live)

    def may_be_forgotten(self, begun: float) -> bool:
        """Whether a file that came may be one that was there long ago and was packed anew.

        While the sensor's clock is set back, all that it writes seems to be from long ago.
        """
        if not self.forgotten or self.set_back:
            return False
        return begun <= name_time(self.forgotten) + TIMES_SLACK

    def is_believed(self, written: int, archive: Place | None) -> bool:
        """Whether a file that seems old, but came, may be new.

        Clocks may have been set back, several times, and set right again. But an archive may be
        mounted at any time, with years of logs in it: in one that was not there before, it takes a
        live file that seems old, too. Beside the live file (`archive` None) it does not.
        """
        if archive is None:
            return True
        known = self.set_back or archive in self.archives
        return known and written >= self.since - MAX_BACK


@dataclass(frozen=True, slots=True)
class RotatedListing:
    """The files that a log may have been rotated into."""

    entries: list[DirectoryEntry]  # those that may have to be read
    skipped: list[int]  # when the others were last written, nanoseconds
    left_out: list[DirectoryEntry]  # those of them that were not there before
    archives: list[Place]  # where they are


def usual_archives(path: Path) -> list[Path]:
    """The directories that rotated files of a log are usually moved to, if they exist."""
    lexical = Path(os.path.normpath(path.absolute())).parent
    real = Path(os.path.realpath(lexical))
    found = []
    if lexical.name == "current":
        found.append(lexical.parent)
    for directory in (real, *real.parents[:3]):
        # Zeek's supervisor puts them into a queue beside the logger's own directory
        found.append(directory.parent / "log-queue")
        if directory.name == "spool":
            found.append(directory.parent / "logs")
    return [directory for directory in dict.fromkeys(found) if directory.is_dir()]


def own_name(path: Path) -> LogName:
    """What the name of a live file says."""
    # `current` is a link to the directory of a logger, whose name tells whose log it is
    return parse_name(path.name, Path(os.path.realpath(path.parent)).parts)


def list_rotated(
    path: Path,
    archives: Iterable[Path],
    horizon: Horizon = Horizon(),
    *,
    met: Iterable[Path] = (),
    moved: Path | None = None,
    absent: bool = False,
) -> RotatedListing | None:
    """List the files that a log may have been rotated into; None when they are just being moved.

    `met` are directories in which its files were met, `moved` is what the live file's directory has
    become. With `absent`, that is known not to exist, and is not looked at; else OSError is raised
    if it cannot be read.
    """
    own = own_name(path)
    found: dict[Place, DirectoryEntry] = {}
    skipped: list[int] = []
    left_out: list[DirectoryEntry] = []
    parent = path.parent
    beside = {parent, *([moved] if moved is not None else []), *met}
    directories: dict[Path, Place | None] = {} if absent else {parent: None}
    directories |= dict.fromkeys(sorted(beside - {parent}))
    places = []
    for archive in archives:
        with suppress(OSError):
            places.append(at := place_of(archive.stat()))
            # of one that was not there before all is noted, so that it is known later
            new = horizon.noting and at not in horizon.archives
            since = 0 if new else horizon.since
            for directory in (archive, *dated_directories(archive, since)):
                directories.setdefault(directory, at)
    for directory, archive_place in directories.items():
        try:
            listed = list_directory(directory)
        except OSError:
            if directory == parent:
                raise
            continue
        if listed is None:
            return None
        above = Path(os.path.realpath(directory)).parts
        for name, status in listed:
            if name == path.name and directory == parent:
                continue
            place, written = place_of(status), status.st_mtime_ns
            parsed = parse_name(name, above)
            if parsed.base == own.base:
                rotated = parsed.logger in ("", own.logger)
            else:
                # whatever was put behind the whole name, in a way nobody thought of
                rotated = name.startswith(path.name) and not name[len(path.name) :][:1].isalnum()
            if place != horizon.reading and not rotated:
                continue
            old, came = horizon.seems_old(written), horizon.came(written)
            believed = came and horizon.is_believed(written, archive_place)
            stale = parsed.time is not None and horizon.may_be_forgotten(parsed.time)
            new = believed and not stale and parsed.time is not None
            flags = {"fresh": moved is not None and directory == parent, "last": name == path.name}
            flags |= {"old": old, "came": came, "stale": stale, "new": new}
            flags["skipped"] = horizon.skipped is not None and horizon.skipped.surely(written)
            entry = DirectoryEntry.of(directory / name, status, parsed, **flags)
            if old and not believed and place != horizon.reading:
                skipped.append(written)
                if came:
                    left_out.append(entry)
                continue
            found.setdefault(place, entry)
    return RotatedListing(list(found.values()), skipped, left_out, places)


def list_directory(directory: Path) -> list[tuple[str, os.stat_result]] | None:
    """List regular files; None when the directory changes again and again meanwhile.

    A file that is renamed while its directory is listed may be missed.
    """
    for _ in range(_ATTEMPTS):
        before = directory.stat()
        found = []
        with os.scandir(directory) as entries:
            for entry, _ in zip(entries, range(MAX_ENTRIES), strict=False):
                if entry.name.startswith("."):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    found.append((entry.name, status))
        after = directory.stat()
        if (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns):
            return found
    return None


def dated_directories(archive: Path, since: int) -> list[Path]:
    """The directories of an archive for the days since two before a time in nanoseconds."""
    day = datetime.datetime.fromtimestamp((since - MAX_BACK) / 10**9, datetime.UTC)
    first = f"{day:%Y-%m-%d}" if since > 0 else ""
    try:
        with os.scandir(archive) as entries:
            dated = [e for e, _ in zip(entries, range(MAX_ENTRIES), strict=False)]
            dated = [e for e in dated if _DATE.fullmatch(e.name) and e.name >= first]
            names = [e.name for e in dated if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [archive / name for name in sorted(names)[-MAX_DATED_DIRECTORIES:]]


def name_time(written: int) -> float:
    """A time in nanoseconds as the name of a file would tell it."""
    return float(calendar.timegm(time.localtime(written / 1e9)))
