"""The checkpoint of a log: how far it was delivered, in a form to be stored and resumed from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec
import numpy as np

from zeekml.errors import InputError
from zeekml.live.tail.fingerprint import Fingerprint

MIN_FINISHED: Final = 16  # finished files that a checkpoint remembers, if there have been so many
MAX_FINISHED: Final = 512  # finished files that a checkpoint remembers at most
MAX_MET_DIRECTORIES: Final = 8
"""Directories with rotated files that a checkpoint remembers besides the usual ones."""

MAX_ARCHIVES: Final = 32

RECENT: Final = 7800 * 10**9
"""Nanoseconds for which a finished file is remembered after it was last written.

Clocks are set back, by an hour once a year, and many files may be compressed together: then a file
that was read two hours ago can look like one that comes next.
"""

MAX_SKIPPED: Final = 2048
"""Skipped files that are remembered, the latest written: what was written before them is old."""

_SECOND: Final = 10**9
_ROUNDED: Final = 1000  # nanoseconds by which a tool that counts in microseconds may be off


@dataclass(frozen=True, slots=True)
class Finished:
    """A file that has been left, and how much of it was delivered; the names are stored."""

    identity: Fingerprint
    offset: int
    line: int
    written: int = 0  # last time, nanoseconds; 0 if that is not known


def worth_remembering(
    finished: Sequence[Finished],
) -> tuple[tuple[Finished, ...], set[Finished]]:
    """Those of the finished files, oldest first, that could be taken for others; and the rest."""
    since = max((file.written for file in finished), default=0) - RECENT
    older = [file for file in finished[:-MIN_FINISHED] if file.written > since]
    kept = (*older, *finished[-MIN_FINISHED:])[-MAX_FINISHED:]
    return kept, {*finished}.difference(kept)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The place up to which everything was delivered or reported as lost; its names are stored.

    It is between two lines, or after the beginning of a line that was delivered as the last of its
    file: then the rest of that line, should there ever be one, is passed over.
    """

    identity: Fingerprint | None = None  # of the file being read; None between two files
    offset: int = 0  # bytes delivered, counted in the uncompressed file
    line: int = 1  # 1-based number of the next line, or of the one that the place is in
    size: int = 0  # how long the file was known to be, at least, in the same bytes
    header: bytes = b""  # header lines of a Zeek log that are in force here, before `offset`
    finished: tuple[Finished, ...] = ()  # oldest first, as far as `worth_remembering`
    # latest time a finished file was last written, nanoseconds: what was not written since is
    # older, unless a clock was set back
    written: int = 0
    passed: bytes | None = None  # `SkippedFiles.save`; None where nobody kept it
    directories: tuple[str, ...] = ()  # where files were met, besides where they are looked for
    archives: tuple[tuple[int, int], ...] = ()  # of which all files were noted: device and inode
    # when the latest of those was last written that were there once and are not in `finished`
    forgotten: int = 0

    def to_plain(self) -> dict[str, Any]:
        """The checkpoint as values that JSON knows."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_plain(cls, plain: Any) -> Checkpoint:
        """The checkpoint that `to_plain` stored; raises `InputError` where it is none."""
        try:
            return msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            raise InputError(f"stored position in a log is damaged: {error}") from error


class SkippedFiles:
    """Files that were there and are not to be read, known by when they were last written.

    What a directory holds is mostly old, and to look into a year of logs after each rotation would
    take too long. A file that was not written since the last one was finished is older than that
    one, if clocks only go forward. Where the sensor's clock was set back, it may just as well be
    new: then it was not there before. Renaming a file does not change when it was written, nor do
    compressors, but for rounding: some keep microseconds, and a few whole seconds only.
    """

    def __init__(self, times: Iterable[int] = (), most: int = MAX_SKIPPED) -> None:
        self._times = sorted(set(times))[-most:]  # nanoseconds

    @classmethod
    def load(cls, stored: bytes) -> Self:
        """What `save` stored."""
        whole = len(stored) // 8 * 8
        return cls(np.frombuffer(stored[:whole], "<i8").tolist())

    def save(self) -> bytes:
        """The times in the form in which a checkpoint keeps them."""
        return np.array(self._times, "<i8").tobytes()

    def __contains__(self, time: int) -> bool:
        if len(self._times) == MAX_SKIPPED and time < self._times[0]:
            return True
        return self.may_have(time)

    def may_have(self, time: int) -> bool:
        """Whether one of the files, or a copy of one, may have been written then."""
        return self._has(time, _SECOND - 2 * _ROUNDED if time % _SECOND == 0 else 0)

    def surely(self, time: int) -> bool:
        """Whether it must be one of the files that was written then.

        Whole seconds may be those of many; of others see `with_`.
        """
        return time % _SECOND != 0 and self._has(time, 0)

    def _has(self, time: int, more: int) -> bool:
        at = bisect_left(self._times, time - _ROUNDED)
        return at < len(self._times) and self._times[at] <= time + _ROUNDED + more

    def with_(self, times: Iterable[int], to_read: Collection[int] = ()) -> Self:
        """These and others, without those that tell nothing; itself if there are none.

        The system dates files by a clock that ticks every few milliseconds, so two files may well
        have one time. As long as a file that is still to be read has it, it is not noted.
        """
        taken = SkippedFiles(to_read, len(to_read) + 1)
        more = {time for time in times if not taken.may_have(time)}.difference(self._times)
        return type(self)([*self._times, *more]) if more else self
