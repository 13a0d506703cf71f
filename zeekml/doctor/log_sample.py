"""The latest lines of a live log and what its reader makes of them, within bounds."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast

from zeekml.core.text import printable
from zeekml.readers.batch_builder import flow_end
from zeekml.readers.files.compression import ByteStream, compression_of
from zeekml.readers.files.discovery import LogFile, open_log
from zeekml.readers.files.file_type import HEAD_SIZE, Detected, Kind, detect
from zeekml.readers.flow_schema import SCORED
from zeekml.readers.formats.zeek_header import Header, HeaderReader
from zeekml.readers.rejects import ReadCounters, SourceAccount
from zeekml.readers.shortfall import offending_field
from zeekml.readers.stream_reader import LogReader

TAIL_SIZE: Final = 4 << 20  # bytes at the end that are looked at
_MAX_LINES: Final = 20_000
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read of a log."""

    path: Path
    detected: Detected  # what it is, by its beginning
    packed: bool  # whether it is compressed; then nothing else was read
    head: bytes
    lines: list[bytes]  # the latest whole ones, without newline, the oldest first
    written: float  # when it last was, epoch seconds of this machine's or the file server's clock
    utf_16: bool = False  # whether it is text in UTF-16, which cannot be followed


def take_sample(path: Path, columns: Header | None = None) -> Sample:
    """Read the beginning and the end of a log; `columns` as for `detect`.

    `OSError`: it cannot be read, or is no regular file.
    """
    with open_log(path) as raw:
        status = os.fstat(raw.fileno())
        if compression_of(raw.read(8) or b"") is not None:
            return Sample(path, Detected(), True, b"", [], status.st_mtime)
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
    return Sample(path, detected, False, head, lines, status.st_mtime, stream.utf_16)


@dataclass(slots=True)
class Reading:
    """What became of the latest records."""

    counters: ReadCounters = field(default_factory=ReadCounters)
    columns: set[str] = field(default_factory=set)  # of `SCORED`, those that some record has
    with_id: int = 0  # flows with a community id
    latest: float | None = None  # end of the latest flow, epoch seconds
    complaint: str = ""  # the first field that makes a record unreadable, and its value


def read_sample(sample: Sample, kind: Kind) -> Reading:
    """Read the latest lines of a log as `zeekml score` and `zeekml watch` do."""
    reading = Reading()
    counters = reading.counters
    data = b"".join(line + b"\n" for line in sample.lines)
    above = header = None
    if kind is Kind.ZEEK_TSV:
        # the header above the latest lines, and the one at their end
        headers = HeaderReader(sample.detected.header)
        for piece in (sample.head, data):
            headers.begin(piece[: piece.find(b"\n") + 1])
            above = headers.header
            for _ in headers.runs(piece):
                pass
        header = headers.header
    reader = LogReader(counters, lambda source: SourceAccount(source, counters, None))
    pipe = ByteStream(cast("BinaryIO", io.BytesIO(data)))
    for batch in reader.logs([LogFile("", None, kind, header=above, pipe=pipe)]):
        reading.with_id += len(batch) - batch.column("community_id").null_count
        end = float(flow_end(batch).max())
        reading.latest = end if reading.latest is None else max(reading.latest, end)
        reading.columns.update(
            name for name in SCORED if batch.column(name).null_count < len(batch)
        )
    if header is not None:
        # a column may be there and say nothing for a while
        reading.columns.update(name for name in SCORED if name in header.wanted)
    for reason, _ in counters.rejected.most_common(1):
        text = counters.first_rejects[reason].text
        named = offending_field(kind, text, header)
        reading.complaint = named or f'the reason is {reason}: "{printable(text, _SHOWN)}"'
    return reading
