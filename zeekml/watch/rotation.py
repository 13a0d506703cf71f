"""Find the files that a log was rotated into, and put them in order.

Looked at are the directory of the log, archives with Zeek's dated directories in them, and the
directory that the log was in before it was moved away.
"""

from __future__ import annotations

import datetime
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from zeekml.flows.discovery import open_log
from zeekml.flows.naming import LogName, natural_key, parse_name
from zeekml.watch.identity import FileIdentity, identify
from zeekml.watch.open_file import Head, open_entry, read_head

MAX_FILES: Final = 4096
"""Rotated files of one log that are looked into, the newest by their time of writing."""

MAX_ENTRIES: Final = 1 << 17
"""Entries of one directory that are looked at."""

MAX_DIRECTORIES: Final = 400
"""Dated directories of one archive that are looked at, the newest by name."""

_SLACK: Final = 2 * 10**9
"""Nanoseconds by which a copy may seem older: some file systems keep even seconds only."""

_DATE: Final = re.compile(r"(?:19|20)\d\d-\d\d-\d\d")
_DAY: Final = datetime.timedelta(days=2)
_ATTEMPTS: Final = 3

_Status = tuple[int, int, int, int]
"""Device, inode, size and time of writing: a file with the same ones begins as it did."""


@dataclass(frozen=True, slots=True)
class Entry:
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
    """

    path: Path
    device: int
    inode: int
    size: int
    written: int
    name: LogName
    fresh: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
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

    entry: Entry
    head: Head
    identity: FileIdentity
    obstacle: str = ""

    def is_file(self, identity: FileIdentity) -> bool:
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
        return (*place, 2, 0, 0, natural)


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


class Rotations:
    """The rotated files of one log.

    Parameters
    ----------
    path : Path
        The live file.

    Attributes
    ----------
    archives : tuple of Path
        Directories that are looked at besides the live file's own, with their dated directories.
    """

    def __init__(self, path: Path) -> None:
        self.archives: tuple[Path, ...] = ()
        self._path = path
        self._known: dict[_Status, tuple[Head, FileIdentity]] = {}

    def live(self) -> Candidate | None:
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
        return Candidate(entry, head, identify(head.data, entry.device, entry.inode))

    def scan(
        self, since: int = 0, moved: Path | None = None, *, absent: bool = False
    ) -> list[Entry] | None:
        """Return the rotated files that were written since; None when they are just being moved.

        Parameters
        ----------
        since : int
            In nanoseconds.
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
        found: dict[tuple[int, int], Entry] = {}
        parent = self._path.parent
        directories = [] if absent else [parent]
        directories += [moved] if moved is not None else []
        for archive in self.archives:
            directories += [archive, *_dated(archive, since)]
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
                if status.st_mtime_ns < since - _SLACK:
                    continue
                if name == self._path.name and directory == parent:
                    continue
                parsed = parse_name(name, above)
                if parsed.base != own.base or parsed.logger not in ("", own.logger):
                    continue
                identity = (status.st_dev, status.st_ino)
                entry = _entry(
                    directory / name,
                    status,
                    parsed,
                    fresh=moved is not None and directory == parent,
                    last=name == self._path.name,
                )
                found.setdefault(identity, entry)
        return list(found.values())

    def look(self, entries: Iterable[Entry]) -> list[Candidate] | None:
        """Return rotated files, oldest first; None when one of them is gone meanwhile.

        Of several copies of a file one is given: rather as it was written than compressed, for
        the compressed one may not be finished.
        """
        candidates = []
        known: dict[_Status, tuple[Head, FileIdentity]] = {}
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
                head, obstacle = Head(b""), error.strerror or "cannot be read"
                identity = identify(b"", entry.device, entry.inode)
            if not head.data and head.damage is None and not obstacle:
                continue
            if head.damage is not None and not identity.distinct:
                # whose beginning this is cannot be told before there is more of it
                obstacle = head.damage
            candidates.append(Candidate(entry, head, identity, obstacle))
        self._known = known
        return sorted(_without_copies(candidates), key=lambda candidate: candidate.age)

    def _name(self) -> LogName:
        # `current` is a link to the directory of a logger, whose name tells whose log it is
        above = Path(os.path.realpath(self._path.parent)).parts
        return parse_name(self._path.name, above)


def _without_copies(candidates: list[Candidate]) -> list[Candidate]:
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


def _worth(candidate: Candidate) -> tuple[bool, int]:
    return not candidate.head.packed, candidate.entry.size


def _entry(
    path: Path,
    status: os.stat_result,
    name: LogName,
    *,
    fresh: bool = False,
    last: bool = False,
) -> Entry:
    place = status.st_dev, status.st_ino
    return Entry(path, *place, status.st_size, status.st_mtime_ns, name, fresh, last)


def _read_head(entry: Entry) -> Head:
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
