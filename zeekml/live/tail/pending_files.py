"""Files that were seen waiting to be read, so that it is noticed when one of them goes unread."""

from __future__ import annotations

from collections.abc import Iterable

from zeekml.live.tail.next_file import Next
from zeekml.live.tail.rotated_files import RotatedFile


class PendingFiles:
    """Remembers what was still to be read when it was last looked.

    Attributes
    ----------
    missing : list of Candidate
        What was there once, has not been read, and was not found by the latest look.
    """

    def __init__(self) -> None:
        self.missing: list[RotatedFile] = []
        self._waiting: list[RotatedFile] = []

    def look(self, files: Iterable[RotatedFile], following: Iterable[Next]) -> None:
        """Take in what there is now, and what of it is to be read."""
        found = list(files)
        # most are where they were: hundreds need not be compared with hundreds
        still = {(file.place, file.head.data) for file in found}
        gone = [c for c in (*self._waiting, *self.missing) if (c.place, c.head.data) not in still]
        self.missing = [c for c in gone if not any(file.is_file(c.identity) for file in found)]
        self._waiting = [
            item.candidate
            for item in following
            if item.candidate.identity.distinct and not item.candidate.obstacle
        ]

    def open(self, opened: RotatedFile) -> None:
        """Take in that a file is being read."""
        beginning = opened.head.data
        self._waiting = [c for c in self._waiting if not beginning.startswith(c.head.data)]

    def forget_missing(self) -> list[RotatedFile]:
        """Return what is missing, once."""
        missing, self.missing = self.missing, []
        return missing
