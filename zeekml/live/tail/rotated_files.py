"""Find the files that a log was rotated into, and put them in order.

Looked at are the directory of the log, archives with Zeek's dated directories in them, directories
in which files of the log were met before, and the one that the log was in before it was moved away.
"""

from __future__ import annotations

import datetime
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from zeekml.live.tail.file_reader import FileHead, open_entry, read_head
from zeekml.live.tail.fingerprint import Fingerprint, identify
from zeekml.live.tail.skipped_files import SkippedFiles
from zeekml.readers.files.discovery import open_log
from zeekml.readers.files.file_names import LogName, natural_key, parse_name

MAX_FILES: Final = 4096
"""Rotated files of one log that are looked into, the newest by their time of writing."""

MAX_ENTRIES: Final = 1 << 17
"""Entries of one directory that are looked at."""

MAX_DIRECTORIES: Final = 400
"""Dated directories of one archive that are looked at, the newest by name."""

SLACK: Final = 2 * 10**9
"""Nanoseconds by which a copy may seem older: some file systems keep even seconds only."""

_DATE: Final = re.compile(r"(?:19|20)\d\d-\d\d-\d\d")
_DAY: Final = datetime.timedelta(days=2)
_ATTEMPTS: Final = 3

# how far is looked for a file that was moved
_DEPTH: Final = 4
_MOST_SEARCHED: Final = 1 << 16
_MOST_HEADS: Final = 512
_MOST_DATED: Final = 8

_Status = tuple[int, int, int, int]
"""Device, inode, size and time of writing: a file with the same ones begins as it did."""


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A file that may hold a part of the log, as a directory lists it.

    Attributes
    ----------
    path : Path
        Where it is.
    device, inode, size, written : int
        From its status; `written` is in nanoseconds.
    name : LogName
        What its name says.
    fresh : bool
        Whether it is in a directory that took the place of one that was moved away.
    last : bool
        Whether it has the live file's name there.
    old : bool
        Whether it was written before what was finished: a clock was set back, if it is new.
    came, passed : bool
        Whether it is known that it was not there before, or that it is not to be read.
    """

    path: Path
    device: int
    inode: int
    size: int
    written: int
    name: LogName
    fresh: bool = False
    last: bool = False
    old: bool = False
    came: bool = False
    passed: bool = False


@dataclass(frozen=True, slots=True)
class Horizon:
    """Which files may be new.

    Attributes
    ----------
    written : int
        What was not written since is old, in nanoseconds, unless a clock was set back.
    passed : Passed or None
        What was there before, if that is known.
    live : int or None
        When the live file was last written, if there is one.
    place : tuple of int or None
        Device and inode of the file that is being read, which is wanted however old it seems.
    """

    written: int = 0
    passed: SkippedFiles | None = None
    live: int | None = None
    place: tuple[int, int] | None = None

    @property
    def set_back(self) -> bool:
        """Whether the live file shows that a clock was set back."""
        return self.live is not None and self.live < self.written - SLACK

    @property
    def earliest(self) -> int:
        """The time from which on directories may have something new in them."""
        return min(self.written, self.live) if self.live is not None else self.written

    def seems_old(self, written: int) -> bool:
        """Tell whether a file was not written since."""
        return written < self.written - SLACK

    def came(self, written: int) -> bool:
        """Tell whether it is known that a file was not there before."""
        return self.passed is not None and written not in self.passed

    def is_believed(self, written: int, *, beside: bool) -> bool:
        """Tell whether a file that seems old, but was not there before, is taken for new.

        An archive may be mounted at any time, with years of logs in it, so there it takes a live
        file that seems older than what was finished; beside the live file it does not.
        """
        return beside or (self.set_back and self.live is not None and written <= self.live + SLACK)


@dataclass(frozen=True, slots=True)
class Listing:
    """What directories hold of a log.

    Attributes
    ----------
    entries : list of Entry
        What may have to be read.
    passed : list of int
        When the others were last written, in nanoseconds.
    """

    entries: list[DirectoryEntry]
    passed: list[int]


_ALL: Final = Horizon()


@dataclass(frozen=True, slots=True)
class RotatedFile:
    """A file that may hold a part of the log, with its beginning.

    Attributes
    ----------
    entry : Entry
        Where it is.
    head : Head
        Its beginning; empty where it cannot be read.
    identity : FileIdentity
        By its head.
    obstacle : str
        Why it cannot be read, or empty.
    """

    entry: DirectoryEntry
    head: FileHead
    identity: Fingerprint
    obstacle: str = ""

    def is_file(self, identity: Fingerprint) -> bool:
        """Tell whether this is the file with that identity."""
        if self.obstacle:
            return self.place == (identity.device, identity.inode)
        return identity.matches(self.head.data, *self.place)

    @property
    def place(self) -> tuple[int, int]:
        """Device and inode."""
        return self.entry.device, self.entry.inode

    @property
    def time(self) -> float | None:
        """When it was begun, by its content, else by its name."""
        opened = self.identity.opened
        return opened if opened is not None else self.entry.name.time

    @property
    def age(self) -> tuple[object, ...]:
        """Sort key, oldest first."""
        entry = self.entry
        # what cannot be read may be a copy that is being made
        natural = (self.obstacle != "", natural_key(entry.path.name), str(entry.path))
        place = (entry.fresh, entry.last)
        shifts = -(entry.name.number or 0)
        if entry.name.time is None and entry.name.number is not None:
            # whether `#open` stands in it depends on whether copytruncate made it
            return (*place, 1, shifts, 0, natural)
        if self.time is not None:
            return (*place, 0, self.time, shifts, natural)
        return (*place, 2, entry.written, 0, natural)


def usual_archives(path: Path) -> list[Path]:
    """Return the directories that rotated files of a log are usually moved to, if they exist."""
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


class RotatedFiles:
    """The rotated files of one log.

    Parameters
    ----------
    path : Path
        The live file.

    Attributes
    ----------
    archives : tuple of Path
        Directories that are looked at besides the live file's own, with their dated directories.
    directories : tuple of Path
        Directories in which files of the log were met.
    """

    def __init__(self, path: Path) -> None:
        self.archives: tuple[Path, ...] = ()
        self.directories: tuple[Path, ...] = ()
        self._path = path
        self._known: dict[_Status, tuple[FileHead, Fingerprint]] = {}

    def live(self) -> RotatedFile | None:
        """Return the live file; None if there is none.

        Raises OSError if it cannot be read or is no regular file.
        """
        try:
            raw = open_log(self._path)
        except FileNotFoundError:
            return None
        with raw:
            entry = _entry(self._path, os.fstat(raw.fileno()), self._name())
            head = read_head(raw)
        return RotatedFile(entry, head, identify(head.data, entry.device, entry.inode))

    def scan(
        self, horizon: Horizon = _ALL, moved: Path | None = None, *, absent: bool = False
    ) -> Listing | None:
        """Return the rotated files that may be new; None when they are just being moved.

        Parameters
        ----------
        horizon : Horizon, optional
            By default all may be.
        moved : Path, optional
            The directory that the live file's directory has become.
        absent : bool
            Whether the live file's directory is known not to exist; then it is not looked at.

        Raises
        ------
        OSError
            When the directory of the live file cannot be read.
        """
        own = self._name()
        found: dict[tuple[int, int], DirectoryEntry] = {}
        passed: list[int] = []
        parent = self._path.parent
        beside = {parent, *([moved] if moved is not None else []), *self.directories}
        directories = [] if absent else [parent]
        directories += sorted(beside - {parent})
        for archive in self.archives:
            directories += [archive, *_dated(archive, horizon.earliest)]
        for directory in dict.fromkeys(directories):
            try:
                listed = _list(directory)
            except OSError:
                if directory == parent:
                    raise
                continue
            if listed is None:
                return None
            above = Path(os.path.realpath(directory)).parts
            for name, status in listed:
                if name == self._path.name and directory == parent:
                    continue
                identity = (status.st_dev, status.st_ino)
                parsed = parse_name(name, above)
                if identity != horizon.place and not self._is_rotated(name, parsed, own):
                    continue
                written = status.st_mtime_ns
                old, came = horizon.seems_old(written), horizon.came(written)
                believed = came and horizon.is_believed(written, beside=directory in beside)
                if old and not believed and identity != horizon.place:
                    passed.append(written)
                    continue
                entry = _entry(
                    directory / name,
                    status,
                    parsed,
                    fresh=moved is not None and directory == parent,
                    last=name == self._path.name,
                    old=old,
                    came=came,
                    passed=horizon.passed is not None and horizon.passed.surely(written),
                )
                found.setdefault(identity, entry)
        return Listing(list(found.values()), passed)

    def search(self, identity: Fingerprint) -> RotatedFile | None:
        """Look for a file wherever it may have been moved to; None if it is nowhere near.

        As long as it was only renamed it has its inode, whatever its name and directory; a copy,
        packed or not, still begins as it did and mostly keeps the beginning of its name.
        """
        place = (identity.device, identity.inode)
        stem = self._path.name.partition(".")[0]
        heads = 0
        for entry in self._nearby():
            alike = entry.name.startswith(stem) and heads < _MOST_HEADS
            if entry.inode() != identity.inode and not alike:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
                if (status.st_dev, status.st_ino) != place and not alike:
                    continue
                heads += 1
                found = _entry(Path(entry.path), status, parse_name(entry.name))
                head = _read_head(found)
            except OSError:
                continue
            candidate = RotatedFile(found, head, identify(head.data, *_place(found)))
            if candidate.is_file(identity):
                return candidate
        return None

    def look(self, entries: Iterable[DirectoryEntry]) -> list[RotatedFile] | None:
        """Return rotated files, oldest first; None when one of them is gone meanwhile.

        Of several copies of a file one is given: rather as it was written than compressed, for
        the compressed one may not be finished.
        """
        candidates = []
        known: dict[_Status, tuple[FileHead, Fingerprint]] = {}
        for entry in entries:
            key = (entry.device, entry.inode, entry.size, entry.written)
            obstacle = ""
            try:
                if key not in self._known:
                    head = _read_head(entry)
                    self._known[key] = head, identify(head.data, entry.device, entry.inode)
                head, identity = known[key] = self._known[key]
            except FileNotFoundError:
                return None
            except OSError as error:
                head, obstacle = FileHead(b""), error.strerror or "cannot be read"
                identity = identify(b"", entry.device, entry.inode)
            if not head.data and head.damage is None and not obstacle:
                continue
            if head.damage is not None and not identity.distinct:
                # whose beginning this is cannot be told before there is more of it
                obstacle = head.damage
            candidates.append(RotatedFile(entry, head, identity, obstacle))
        self._known = known
        return sorted(_without_copies(candidates), key=lambda candidate: candidate.age)

    def _nearby(self) -> Iterator[os.DirEntry[str]]:
        """Yield files around the live one, then those of the archives, lately filled first."""
        yield from _below(Path(os.path.realpath(self._path.parent)).parent, _DEPTH)
        for archive in self.archives:
            dated = sorted(_dated(archive, 0), key=_filled, reverse=True)
            for directory in (archive, *dated[:_MOST_DATED]):
                yield from _below(directory, 1)

    def _is_rotated(self, name: str, parsed: LogName, own: LogName) -> bool:
        """Tell by its name whether a file may have been the live one."""
        if parsed.base == own.base:
            return parsed.logger in ("", own.logger)
        # whatever was put behind the whole name, in a way nobody thought of
        live = self._path.name
        return name.startswith(live) and not name[len(live) :][:1].isalnum()

    def _name(self) -> LogName:
        # `current` is a link to the directory of a logger, whose name tells whose log it is
        above = Path(os.path.realpath(self._path.parent)).parts
        return parse_name(self._path.name, above)


def _without_copies(candidates: list[RotatedFile]) -> list[RotatedFile]:
    """Leave out copies, and copies that are still being made, beside what they are made from."""
    readable = sorted(
        (c for c in candidates if not c.obstacle), key=lambda c: (c.head.data, _worth(c))
    )
    kept = [
        candidate
        for candidate, longer in zip_longest(readable, readable[1:])
        # in this order, whatever begins with a text comes right after it
        if longer is None or not longer.head.data.startswith(candidate.head.data)
    ]
    ages = {candidate.age[:-1] for candidate in kept}
    return kept + [c for c in candidates if c.obstacle and c.age[:-1] not in ages]


def _worth(candidate: RotatedFile) -> tuple[bool, int]:
    return not candidate.head.packed, candidate.entry.size


def _entry(
    path: Path,
    status: os.stat_result,
    name: LogName,
    *,
    fresh: bool = False,
    last: bool = False,
    old: bool = False,
    came: bool = False,
    passed: bool = False,
) -> DirectoryEntry:
    place = status.st_dev, status.st_ino
    size, written = status.st_size, status.st_mtime_ns
    return DirectoryEntry(path, *place, size, written, name, fresh, last, old, came, passed)


def _place(entry: DirectoryEntry) -> tuple[int, int]:
    return entry.device, entry.inode


def _filled(directory: Path) -> int:
    """When something was last put into a directory, or taken from it; 0 if that is unknown."""
    try:
        return directory.stat().st_mtime_ns
    except OSError:
        return 0


def _below(root: Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """Yield regular files in a directory and those below it, nearest first, within bounds."""
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


def _read_head(entry: DirectoryEntry) -> FileHead:
    with open_entry(entry.path, entry.device, entry.inode) as raw:
        return read_head(raw)


def _list(directory: Path) -> list[tuple[str, os.stat_result]] | None:
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


def _dated(archive: Path, since: int) -> list[Path]:
    """Return the directories of an archive for the days since."""
    first = ""
    if since > 0:
        day = datetime.datetime.fromtimestamp(since / 10**9, datetime.UTC) - _DAY
        first = f"{day:%Y-%m-%d}"
    try:
        with os.scandir(archive) as entries:
            names = [
                entry.name
                for entry, _ in zip(entries, range(MAX_ENTRIES), strict=False)
                if _DATE.fullmatch(entry.name)
                and entry.name >= first
                and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []
    return [archive / name for name in sorted(names)[-MAX_DIRECTORIES:]]
