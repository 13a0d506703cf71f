"""Log files, the streams they make up, and how they are opened.

A *stream* is one sensor's log with its *rotations*; a *capture* is one of several recordings in a
flow table, a stream of its own. A *duplicate* is a file that holds what another does.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Final

from zeekml.core.text import printable
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.file_names import LogName, parse_name
from zeekml.readers.files.file_type import Detected, Kind
from zeekml.readers.formats.zeek_header import Header
from zeekml.readers.rejects import OTHER, count_bounded

_MAX_NAMES: Final = 20

Key = tuple[str, int]
"""A record's uid and the millisecond its flow began in: the same in every format."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the first flows of a log tell."""

    digest: bytes = b""  # of the header and the first two records; empty where there are none
    keys: tuple[Key, ...] = ()
    first: float | None = None  # when the first of them ended, epoch seconds
    # when they were logged, as far as flows tell: half of them had ended. One long connection
    # among them, which is logged at its end, changes little
    time: float | None = None
    columns: int = 0  # how many of the columns of `FLOW_SCHEMA` they fill


@dataclass(frozen=True)
class LogFile:
    """One supported file."""

    source: str  # the name that users, rejects and scores see: as given, or below the directory
    path: Path | None  # None for standard input
    kind: Kind
    size: int = 0  # bytes on disk
    opened: float | None = None  # Zeek's ``#open``, in seconds on a scale without time zones
    header: Header | None = None  # for its records above which no header stands
    modified: float = field(default=0.0, compare=False, repr=False)  # epoch seconds
    beginning: Beginning = field(default=Beginning(), compare=False, repr=False)
    pipe: ByteStream | None = field(default=None, compare=False, repr=False)  # its head was read

    @cached_property
    def name(self) -> LogName:
        """What its name and the directories above say."""
        assert self.path is not None
        path = Path(os.path.normpath(self.path.absolute()))
        return parse_name(path.name, path.parent.parts)

    @property
    def time(self) -> float | None:
        """When its first flows were logged, as far as they tell."""
        return self.beginning.time

    def begun(self, absolute: bool) -> float | None:
        """When it was begun, by its header or name; in UTC where all names tell it."""
        if absolute and self.name.time is not None and self.name.offset is not None:
            return self.name.time - self.name.offset
        return self.opened if self.opened is not None else self.name.time


@dataclass(frozen=True)
class Stream:
    """One sensor's log with its rotations: context is kept per stream."""

    name: str  # for messages: directory and base name
    sensor: str  # ``zeek``, ``suricata`` or ``table``
    kind: Kind  # of its first file
    # one tuple per writer, oldest file first: there are several when a cluster has several
    # loggers, or Suricata one file per thread
    loggers: tuple[tuple[LogFile, ...], ...]
    capture: str | None = None
    # logs of events by kind, oldest file first, which tell what the flows were about
    beside: Mapping[str, tuple[LogFile, ...]] = field(default_factory=dict, hash=False)
    # logs of interim records by name, likewise
    interim: Mapping[str, tuple[LogFile, ...]] = field(default_factory=dict, hash=False)

    @property
    def files(self) -> tuple[LogFile, ...]:
        """All files, writer by writer."""
        return tuple(file for files in self.loggers for file in files)

    @property
    def all_files(self) -> tuple[LogFile, ...]:
        """These, and those of the logs beside it."""
        beside = (*self.beside.values(), *self.interim.values())
        return (*self.files, *(file for files in beside for file in files))

    @property
    def place(self) -> tuple[str, ...]:
        """The directory that its files are archived below."""
        return self.files[0].name.directory

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.all_files)

    @property
    def in_disorder(self) -> bool:
        """Whether its flows are put in order (`zeekml.readers.flow_order`) and scored then."""
        return self.kind is Kind.EVE


@dataclass
class Discovery:
    """What was found in the inputs."""

    streams: list[Stream] = field(default_factory=list)  # in order of their names
    files_skipped: Counter[str] = field(default_factory=Counter)  # by reason
    skipped_names: dict[str, list[str]] = field(default_factory=dict)  # at most 20 per reason
    refused: str = ""  # the first file that is no log of connections, and what would be one
    # files of which some flows, but not all, are in another log, too: these count twice
    doubled: list[str] = field(default_factory=list)

    def refuse(self, source: str, found: Detected) -> None:
        """Count a file that is no log of connections."""
        self.refused = self.refused or f"{source}: {found.explanation}"
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


def open_log(path: Path | None) -> BinaryIO:
    """Open a regular file for reading; raises OSError for anything else.

    What was a file when the directory was walked may be a FIFO by now: opening must not block.
    """
    if path is None:
        raise OSError(0, "has no path")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "is no regular file")
    return os.fdopen(descriptor, "rb", buffering=0)
