"""Rotated files of a log, known by their beginnings, in their order and without copies."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from zeekml.live.tail.file_reader import FileHead, open_listed, place_of, read_head
from zeekml.live.tail.fingerprint import Fingerprint, Place, identify
from zeekml.readers.files.file_names import LogName, natural_key


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A file that may hold a part of the log, as a directory lists it."""

    path: Path
    place: Place
    size: int
    written: int  # nanoseconds
    name: LogName
    fresh: bool = False  # in a directory that took the place of one that was moved away
    last: bool = False  # has the live file's name there
    old: bool = False  # written before what was finished: a clock was set back, if it is new
    came: bool = False  # known not to have been there before
    stale: bool = False  # may have been there long ago, and have been written anew since
    new: bool = False  # known to be new, if it is none of those that were finished lately
    skipped: bool = False  # known not to be read

    @classmethod
    def of(cls, path: Path, status: os.stat_result, name: LogName, **flags: bool) -> DirectoryEntry:
        return cls(path, place_of(status), status.st_size, status.st_mtime_ns, name, **flags)


@dataclass(frozen=True, slots=True)
class RotatedFile:
    """A file that may hold a part of the log, with its beginning."""

    entry: DirectoryEntry
    head: FileHead  # empty where it cannot be read
    fingerprint: Fingerprint
    obstacle: str = ""  # why it cannot be read

    def is_file(self, fingerprint: Fingerprint) -> bool:
        """Whether this is the file with that fingerprint."""
        if self.obstacle:
            return self.place == fingerprint.place
        return fingerprint.matches(self.head.data, self.place)

    @property
    def place(self) -> Place:
        return self.entry.place

    @property
    def time(self) -> float | None:
        """When it was begun, by its content, else by its name."""
        opened = self.fingerprint.opened
        return opened if opened is not None else self.entry.name.time

    @property
    def age(self) -> tuple[object, ...]:
        """Sort key, oldest first."""
        entry = self.entry
        # what cannot be read may be a copy that is being made
        natural = (self.obstacle != "", natural_key(entry.path.name), str(entry.path))
        shifts = -(entry.name.number or 0)
        if entry.name.time is None and entry.name.number is not None:
            # whether `#open` stands in it depends on whether copytruncate made it
            order: tuple[float, ...] = (1, shifts, 0)
        else:
            order = (2, entry.written, 0) if self.time is None else (0, self.time, shifts)
        return (entry.fresh, entry.last, *order, natural)


class HeadCache:
    """Reads the beginnings of files, each once as long as it is not written to."""

    def __init__(self) -> None:
        # by place, size and time of writing: a file with the same ones begins as it did
        self._known: dict[tuple[Place, int, int], tuple[FileHead, Fingerprint]] = {}

    def rotated(self, entries: Iterable[DirectoryEntry]) -> list[RotatedFile] | None:
        """Rotated files, oldest first; None when one of them is gone meanwhile.

        Of several copies of a file one is given: rather as it was written than compressed, for
        the compressed one may not be finished.
        """
        files = []
        known: dict[tuple[Place, int, int], tuple[FileHead, Fingerprint]] = {}
        for entry in entries:
            key = (entry.place, entry.size, entry.written)
            obstacle = ""
            try:
                if key not in self._known:
                    head = head_of(entry)
                    self._known[key] = head, identify(head.data, *entry.place)
                head, fingerprint = known[key] = self._known[key]
            except FileNotFoundError:
                return None
            except OSError as error:
                head, obstacle = FileHead(b""), error.strerror or "cannot be read"
                fingerprint = identify(b"", *entry.place)
            if not head.data and head.damage is None and not obstacle:
                continue
            if head.damage is not None and not fingerprint.distinct:
                # whose beginning this is cannot be told before there is more of it
                obstacle = head.damage
            files.append(RotatedFile(entry, head, fingerprint, obstacle))
        self._known = known
        return sorted(_without_copies(files), key=lambda file: file.age)


def head_of(entry: DirectoryEntry) -> FileHead:
    """The beginning of a listed file; raises OSError where it cannot be read."""
    with open_listed(entry.path, entry.place) as raw:
        return read_head(raw)


def _without_copies(files: list[RotatedFile]) -> list[RotatedFile]:
    """Leave out copies, and copies that are still being made, beside what they are made from."""
    readable = [file for file in files if not file.obstacle]
    readable.sort(key=lambda file: (file.head.data, not file.head.packed, file.entry.size))
    # in this order, whatever begins with a text comes right after it
    pairs = pairwise(readable)
    kept = [file for file, next_ in pairs if not next_.head.data.startswith(file.head.data)]
    kept += readable[-1:]
    ages = {file.age[:-1] for file in kept}
    return kept + [file for file in files if file.obstacle and file.age[:-1] not in ages]
