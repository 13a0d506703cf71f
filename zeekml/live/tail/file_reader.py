"""Reader of one open file of a log, from an offset to wherever the file ends at the moment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO, Final

from zeekml.live.tail import fingerprint as fingerprints
from zeekml.live.tail.fingerprint import MAX_PREFIX, Fingerprint, Place, identify
from zeekml.readers.files.compression import ByteStream, compression_of
from zeekml.readers.files.discovery import open_log
from zeekml.readers.files.line_splitter import Block, LineSplitter, LongLine

READ_SIZE: Final = 1 << 20
_MAGIC_SIZE: Final = 8
_BETWEEN_LINES: Final = (b"", b"\n", b"\0")  # what stands before a place between two lines


class ReadState(Enum):
    """What `FileReader.state` finds."""

    WHOLE = auto()  # what was read is still there
    SHORTENED = auto()  # the end was cut off; what is left was read
    REWRITTEN = auto()  # that is gone: the file was emptied, and may have been written anew


@dataclass(frozen=True, slots=True)
class Rest:
    """The rest of a line whose beginning was delivered as a line of its own."""

    offset: int  # where it begins
    line: int
    size: int  # bytes, without the end of the line


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines, and the place after them: bytes of the uncompressed file, number of the next line."""

    lines: Block | LongLine | Rest
    offset: int
    line: int


def open_listed(path: Path, place: Place) -> BinaryIO:
    """Open a file that a directory listed; raises OSError when it is another one by now."""
    raw = open_log(path)
    if place_of(os.fstat(raw.fileno())) != place:
        raw.close()
        raise FileNotFoundError(0, "was replaced meanwhile")
    return raw


@dataclass(frozen=True, slots=True)
class FileHead:
    """The beginning of a file."""

    data: bytes  # the prefix of its fingerprint, without leading NULs
    packed: bool = False
    nuls: int = 0  # leading ones; 0 for compressed files
    damage: str | None = None  # why there is no more of a compressed file
    _digests: dict[int, str] = field(default_factory=dict, compare=False, repr=False)

    def digest(self, length: int) -> str:
        """Hash of the first `length` bytes: each file is compared with all that were read."""
        if length not in self._digests:
            self._digests[length] = fingerprints.digest_of(self.data, length)
        return self._digests[length]


def read_head(raw: BinaryIO) -> FileHead:
    """Read what identifies a file."""
    fd = raw.fileno()
    if _is_packed(fd):
        os.lseek(fd, 0, os.SEEK_SET)
        stream = ByteStream(raw)
        head = _prefix_of(stream.head(MAX_PREFIX))
        return FileHead(head, packed=True, damage=stream.damage)
    begin = _first_data(fd)
    while data := os.pread(fd, READ_SIZE, begin):
        text = data.lstrip(b"\0")
        begin += len(data) - len(text)
        if text:
            return FileHead(_prefix_of(os.pread(fd, MAX_PREFIX, begin)), nuls=begin)
    return FileHead(b"", nuls=begin)


class FileReader:
    """Reads a file piece by piece; never beyond what was there when it was looked at.

    It goes on at `offset` bytes of the uncompressed file, where line `line` is. In the middle of a
    line, the rest of it is passed over.
    """

    def __init__(self, raw: BinaryIO, path: Path, offset: int = 0, line: int = 1) -> None:
        self.path = path  # for messages
        self.begun_at = offset
        # after the last line that was returned
        self.offset = offset
        self.line = line
        # whether that was returned in part, so that what follows of it is passed over
        self.within_line = False
        # why a compressed file cannot be read further, once its end is reached
        self.damage: str | None = None
        self._raw = raw
        self._fd = raw.fileno()
        status = os.fstat(self._fd)
        self.place = place_of(status)
        self.opened_as = status
        self._opened_in = _place_of_directory(path.parent)
        self.packed = _is_packed(self._fd)
        self._splitter, self._fed_from = _splitter(line), -1
        self._passed_over = 0
        self.prefix = b""  # the first bytes, without leading NULs
        self._prefix_full = False
        self._prefix_begin = 0
        self._fingerprint: Fingerprint | None = None
        self._chunks: Iterator[bytes] | None = None
        self._stream: ByteStream | None = None
        if self.packed:
            os.lseek(self._fd, 0, os.SEEK_SET)
            self._stream = ByteStream(raw)
            self._chunks = self._stream.chunks()
            self.read_to = 0  # after the last byte that was read
        else:
            first = _first_data(self._fd)
            self.read_to = max(offset, first)
            if offset:
                self.within_line = os.pread(self._fd, 1, offset - 1) not in _BETWEEN_LINES
            # the beginning, so that it is noticed when it goes, even before it was delivered
            while not self._prefix_full and (data := os.pread(self._fd, MAX_PREFIX, first)):
                self._extend_prefix(data, first)
                first += len(data)

    def close(self) -> None:
        self._raw.close()

    @property
    def stat(self) -> os.stat_result:
        """The file's present status."""
        return os.fstat(self._fd)

    @property
    def moved_to(self) -> Path | None:
        """Directory that the file was moved into by itself; None if it was not, or is unknown."""
        with contextlib.suppress(OSError):
            path = Path(f"/proc/self/fd/{self._fd}").readlink()
            # with its directory moved away, a file is still where it was
            moved = _place_of_directory(path.parent) != self._opened_in
            return path.parent if moved and os.path.samestat(path.stat(), self.stat) else None
        return None

    @property
    def known_size(self) -> int:
        """Bytes of the uncompressed file that are known to be there."""
        return self.read_to if self.packed else max(self.read_to, self.stat.st_size)

    def fingerprint(self, *, delivered: bool = True) -> Fingerprint:
        """The fingerprint by what was delivered, or else by all that was seen."""
        if self._fingerprint is not None:
            return self._fingerprint
        prefix = self.prefix
        if delivered:
            prefix = prefix[: max(self.offset - self._prefix_begin, 0)]
        # the last line of what was delivered may go on with the next record
        ended = self.within_line or delivered
        found = identify(prefix, *self.place, ended=ended)
        if self._prefix_full and len(prefix) == len(self.prefix):
            self._fingerprint = found
        return found

    @property
    def begun(self) -> bytes:
        """The record at the end that was read but not returned, since it has no end yet."""
        return self._splitter.begun

    @property
    def can_end(self) -> bool:
        """Whether the file may end here.

        It could be told from others by what was read, and ends at no line within a record.
        """
        return identify(self.prefix, *self.place, ended=True).distinct and self._splitter.can_end

    def read(self, limit: int) -> tuple[int, list[Piece]]:
        """Read on: how many bytes were read (none: see `state`), and the lines they complete."""
        if self._chunks is not None:
            return self._read_packed(self._chunks)
        data = os.pread(self._fd, min(limit, READ_SIZE), self.read_to)
        # had the file been rewritten before this read, the bytes would belong to something else
        if not data or self.state() is not ReadState.WHOLE:
            return 0, []
        return len(data), self._take(data)

    def rest(self) -> list[Piece]:
        """The unterminated line at the end of a file that nobody writes to any more.

        What is written to that line later is passed over.
        """
        if self.within_line:
            return self._rest_of_line(self.read_to, self.line)
        pieces: list[Piece] = []
        for item in self._splitter.finish():
            self.offset, self.line = self._fed_from + self._splitter.taken, self._splitter.line
            if isinstance(item, LongLine):
                self.offset, self.line, self.within_line = self.read_to, item.line, True
            elif not item.complete:
                self.offset, self.within_line = self.read_to, bool(item.data)
            pieces.append(Piece(item, self.offset, self.line))
        return pieces

    def state(self) -> ReadState:
        """Look whether what was read is still in the file."""
        if self.packed:
            return ReadState.WHOLE
        there = os.pread(self._fd, len(self.prefix), self._prefix_begin)
        if self.stat.st_size >= self.read_to:
            return ReadState.WHOLE if there == self.prefix else ReadState.REWRITTEN
        # a header that is just being written begins like the one before
        own = identify(there, *self.place).distinct and self.prefix.startswith(there)
        return ReadState.SHORTENED if own else ReadState.REWRITTEN

    def go_back(self) -> None:
        """Go on from the present end of a shortened file, from the beginning of its last line."""
        size = self.stat.st_size
        if size < self.offset:
            self.offset, self.line, self.within_line = 0, 1, False
            at = 0
            while at < size and (data := os.pread(self._fd, min(READ_SIZE, size - at), at)):
                self.line += data.count(b"\n")
                if b"\n" in data:
                    self.offset = at + data.rfind(b"\n") + 1
                at += len(data)
        self._passed_over = 0
        self.read_to = self.offset
        self._splitter, self._fed_from = _splitter(self.line), -1
        self.prefix = self.prefix[: max(self.offset - self._prefix_begin, 0)]
        self._prefix_full = False
        self._fingerprint = None

    def _read_packed(self, chunks: Iterator[bytes]) -> tuple[int, list[Piece]]:
        chunk = next(chunks, None)
        if chunk is None:
            assert self._stream is not None
            self.damage = self._stream.damage
            return 0, []
        pieces: list[Piece] = []
        for start in range(0, len(chunk), READ_SIZE):
            part = chunk[start : start + READ_SIZE]
            skipped = min(max(self.offset - self.read_to, 0), len(part))
            self._extend_prefix(part[:skipped], self.read_to)
            self.read_to += skipped
            if skipped and self.read_to == self.offset:
                self.within_line = part[skipped - 1 : skipped] not in _BETWEEN_LINES
            if skipped < len(part):
                pieces += self._take(part[skipped:])
        return len(chunk), pieces

    def _take(self, data: bytes) -> list[Piece]:
        begin = self.read_to
        self._extend_prefix(data, begin)
        self.read_to += len(data)
        pieces: list[Piece] = []
        if self.within_line:
            end = data.find(b"\n")
            self._passed_over += len((data if end < 0 else data[:end]).strip(b"\0\r"))
            if end < 0:
                return []
            begin += end + 1
            data = data[end + 1 :]
            pieces += self._rest_of_line(begin, self.line + 1)
            self._splitter, self._fed_from = _splitter(self.line), -1
            self.within_line = False
        if self._fed_from < 0:
            self._fed_from = begin
        for item in self._splitter.feed(data):
            self.offset, self.line = self._fed_from + self._splitter.taken, self._splitter.line
            pieces.append(Piece(item, self.offset, self.line))
        return pieces

    def _rest_of_line(self, offset: int, line: int) -> list[Piece]:
        """Go on at a place; what was passed over before it, if it is any."""
        rest = Rest(self.offset, self.line, self._passed_over)
        moved = offset > self.offset
        self.offset, self.line, self._passed_over = offset, line, 0
        return [Piece(rest, offset, line)] if moved else []

    def _extend_prefix(self, data: bytes, begin: int) -> None:
        if self._prefix_full or not data:
            return
        if not self.prefix:
            text = data.lstrip(b"\0")
            self._prefix_begin = begin + len(data) - len(text)
            data = text
        else:
            data = data[max(self._prefix_begin + len(self.prefix) - begin, 0) :]
        self.prefix += data[: MAX_PREFIX - len(self.prefix)]
        if not fingerprints.needs_more(self.prefix):
            self.prefix = _prefix_of(self.prefix)
            self._prefix_full = True


def place_of(status: os.stat_result) -> Place:
    return status.st_dev, status.st_ino


def _place_of_directory(directory: Path) -> Place | None:
    with contextlib.suppress(OSError):
        return place_of(directory.stat())
    return None


def _splitter(line: int) -> LineSplitter:
    splitter = LineSplitter()
    splitter.line = line
    return splitter


def _prefix_of(head: bytes) -> bytes:
    return head[: identify(head, 0, 0).length]


def _is_packed(fd: int) -> bool:
    return compression_of(os.pread(fd, _MAGIC_SIZE, 0)) is not None


def _first_data(fd: int) -> int:
    """Where data begins: gigabytes of leading NULs are mostly a hole."""
    with contextlib.suppress(OSError):
        # fails for an empty file, for one that is all hole, and where it is not supported
        return os.lseek(fd, 0, os.SEEK_DATA)
    return 0
