"""How far a log has been delivered, in a form that can be stored and gone on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from zeekml.errors import InputError
from zeekml.live.tail.fingerprint import Fingerprint

MIN_FINISHED: Final = 16
"""Finished files that a position remembers, if there have been so many."""

MAX_FINISHED: Final = 512
"""Finished files that a position remembers at most."""

MAX_DIRECTORIES: Final = 8
"""Directories with rotated files that a position remembers besides the usual ones."""

RECENT: Final = 7800 * 10**9
"""Nanoseconds for which a finished file is remembered after it was last written.

Clocks are set back, by an hour once a year, and many files may be compressed together: then a file
that was read two hours ago can look like one that comes next.
"""


@dataclass(frozen=True, slots=True)
class Finished:
    """A file that has been left, and how much of it was delivered.

    Attributes
    ----------
    identity, offset, line
        As for `Checkpoint`.
    written
        When it was last written to, in nanoseconds; 0 if that is not known.
    """

    identity: Fingerprint
    offset: int
    line: int
    written: int = 0


def worth_remembering(finished: Sequence[Finished]) -> tuple[Finished, ...]:
    """Return those of the finished files, oldest first, that could be taken for others."""
    since = max((file.written for file in finished), default=0) - RECENT
    older = [file for file in finished[:-MIN_FINISHED] if file.written > since]
    return (*older, *finished[-MIN_FINISHED:])[-MAX_FINISHED:]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The place up to which everything was delivered or reported as lost.

    It is between two lines, or after the beginning of a line that was delivered as the last of its
    file: then the rest of that line, should there ever be one, is passed over.

    Attributes
    ----------
    identity : FileIdentity or None
        The file that is being read; None between two files.
    offset : int
        Bytes of it that were delivered, counted in the uncompressed log.
    line : int
        1-based number of its next line, or of the line that the place is in.
    size : int
        How long the file was known to be, at least, in the same bytes.
    header : bytes
        Header lines of a Zeek log that are in force here; they are before `offset`.
    finished : tuple of Finished
        The files before it, oldest first, as far as they are `worth_remembering`.
    written : int
        The latest time at which a finished file was last written, in nanoseconds: what was not
        written since is older, unless a clock was set back.
    passed : bytes or None
        What was there and is not to be read, as `Passed` stores it; None where nobody kept it.
    directories : tuple of str
        Where files of the log were met, besides where they are looked for anyway.
    """

    identity: Fingerprint | None = None
    offset: int = 0
    line: int = 1
    size: int = 0
    header: bytes = b""
    finished: tuple[Finished, ...] = ()
    written: int = 0
    passed: bytes | None = None
    directories: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return the position as values that JSON knows."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_plain(cls, plain: Any) -> Checkpoint:
        """Return the position that `to_plain` was called on.

        Raises
        ------
        InputError
            When `plain` is nothing that `to_plain` returns.
        """
        try:
            return msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            raise InputError(f"stored position in a log is damaged: {error}") from error
