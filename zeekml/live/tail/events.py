"""What following a log brings: lines, and events about how they came."""

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
    TRUNCATED = "truncated"  # emptied and written anew in place


class Cause(StrEnum):
    """What became of lines that cannot be delivered."""

    TRUNCATED = "truncated"
    VANISHED = "vanished"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    TOO_MANY_FILES = "too_many_files"
    CUT = "cut"
    LEFT_OUT = "left_out"  # was not there before, but seems too old to be read


@dataclass(frozen=True, slots=True)
class FileOpened:
    """The lines that follow are from this file: a new decoder is due."""

    source: str  # path
    how: How
    # in force, but before what follows: to be passed over first, and not counted again
    header: Block | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """The next lines.

    An unterminated line (`Block.complete` False) comes only when nobody writes to its file any
    more. Should it be written to its end after all, the rest is passed over, and a `Gap`
    (`Cause.CUT`) tells how much that was.
    """

    source: str
    lines: Block | LongLine
    checkpoint: Checkpoint  # after these lines


@dataclass(frozen=True, slots=True)
class Gap:
    """Something between the lines before and after may be lost, unread."""

    source: str  # the file's last known path
    cause: Cause
    offset: int  # where in the file the loss begins, as the line
    line: int
    # bytes; 0 where the file was destroyed when all that was seen of it was delivered, but there
    # may have been more
    at_least: int
    checkpoint: Checkpoint  # after the gap


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
