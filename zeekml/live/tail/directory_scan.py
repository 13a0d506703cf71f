"""What there is of a log at one moment: the live file, and what it was rotated into."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.live.tail.checkpoint import (
    MAX_FINISHED,
    MIN_FINISHED,
    RECENT,
    Checkpoint,
    Finished,
)
from zeekml.live.tail.fingerprint import Fingerprint
from zeekml.live.tail.next_file import NEVER_READ
from zeekml.live.tail.rotated_files import (
    MAX_FILES,
    DirectoryEntry,
    Horizon,
    RotatedFile,
    RotatedFiles,
    usual_archives,
)
from zeekml.live.tail.skipped_files import SkippedFiles

_FOR_ROTATED: Final = re.compile(r"old|arch|rotat|backup|\bbak|hist", re.IGNORECASE)
"""What directories are called that logs are moved into."""

PACKED_LIVE: Final = "is compressed while it is written and cannot be followed"


@dataclass(frozen=True, slots=True)
class LogListing:
    """The files of a log.

    Attributes
    ----------
    live : Candidate or None
        The live file; None if there is none.
    rotated : list of Candidate
        Rotated files, oldest first.
    passed : list of int
        When those were last written that are not looked into, in nanoseconds.
    overlooked : int
        How many more there are, of which only the latest `MAX_FILES` are looked into.
    """

    live: RotatedFile | None
    rotated: list[RotatedFile]
    passed: list[int]
    overlooked: int = 0


class DirectoryScan:
    """Looks at the files of one log.

    Parameters
    ----------
    path : Path
        The live file.
    archives : sequence of Path or None
        Where rotated files go besides the live file's directory; None for `usual_archives`.
    """

    def __init__(self, path: Path, archives: Sequence[Path] | None) -> None:
        self._path = path
        self._archives = archives
        self._known = RotatedFiles(path)
        self._directory: int | None = None
        self._held: tuple[int, int] | None = None
        self._looked_at: tuple[int, int] | None = None

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
        status = os.fstat(held)
        if (status.st_dev, status.st_ino) != self._looked_at:
            os.close(held)
            return
        self.close()
        self._directory, self._held = held, self._looked_at

    def look(self, position: Checkpoint, reading: int = 0) -> LogListing | None:
        """Return the files that may have to be read; None to look again later.

        Parameters
        ----------
        position : Position
            What was read.
        reading : int
            When the file that comes before them was last written, in nanoseconds, if it is open.

        Raises
        ------
        OSError
            When the live file or its directory cannot be read.
        """
        # What the live file becomes after this is met a second time among the rotated files. In
        # the other order, a file that is rotated in between would be missed.
        live = self._live()
        identity = position.identity
        horizon = Horizon(
            max(position.written, reading),
            None if position.passed is None else SkippedFiles.load(position.passed),
            None if live is None else live.entry.written,
            None if identity is None else (identity.device, identity.inode),
        )
        rotations = self._rotations()
        rotations.directories = tuple(map(Path, position.directories))
        listing = rotations.scan(horizon, self._moved_directory())
        if listing is None:
            return None
        entries = listing.entries
        entries.sort(key=_written)
        latest, overlooked = entries[-MAX_FILES:], entries[:-MAX_FILES]
        rotated = self._rotations().look(latest)
        if rotated is None:
            return None
        if self._directory is None:
            self.hold_directory()
        passed = [*listing.passed, *map(_written, overlooked)]
        return LogListing(live, rotated, passed, len(overlooked))

    def search(self, identity: Fingerprint) -> RotatedFile | None:
        """Look for a file further away than its log's files usually are."""
        return self._rotations().search(identity)

    def rotated_into(self, found: RotatedFile) -> Path | None:
        """Return the directory of a file that `search` found if others will be rotated into it.

        It may as well have been moved away with the whole directory that the log was in.
        """
        directory = found.entry.path.parent
        below = directory.is_relative_to(os.path.realpath(self._path.parent))
        return directory if below or _FOR_ROTATED.search(directory.name) else None

    def is_usual(self, directory: Path) -> bool:
        """Tell whether rotated files in a directory are found anyway."""
        archives = {Path(os.path.realpath(place)) for place in self._rotations().archives}
        beside = Path(os.path.realpath(self._path.parent))
        return directory in {beside, *archives} or directory.parent in archives

    def first_position(self, begun: Fingerprint | None = None) -> Checkpoint | None:
        """Return the position before the live file; None to look again later.

        Where there is no directory yet, the log begins with whatever appears in it.

        Parameters
        ----------
        begun : FileIdentity or None
            What the live file was a moment ago, with which the log begins wherever it is now.

        Raises
        ------
        OSError
            As `look` does, but for a directory that does not exist.
        """
        live = self._live()
        try:
            self._moved_directory()
            absent = False
        except (FileNotFoundError, NotADirectoryError):
            absent = True
        listing = self._rotations().scan(absent=absent)
        if listing is None:
            return None
        entries = sorted(listing.entries, key=_written)
        since = entries[-1].written - RECENT if entries else 0
        recent = sum(entry.written > since for entry in entries)
        several = min(max(recent, MIN_FINISHED), MAX_FINISHED)
        latest = self._rotations().look(entries[-several:])
        if latest is None:
            return None
        finished = self._before(begun, live, latest)
        unread = {file.place for file in latest[finished:]}
        left = [entry.written for entry in entries if (entry.device, entry.inode) not in unread]
        if absent:
            # what is mounted here one day may have been written long ago
            left.append(time.time_ns() - RECENT)
        else:
            self.hold_directory()
        first = latest[finished] if unread else live
        identity = first.identity if first is not None else None
        if begun is not None and (first is None or not first.is_file(begun)):
            # gone already, which is told when it is looked for
            first, identity = None, begun
        # before its first record a file cannot be told from others
        known = identity if identity is not None and identity.distinct else None
        return Checkpoint(
            identity=known,
            size=first.entry.size if first and known and not first.head.packed else 0,
            finished=tuple(
                Finished(candidate.identity, NEVER_READ, 1, candidate.entry.written)
                for candidate in latest[:finished]
                if candidate.identity.distinct
            ),
            written=max(left, default=0),
            # of what appears with the directory nobody knows since when it has been there
            passed=None if absent else SkippedFiles(left).save(),
        )

    @staticmethod
    def _before(
        begun: Fingerprint | None, live: RotatedFile | None, latest: Sequence[RotatedFile]
    ) -> int:
        """Return how many of the rotated files, oldest first, are older than the log's begin."""
        if begun is not None:
            for number, file in enumerate(latest):
                if file.is_file(begun):
                    return number
        newest = latest[-1] if latest else None
        if live is None and newest and not newest.head.packed and not newest.obstacle:
            # Suricata can put the time into the name of the file that it is writing
            return len(latest) - 1
        return len(latest)

    def _live(self) -> RotatedFile | None:
        live = self._rotations().live()
        if live is not None and live.head.packed:
            raise OSError(0, PACKED_LIVE)
        return live

    def _rotations(self) -> RotatedFiles:
        # archives may be mounted, and `current` may come to lead elsewhere, at any time
        archives = usual_archives(self._path) if self._archives is None else self._archives
        self._known.archives = tuple(archives)
        return self._known

    def _moved_directory(self) -> Path | None:
        """Return where the directory is that was held, if the log is in another one by now."""
        present = self._path.parent.stat()
        self._looked_at = (present.st_dev, present.st_ino)
        if self._directory is None or self._held == self._looked_at:
            return None
        return Path(f"/proc/self/fd/{self._directory}").readlink()


def _written(entry: DirectoryEntry) -> int:
    return entry.written
