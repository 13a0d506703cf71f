"""Parts of a log, so that several processes can read one file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

import pyarrow as pa

from zeekml.core.text import printable
from zeekml.readers.archive import DEFAULT_BATCH_ROWS
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.streams import LogFile, open_log
from zeekml.readers.formats.suricata_eve import AlertMemory
from zeekml.readers.rejects import OTHER, ReadCounters, RejectSink, SourceAccount
from zeekml.readers.stream_reader import Events, LogReader

_MAX_KINDS: Final = 1 << 16
_KIND_LENGTH: Final = 64  # merging cuts it further, as it does all such names


@dataclass(frozen=True, slots=True)
class LogPart:
    """A stretch of one log."""

    # on disk; no more than `LogFile.size` bytes of it are read, so that all who read parts of a log
    # that still grows agree on where it ends
    file: LogFile
    # the part holds the lines that are complete when at least `begin` and less than `end` bytes
    # were taken from disk; without `end`, it goes to the end and says what was wrong there
    begin: int = 0
    end: int | None = None


def cut_file(file: LogFile, parts: int) -> list[LogPart]:
    """Cut a file into parts of equal size on disk; together they give what the file gives."""
    places = [file.size * i // parts for i in range(1, parts)]
    return [
        LogPart(file, begin, end)
        for begin, end in zip([0, *places], [*places, None], strict=True)
        if end is None or end > begin
    ]


def read_part(
    part: LogPart,
    *,
    counters: ReadCounters,
    rejects: RejectSink | None = None,
    batch_rows: int = DEFAULT_BATCH_ROWS,
    keep_originals: bool = False,
    alerts: AlertMemory | None = None,
    events: Events | None = None,
    read_size: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the flows of a part of a log as `read_stream` does; what comes before is not decoded.

    Types of skipped records are counted under up to 65,536 names, so that `ReadCounters.merge`,
    part after part, keeps those that a single reader would. `events` is added to; a file of netflow
    events alone is not counted as skipped here. `read_size` is how many bytes to take from disk at
    a time, the same for all parts of a file.
    """
    reader = LogReader(
        counters,
        lambda source: _PartAccount(source, counters, rejects),
        keep_originals=keep_originals,
        alerts=alerts,
    )
    file = part.file
    try:
        raw = open_log(file.path)
    except OSError as error:
        if not part.begin:
            reader.cannot_open(file, error)
        return
    with raw:
        stream = ByteStream(cast("BinaryIO", _Bounded(raw, file.size, read_size)))
        flows = reader.stretch(file, stream, part.begin, part.end, events=events or Events())
        for batch in flows:
            for start in range(0, len(batch), batch_rows):
                yield batch.slice(start, batch_rows)


class _PartAccount(SourceAccount):
    """Keeps more names of record types: which of them stay is known when parts are merged."""

    def skip(self, kind: str, n: int = 1) -> None:
        """Enter `n` sound records of a type that is no flow."""
        self.counters.records_read += n
        kind = printable(kind, _KIND_LENGTH)
        skipped = self.counters.skipped
        skipped[kind if kind in skipped or len(skipped) < _MAX_KINDS else OTHER] += n


class _Bounded:
    """The first `size` bytes of a file, at most `read_size` at a time."""

    def __init__(self, raw: BinaryIO, size: int, read_size: int | None) -> None:
        self._raw = raw
        self._left = size
        self._most = read_size

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left, self._most or size)
        data = self._raw.read(wanted) if wanted else b""
        self._left -= len(data)
        return data
