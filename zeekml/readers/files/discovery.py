"""Find the logs in files and directories, and put those of one sensor in order.

Nothing is opened for reading beyond its first bytes here. FIFOs, devices, sockets and symbolic
links that lead out of the input are left alone: an archive may lie in a directory that others
can write to.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from zeekml.core.text import printable
from zeekml.errors import InputError
from zeekml.readers.files import duplicate_files
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.duplicate_files import DUPLICATE
from zeekml.readers.files.event_files import LOGS_BESIDE, with_events
from zeekml.readers.files.file_names import natural_key
from zeekml.readers.files.file_type import HEAD_SIZE, OWN_OUTPUT, Detected, Kind, detect
from zeekml.readers.files.stream_grouping import SENSORS, across_formats, arrange, beginning
from zeekml.readers.files.streams import Beginning, Discovery, LogFile, Stream, open_log
from zeekml.readers.formats import parquet as flow_table
from zeekml.readers.formats.multiline_json import without_rubbish
from zeekml.readers.formats.zeek_header import Header, HeaderReader, conn_header, logs_named
from zeekml.readers.rejects import OTHER

__all__ = ["STDIN", "UNREADABLE", "Discovery", "LogFile", "Stream", "discover", "open_log"]

STDIN: Final = "-"
UNREADABLE: Final = "unreadable"
TOO_DEEP: Final = "too_deep"

_OUTPUT_NAMES: Final = frozenset(
    {"notice.log", "eve.json", "scores.parquet", "conn_scored.log", "summary.json", "rejects.jsonl"}
)
_MAX_DEPTH: Final = 64
_KINDS: Final = {log: kind for kind, log in LOGS_BESIDE.items()}
_EVENT_LOGS: Final = {f"zeek_{log}": kind for log, kind in _KINDS.items()}
"""By why a log is refused that has no flows of its own, what it has to tell of flows."""

_OTHER_LOG: Final = f"zeek_{OTHER}"


def discover(
    inputs: Sequence[str | Path],
    *,
    exclude: Iterable[str | Path] = (),
    stdin: BinaryIO | None = None,
    columns: Header | None = None,
    copies: bool = False,
) -> Discovery:
    """Find the logs in files, directories and ``-`` for `stdin`, and sort them into streams.

    What is to be left alone, such as the output directory, is in `exclude`. `columns` are those of
    tab-separated files without a header (`columns_like`, `zeek_header.named_columns`). With
    `copies`, files that hold what others do are read, too: the caller looks for the same records.
    An `InputError` says that a named input is missing, unreadable, empty or of no known kind, or
    that nothing in all of them is supported.
    """
    if not inputs:
        raise InputError("no input: name a log file, a directory with logs, or - for stdin")
    walk = _Walk(exclude, columns)
    found = walk.found
    for given in inputs:
        if str(given) == STDIN:
            walk.add_stdin(stdin if stdin is not None else sys.stdin.buffer)
        else:
            walk.add(Path(given))
    found.streams = _streams(walk.files, found, copies=copies)
    found.streams, left = with_events(found.streams, [(k, log) for k, log, _ in walk.event_logs])
    for _, log, detected in walk.event_logs:
        if log in left:
            found.refuse(log.source, detected)
    if not found.streams:
        names = ", ".join(printable(str(given), 80) for given in list(inputs)[:3])
        reasons = ", ".join(f"{n} {reason}" for reason, n in found.files_skipped.most_common(5))
        detail = f" (files skipped: {reasons})" if reasons else ""
        wanted = "a Zeek conn.log, a Suricata eve.json with flow events, or a flow table in Parquet"
        remedy = found.refused or f"give {wanted}"
        raise InputError(f"{names}: no supported log found{detail}; {remedy}")
    return found


class _Walk:
    """Collects files from the inputs, each only once."""

    def __init__(self, exclude: Iterable[str | Path], columns: Header | None) -> None:
        self.found = Discovery()
        self.files: list[LogFile] = []
        self.event_logs: list[tuple[str, LogFile, Detected]] = []  # and of which kind they are
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
            raise InputError(f"-: {detected.explanation}")
        kind, opened, header = detected.kind, detected.opened, detected.header
        self.files.append(LogFile(STDIN, None, kind, opened=opened, header=header, pipe=pipe))

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
        detected = self._look(path, name, status)
        # shells expand *.log to all of Zeek's logs: known files are passed over
        known = detected.refusal.startswith("zeek_") or detected.refusal == OWN_OUTPUT
        if known and _event_kind(detected, path) is None:
            self.found.refuse(name, detected)
        elif not known and detected.kind is None:
            raise InputError(f"{name}: {detected.explanation}")

    def _walk(self, root: Path) -> None:
        inside = root.resolve()
        pending = [(root, inside, 0)]
        while pending:
            directory, real, depth = pending.pop()
            if depth > _MAX_DEPTH:
                self.found.skip(printable(str(directory), 4096), TOO_DEEP)
                continue
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
            ours: frozenset[str] = frozenset()
            with suppress(OSError), open_log(directory / "summary.json") as file:
                text = file.read(1 << 20) or b""
                if b'"records_scored"' in text and b'"files_skipped"' in text:
                    ours = _OUTPUT_NAMES
            below = []
            for entry in listed:
                path = directory / entry.name
                admitted = self._admit(entry, path, real, inside, ours)
                if isinstance(admitted, Path):
                    below.append((path, admitted, depth + 1))
                elif admitted:
                    self.found.skip(printable(str(path), 4096), admitted)
            pending.extend(reversed(below))

    def _admit(
        self, entry: os.DirEntry[str], path: Path, real: Path, inside: Path, ours: frozenset[str]
    ) -> Path | str:
        """Take a regular file, or say why it is left alone; of a directory, give the real path."""
        if entry.name.startswith("."):
            return "hidden"
        try:
            linked = entry.is_symlink()
            target = path.resolve() if linked else real / entry.name
            if linked and not target.is_relative_to(inside):
                return "symlink_outside"
            status = entry.stat()
        except (OSError, RuntimeError):
            # a dangling link, a loop of links, or gone meanwhile
            return UNREADABLE
        if stat.S_ISDIR(status.st_mode):
            return target if self._first_time(status) else DUPLICATE
        if not stat.S_ISREG(status.st_mode):
            return "special_file"
        if entry.name in ours:
            return OWN_OUTPUT
        if self._excluded and self._is_excluded(target):
            return "excluded"
        if not self._first_time(status):
            return DUPLICATE
        name = printable(str(path), 4096)
        try:
            detected = self._look(path, name, status)
        except InputError:
            return UNREADABLE
        if detected.kind is None and _event_kind(detected, path) is None:
            self.found.refuse(name, detected)
        return ""

    def _first_time(self, status: os.stat_result) -> bool:
        before = len(self._seen)
        self._seen.add((status.st_dev, status.st_ino))
        return len(self._seen) > before

    def _is_excluded(self, real: Path) -> bool:
        return any(real.is_relative_to(excluded) for excluded in self._excluded)

    def _look(self, path: Path, name: str, status: os.stat_result) -> Detected:
        """Look into a file, and keep it if it is one of flows."""
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
        kind, opened, header = detected.kind, detected.opened, detected.header
        if kind is not None:
            begun = Beginning() if kind is Kind.TABLE else beginning(head, kind, header)
            size, modified = status.st_size, status.st_mtime
            self.files.append(LogFile(name, path, kind, size, opened, header, modified, begun))
        elif (events := _event_kind(detected, path)) is not None:
            self.event_logs.append((events, _event_log(name, path, head), detected))
        return detected


def _event_kind(found: Detected, path: Path) -> str | None:
    """What a file without flows has to tell of them (`LOGS_BESIDE`); None for nothing."""
    if found.refusal != _OTHER_LOG:
        return _EVENT_LOGS.get(found.refusal)
    # records of JSON do not say which log they are of
    named = logs_named(path.name) & _KINDS.keys()
    return _KINDS[named.pop()] if len(named) == 1 else None


def _event_log(name: str, path: Path, head: bytes) -> LogFile:
    """A log of events, which is read beside one of flows."""
    kind = Kind.ZEEK_JSON if without_rubbish(head).lstrip().startswith(b"{") else Kind.ZEEK_TSV
    headers = HeaderReader()
    if kind is Kind.ZEEK_TSV and headers.begin(head.partition(b"\n")[0]):
        next(headers.runs(head[head.find(b"\n") + 1 :]), None)
    return LogFile(name, path, kind, path.stat().st_size, headers.header.opened)


def columns_like(path: Path) -> Header:
    """Take the header of another file of the same log, compressed or not, for `discover`.

    InputError says that the file cannot be read or has no header of a log of connections.
    """
    name = printable(str(path), 4096)
    try:
        with open_log(path) as raw:
            head = ByteStream(raw).head(HEAD_SIZE)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error
    found = detect(head, path.name)
    if found.kind is not None and found.kind is not Kind.ZEEK_TSV:
        raise InputError(f"{name}: is no tab-separated log; its header would be needed")
    header = conn_header(without_rubbish(head))
    if header is None:
        raise InputError(f"{name}: {found.explanation}")
    return replace(header, opened=None)


def _streams(files: list[LogFile], found: Discovery, *, copies: bool) -> list[Stream]:
    """Sort files into streams, with or without those that hold what others do."""
    streams: list[Stream] = []
    logs: list[LogFile] = []
    for file in files:
        if file.path is None:
            streams.append(Stream(STDIN, SENSORS[file.kind], file.kind, ((file,),)))
        elif file.kind is Kind.TABLE:
            try:
                captures = flow_table.captures(file.path)
            except flow_table.TABLE_ERRORS:
                found.skip(file.source, UNREADABLE)
                continue
            for name in captures:
                label = file.source if name is None else f"{file.source}:{printable(name, 80)}"
                streams.append(Stream(label, SENSORS[file.kind], file.kind, ((file,),), name))
        else:
            logs.append(file)
    if copies:
        streams += arrange(logs)
    else:
        left, grown = duplicate_files.without_duplicate_bytes(logs, found)
        arranged = duplicate_files.without_duplicate_flows(arrange(left), grown, found)
        streams += across_formats(arranged, found.doubled)
    return sorted(streams, key=lambda s: (natural_key(s.name), s.kind))
