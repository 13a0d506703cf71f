"""What following a log brings: lines, and what there is to know about how they came."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.readers.files.line_splitter import Block, LongLine


class How(StrEnum):
    """Why lines come from a file that they did not come from before."""

    STARTED = "started"
    RESUMED = "resumed"
    ROTATED = "rotated"
    TRUNCATED = "truncated"


class Cause(StrEnum):
    """What became of lines that cannot be delivered."""

    TRUNCATED = "truncated"
    VANISHED = "vanished"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    TOO_MANY_FILES = "too_many_files"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class FileOpened:
    """The lines that follow are from this file: a new decoder is due.

    Attributes
    ----------
    source : str
        The file's path.
    how : How
        TRUNCATED for a file that was emptied and written anew in place.
    header : Block or None
        Header lines in force that stand before what follows. The decoder is to pass over them
        first; they were delivered before and count for nothing.
    """

    source: str
    how: How
    header: Block | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """The next lines.

    Attributes
    ----------
    source : str
        The file's path.
    lines : Block or LongLine
        As from `LineSplitter`. An unterminated line (`Block.complete` False) comes only when
        nobody writes to its file any more. Should it be written to its end after all, the rest is
        passed over, and a `Gap` (`Cause.CUT`) tells how much that was.
    position : Position
        The position after these lines.
    """

    source: str
    lines: Block | LongLine
    position: Checkpoint


@dataclass(frozen=True, slots=True)
class Gap:
    """Something between the lines before and after may be lost, unread.

    Attributes
    ----------
    source : str
        The file's last known path.
    cause : Cause
        What happened to it.
    offset, line : int
        Where in the file the loss begins.
    at_least : int
        Bytes known to be lost. 0 where nothing is known to be lost: then the file was destroyed
        when all that had been seen of it was delivered, but there may have been more.
    position : Position
        The position after the gap.
    """

    source: str
    cause: Cause
    offset: int
    line: int
    at_least: int
    position: Checkpoint


@dataclass(frozen=True, slots=True)
class Trouble:
    """The log cannot be followed further at present; comes once, until `Recovered`."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the last `Trouble` said is over."""

    source: str


Event = FileOpened | Lines | Gap | Trouble | Recovered
