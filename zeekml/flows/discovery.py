"""Find the logs in files and directories, and put those of one sensor in order.

Nothing is opened for reading beyond its first bytes here. FIFOs, devices, sockets and symbolic
links that lead out of the input are left alone: an archive may lie in a directory that others
can write to.
"""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from zeekml.errors import InputError
from zeekml.flows import flow_table
from zeekml.flows.compression import ByteStream
from zeekml.flows.detect import (
    HEAD_SIZE,
    OWN_OUTPUT,
    Detected,
    Kind,
    detect,
)
from zeekml.flows.naming import LogName, natural_key, parse_name
from zeekml.flows.refusal import explain
from zeekml.flows.rejects import OTHER, count_bounded, printable
from zeekml.flows.schema import SURICATA, ZEEK
from zeekml.flows.zeek_header import Header

STDIN: Final = "-"
UNREADABLE: Final = "unreadable"

_OUTPUT_NAMES: Final = frozenset(
    {
        "notice.log",
        "eve.json",
        "scores.parquet",
        "conn_scored.log",
        "summary.json",
        "rejects.jsonl",
    }
)
_SUMMARY: Final = "summary.json"
_MAX_NAMES: Final = 20
_MAX_SUMMARY: Final = 1 << 20
_SENSORS: Final = {
    Kind.ZEEK_TSV: ZEEK,
    Kind.ZEEK_JSON: ZEEK,
    Kind.EVE: SURICATA,
    Kind.TABLE: "table",
}


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
    pipe : ByteStream or None
        Standard input, of which the first bytes have been looked at.
    """

    source: str
    path: Path | None
    kind: Kind
    size: int = 0
    opened: float | None = None
    header: Header | None = None
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
        """Whether its flows are put in order before they are scored (`zeekml.flows.ordering`)."""
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
    """

    streams: list[Stream] = field(default_factory=list)
    files_skipped: Counter[str] = field(default_factory=Counter)
    skipped_names: dict[str, list[str]] = field(default_factory=dict)
    refused: str = ""

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


def discover(
    inputs: Sequence[str | Path],
    *,
    exclude: Iterable[str | Path] = (),
    stdin: BinaryIO | None = None,
    columns: Header | None = None,
) -> Discovery:
    """Find the logs in `inputs` and sort them into streams.

    Parameters
    ----------
    inputs : sequence of str or Path
        Files, directories, and ``-`` for standard input.
    exclude : iterable of str or Path
        Files or directories that are not walked into, such as the output directory.
    stdin : binary file, optional
        What ``-`` stands for; `sys.stdin` by default.
    columns : Header, optional
        Columns of tab-separated files that have no header (`zeekml.flows.given_columns`).

    Raises
    ------
    InputError
        When a named input is missing, unreadable, empty or of no known kind, or when nothing in
        all of them is supported.
    """
    if not inputs:
        raise InputError("no input: name a log file, a directory with logs, or - for stdin")
    walk = _Walk(exclude, columns)
    for given in inputs:
        if str(given) == STDIN:
            walk.add_stdin(stdin if stdin is not None else sys.stdin.buffer)
        else:
            walk.add(Path(given))
    found = walk.found
    found.streams = _streams(walk.files, found)
    if not found.streams:
        names = ", ".join(printable(str(given), 80) for given in list(inputs)[:3])
        reasons = ", ".join(f"{n} {reason}" for reason, n in found.files_skipped.most_common(5))
        detail = f" (files skipped: {reasons})" if reasons else ""
        remedy = found.refused or (
            "give a Zeek conn.log, a Suricata eve.json with flow events, or a flow table in Parquet"
        )
        raise InputError(f"{names}: no supported log found{detail}; {remedy}")
    return found


class _Walk:
    """Collects files from the inputs, each only once."""

    def __init__(self, exclude: Iterable[str | Path], columns: Header | None) -> None:
        self.found = Discovery()
        self.files: list[LogFile] = []
        self._columns = columns
        self._excluded = {Path(path).resolve() for path in exclude}
        self._seen: set[tuple[int, int]] = set()

    def add_stdin(self, raw: BinaryIO) -> None:
        pipe = ByteStream(raw)
        head = pipe.head(HEAD_SIZE)
        detected = detect(head, "", self._columns)
        if detected.kind is Kind.TABLE:
            raise InputError("-: is a Parquet file; give its path instead of -")
        if detected.kind is None:
            raise InputError(f"-: {explain(detected)}")
        self.files.append(
            LogFile(STDIN, None, detected.kind, 0, detected.opened, detected.header, pipe)
        )

    def add(self, path: Path) -> None:
        name = printable(str(path), 4096)
        try:
            status = path.stat()
        except FileNotFoundError:
            raise InputError(f"{name}: no such file or directory; check the path") from None
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror}") from error
        if stat.S_ISDIR(status.st_mode):
            if self._first_time(status):
                self._walk(path)
            return
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name}: is no regular file; pipe its content in and give - instead")
        if self._is_excluded(path.resolve()):
            raise InputError(f"{name}: is an output of this run; choose another --out or input")
        if not self._first_time(status):
            return
        detected = self._look(path, name)
        if detected.refusal.startswith("zeek_") or detected.refusal == OWN_OUTPUT:
            # shells expand *.log to all of Zeek's logs: known files are passed over
            self.found.refuse(name, detected)
        elif detected.kind is None:
            raise InputError(f"{name}: {explain(detected)}")
        else:
            self._take(path, name, detected, status)

    def _walk(self, root: Path) -> None:
        inside = root.resolve()
        pending = [(root, inside)]
        while pending:
            directory, real = pending.pop()
            if self._is_excluded(real):
                self.found.skip(str(directory), "excluded")
                continue
            try:
                with os.scandir(directory) as entries:
                    listed = sorted(entries, key=lambda entry: natural_key(entry.name))
            except OSError as error:
                if directory == root:
                    message = f"{printable(str(root), 4096)}: cannot be read: {error.strerror}"
                    raise InputError(message) from error
                self.found.skip(str(directory), UNREADABLE)
                continue
            ours = _OUTPUT_NAMES if _holds_our_summary(directory) else frozenset()
            below = []
            for entry in listed:
                path = directory / entry.name
                target = self._admit(entry, path, inside, ours)
                if target is not None and target.is_dir():
                    below.append((path, target))
            pending.extend(reversed(below))

    def _admit(
        self, entry: os.DirEntry[str], path: Path, inside: Path, ours: frozenset[str]
    ) -> Path | None:
        """Take a regular file; return the real path of what may be a directory to walk."""
        name = printable(str(path), 4096)
        if entry.name.startswith("."):
            self.found.skip(name, "hidden")
            return None
        try:
            real = path.resolve() if entry.is_symlink() else None
            if real is not None and not real.is_relative_to(inside):
                self.found.skip(name, "symlink_outside")
                return None
            status = entry.stat()
        except (OSError, RuntimeError):
            # a dangling link, a loop of links, or gone meanwhile
            self.found.skip(name, UNREADABLE)
            return None
        if stat.S_ISDIR(status.st_mode):
            if not self._first_time(status):
                self.found.skip(name, "duplicate")
                return None
            return path.resolve()
        if not stat.S_ISREG(status.st_mode):
            self.found.skip(name, "special_file")
        elif entry.name in ours:
            self.found.skip(name, OWN_OUTPUT)
        elif self._excluded and self._is_excluded(path.resolve()):
            self.found.skip(name, "excluded")
        elif not self._first_time(status):
            self.found.skip(name, "duplicate")
        else:
            try:
                detected = self._look(path, name)
            except InputError:
                self.found.skip(name, UNREADABLE)
            else:
                self._take(path, name, detected, status)
        return None

    def _first_time(self, status: os.stat_result) -> bool:
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True

    def _is_excluded(self, real: Path) -> bool:
        return any(real.is_relative_to(excluded) for excluded in self._excluded)

    def _look(self, path: Path, name: str) -> Detected:
        try:
            with open_log(path) as raw:
                stream = ByteStream(raw)
                head = stream.head(HEAD_SIZE)
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror}") from error
        if not head and stream.damage is not None:
            raise InputError(f"{name}: {stream.damage}")
        detected = detect(head, path.name, self._columns)
        if detected.kind is Kind.TABLE:
            try:
                refusal = flow_table.table_refusal(path)
            except flow_table.TABLE_ERRORS as error:
                reason = printable(str(error), 100)
                raise InputError(f"{name}: is no sound Parquet file: {reason}") from error
            if refusal is not None:
                return Detected(refusal=refusal)
        return detected

    def _take(self, path: Path, name: str, detected: Detected, status: os.stat_result) -> None:
        if detected.kind is None:
            self.found.refuse(name, detected)
        else:
            self.files.append(
                LogFile(name, path, detected.kind, status.st_size, detected.opened, detected.header)
            )


def open_log(path: Path) -> BinaryIO:
    """Open a regular file for reading; raises OSError for anything else.

    What was a file when the directory was walked may be a FIFO by now: opening must not block.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "is no regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def _holds_our_summary(directory: Path) -> bool:
    try:
        with open_log(directory / _SUMMARY) as file:
            text = file.read(_MAX_SUMMARY) or b""
    except OSError:
        return False
    return b'"records_scored"' in text and b'"files_skipped"' in text


def _streams(files: list[LogFile], found: Discovery) -> list[Stream]:
    """Group files by sensor, format, place and base name, and order each group."""
    groups: dict[tuple[Kind, tuple[str, ...], str], dict[str, list[tuple[LogFile, LogName]]]] = {}
    streams: list[Stream] = []
    for file in files:
        if file.path is None:
            streams.append(Stream(STDIN, _SENSORS[file.kind], file.kind, ((file,),)))
            continue
        if file.kind is Kind.TABLE:
            streams.extend(_table_streams(file, file.path, found))
            continue
        above = Path(os.path.normpath(file.path.absolute())).parent.parts
        name = parse_name(file.path.name, above)
        key = (file.kind, name.directory, name.base)
        groups.setdefault(key, {}).setdefault(name.logger, []).append((file, name))
    for (kind, _, base), loggers in groups.items():
        ordered = tuple(
            tuple(file for file, _ in sorted(loggers[logger], key=_age))
            for logger in sorted(loggers, key=natural_key)
        )
        label = str(Path(ordered[0][0].source).parent / base)
        streams.append(Stream(label, _SENSORS[kind], kind, ordered))
    return sorted(streams, key=lambda s: (natural_key(s.name), s.kind))


def _table_streams(file: LogFile, path: Path, found: Discovery) -> Iterator[Stream]:
    try:
        names = flow_table.captures(path)
    except flow_table.TABLE_ERRORS:
        found.skip(file.source, UNREADABLE)
        return
    for capture in names:
        label = file.source if capture is None else f"{file.source}:{printable(capture, 80)}"
        yield Stream(label, _SENSORS[Kind.TABLE], Kind.TABLE, ((file,),), capture)


def _age(entry: tuple[LogFile, LogName]) -> tuple[object, ...]:
    """Sort key, oldest first. Records say nothing about it: they are logged at their end."""
    file, name = entry
    shifts = -(name.number or 0)
    natural = natural_key(file.source)
    time = file.opened if file.opened is not None else name.time
    if time is not None:
        return (0, time, shifts, natural)
    if name.number is not None:
        return (1, shifts, 0, natural)
    return (2, 0, 0, natural)
