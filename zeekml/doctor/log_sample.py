"""The beginning and the latest lines of a live log, within bounds and without touching it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.readers.files.compression import ByteStream, compression_of
from zeekml.readers.files.discovery import open_log
from zeekml.readers.files.file_type import HEAD_SIZE, Detected, detect
from zeekml.readers.formats.zeek_header import Header

TAIL_SIZE: Final = 4 << 20
"""Bytes at the end that are looked at."""

_MAX_LINES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read of a log.

    Attributes
    ----------
    path : Path
        The log.
    detected : Detected
        What it is, by its beginning.
    packed : bool
        Whether it is compressed; then nothing else was read.
    head : bytes
        Its first bytes.
    lines : list of bytes
        The latest whole lines, without newline, the oldest first.
    size : int
        Bytes of the file.
    written : float
        When it was last written, in epoch seconds of this machine's or the file server's clock.
    utf_16 : bool
        Whether it is text in UTF-16, which cannot be followed.
    """

    path: Path
    detected: Detected
    packed: bool
    head: bytes
    lines: list[bytes]
    size: int
    written: float
    utf_16: bool = False


def take_sample(path: Path, columns: Header | None = None) -> Sample:
    """Read the beginning and the end of a log.

    Parameters
    ----------
    path : Path
        The log.
    columns : Header, optional
        As for `detect`.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file.
    """
    with open_log(path) as raw:
        status = os.fstat(raw.fileno())
        packed = compression_of(raw.read(8) or b"") is not None
        if packed:
            return Sample(path, Detected(), True, b"", [], status.st_size, status.st_mtime)
        raw.seek(0)
        stream = ByteStream(raw)
        head = stream.head(HEAD_SIZE)
        start = max(0, status.st_size - TAIL_SIZE)
        raw.seek(start)
        tail = raw.read(TAIL_SIZE) or b""
    # the last line may be half written, and the first one half in front of the piece
    tail = tail[: tail.rfind(b"\n") + 1]
    if start:
        tail = tail[tail.find(b"\n") + 1 :]
    lines = [line.rstrip(b"\r").lstrip(b"\0") for line in tail.split(b"\n")]
    lines = [line for line in lines if line][-_MAX_LINES:]
    detected = detect(head, path.name, columns)
    size, written = status.st_size, status.st_mtime
    return Sample(path, detected, False, head, lines, size, written, stream.utf_16)
