"""Listing of the directories that a log's rotated files may be in.

These are the directory of the log, archives with Zeek's dated directories in them, directories in
which files of the log were met before, and the one that the log was in before it was moved away.
"""

from __future__ import annotations

import datetime
import os
import re
import stat
from collections.abc import Iterable
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

_DATE: Final = re.compile(r"(?:19|20)\d\d-\d\d-\d\d")
_DAY: Final = datetime.timedelta(days=2)
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Horizon:
    """Which files may be new; times are in nanoseconds. By default all may be."""

    written: int = 0  # what was not written since is old, unless a clock was set back
    skipped: SkippedFiles | None = None  # what was there before, if that is known
    live: int | None = None  # when the live file was last written, if there is one
    reading: Place | None = None  # the file being read, wanted however old it seems

    def seems_old(self, written: int) -> bool:
        return written < self.written - SLACK

    def came(self, written: int) -> bool:
        """Whether it is known that a file was not there before."""
        return self.skipped is not None and written not in self.skipped

    def is_believed(self, written: int) -> bool:
        """Whether a file of an archive that seems old, but was not there before, is new.

        An archive may be mounted at any time, with years of logs in it, so there it takes a live
        file that seems older than what was finished; beside the live file it does not.
        """
        return self.live is not None and self.seems_old(self.live) and written <= self.live + SLACK


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
) -> tuple[list[DirectoryEntry], list[int]] | None:
    """List the files that a log may have been rotated into; None when they are just being moved.

    First those that may have to be read, then when the others were last written, in nanoseconds.
    `met` are directories in which its files were met, `moved` is what the live file's directory has
    become. With `absent`, that is known not to exist, and is not looked at; else OSError is raised
    if it cannot be read.
    """
    own = own_name(path)
    found: dict[Place, DirectoryEntry] = {}
    skipped: list[int] = []
    parent = path.parent
    beside = {parent, *([moved] if moved is not None else []), *met}
    directories = [] if absent else [parent]
    directories += sorted(beside - {parent})
    # the time from which on directories may have something new in them
    since = horizon.written if horizon.live is None else min(horizon.written, horizon.live)
    for archive in archives:
        directories += [archive, *dated_directories(archive, since)]
    for directory in dict.fromkeys(directories):
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
            believed = came and (directory in beside or horizon.is_believed(written))
            if old and not believed and place != horizon.reading:
                skipped.append(written)
                continue
            flags = {"fresh": moved is not None and directory == parent, "last": name == path.name}
            flags |= {"old": old, "came": came}
            flags["skipped"] = horizon.skipped is not None and horizon.skipped.surely(written)
            entry = DirectoryEntry.of(directory / name, status, parsed, **flags)
            found.setdefault(place, entry)
    return list(found.values()), skipped


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
    """The directories of an archive for the days since a time in nanoseconds."""
    day = datetime.datetime.fromtimestamp(since / 10**9, datetime.UTC) - _DAY
    first = f"{day:%Y-%m-%d}" if since > 0 else ""
    try:
        with os.scandir(archive) as entries:
            dated = [e for e, _ in zip(entries, range(MAX_ENTRIES), strict=False)]
            dated = [e for e in dated if _DATE.fullmatch(e.name) and e.name >= first]
            names = [e.name for e in dated if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [archive / name for name in sorted(names)[-MAX_DATED_DIRECTORIES:]]
