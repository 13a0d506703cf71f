"""Log files, the streams they make up, and how they are opened."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from zeekml.core.text import printable
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.file_type import Detected, Kind
from zeekml.readers.files.refusal import explain
from zeekml.readers.formats.zeek_header import Header
from zeekml.readers.rejects import OTHER, count_bounded

_MAX_NAMES: Final = 20

Key = tuple[str, int]
"""A record's uid and the millisecond its flow began in: the same in every format."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the first flows of a log tell.

    Attributes
    ----------
    digest : bytes
        Of the header and the first two records, as they are written; empty where there are none.
    keys : tuple of Key
        The first flows.
    first : float or None
        When the first of them ended, epoch seconds.
    time : float or None
        When they were logged, as far as flows tell: half of them had ended. One long connection
        among them, which is logged at its end, changes little.
    columns : int
        How many of the columns of `FLOW_SCHEMA` they fill.
    """

    digest: bytes = b""
    keys: tuple[Key, ...] = ()
    first: float | None = None
    time: float | None = None
    columns: int = 0


@dataclass(frozen=True)
class LogFile:
    """One supported file.

    Attributes
    ----------
    source : str
        The name that users, rejects and scores see: as given, or below the directory given.
    path : Path or None
        None for standard input.
    kind : Kind
        Its format.
    size : int
        Bytes on disk; 0 for standard input.
    opened : float or None
        Zeek's ``#open``, in seconds on a scale without time zones.
    header : Header or None
        For its records above which no header stands.
    modified : float
        When it was written last, epoch seconds.
    beginning : Beginning
        What its first flows tell.
    pipe : ByteStream or None
        Standard input, of which the first bytes have been looked at.
    """

    source: str
    path: Path | None
    kind: Kind
    size: int = 0
    opened: float | None = None
    header: Header | None = None
    modified: float = field(default=0.0, compare=False, repr=False)
    beginning: Beginning = field(default=Beginning(), compare=False, repr=False)
    pipe: ByteStream | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Stream:
    """One sensor's log with its rotations: context is kept per stream.

    Attributes
    ----------
    name : str
        For messages: directory and base name.
    sensor : str
        ``zeek``, ``suricata`` or ``table``.
    kind : Kind
        The format of all its files.
    loggers : tuple of tuple of LogFile
        One tuple per writer, oldest file first. There are several when a cluster has several
        loggers, or Suricata one file per thread.
    capture : str or None
        The recording inside a flow table.
    """

    name: str
    sensor: str
    kind: Kind
    loggers: tuple[tuple[LogFile, ...], ...]
    capture: str | None = None

    @property
    def files(self) -> tuple[LogFile, ...]:
        """All files, writer by writer."""
        return tuple(file for files in self.loggers for file in files)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)

    @property
    def in_disorder(self) -> bool:
        """Whether its flows are put in order (`zeekml.readers.flow_order`) and scored then."""
        return self.kind is Kind.EVE


@dataclass
class Discovery:
    """What was found in the inputs.

    Attributes
    ----------
    streams : list of Stream
        In order of their names.
    files_skipped : Counter
        Files left out, by reason.
    skipped_names : dict of str to list of str
        Some of their names; at most 20 per reason.
    refused : str
        The first file that is no log of connections, and what would be one.
    doubled : list of str
        Files of which some flows, but not all, are in another log, too: these count twice.
    """

    streams: list[Stream] = field(default_factory=list)
    files_skipped: Counter[str] = field(default_factory=Counter)
    skipped_names: dict[str, list[str]] = field(default_factory=dict)
    refused: str = ""
    doubled: list[str] = field(default_factory=list)

    def refuse(self, source: str, found: Detected) -> None:
        """Count a file that is no log of connections."""
        self.refused = self.refused or f"{source}: {explain(found)}"
        self.skip(source, found.refusal)

    def skip(self, source: str, reason: str) -> None:
        """Count a file that is left out."""
        reason = printable(reason, 40)
        count_bounded(self.files_skipped, reason)
        if reason not in self.files_skipped:
            reason = OTHER
        names = self.skipped_names.setdefault(reason, [])
        if len(names) < _MAX_NAMES:
            names.append(source)

    @property
    def size(self) -> int:
        """Bytes on disk of all that will be read."""
        return sum(stream.size for stream in self.streams)


def open_log(path: Path) -> BinaryIO:
    """Open a regular file for reading; raises OSError for anything else.

    What was a file when the directory was walked may be a FIFO by now: opening must not block.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "is no regular file")
    return os.fdopen(descriptor, "rb", buffering=0)
