"""The latest records of a log as its reader takes them: what it accepts is what can be read."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from zeekml.core.text import printable
from zeekml.doctor.log_sample import Sample
from zeekml.readers.batch_builder import flow_end
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.discovery import LogFile
from zeekml.readers.files.file_type import Kind
from zeekml.readers.flow_schema import SCORED
from zeekml.readers.formats.zeek_header import Header, HeaderReader
from zeekml.readers.rejects import ReadCounters, SourceAccount
from zeekml.readers.shortfall import offending_field
from zeekml.readers.stream_reader import LogReader

_SHOWN = 80


@dataclass(slots=True)
class Reading:
    """What became of the latest records.

    Attributes
    ----------
    counters : ReadCounters
        How many were accepted, rejected and skipped.
    columns : set of str
        Columns that features are made from and that some record has.
    with_id : int
        Flows with a community id.
    latest : float or None
        End of the latest flow, in epoch seconds.
    complaint : str
        The first field that makes a record unreadable and its value; empty if there is none.
    """

    counters: ReadCounters = field(default_factory=ReadCounters)
    columns: set[str] = field(default_factory=set)
    with_id: int = 0
    latest: float | None = None
    complaint: str = ""

    @property
    def flows(self) -> int:
        """Records that were accepted."""
        return self.counters.accepted

    @property
    def others(self) -> int:
        """Sound records that are no flows."""
        return sum(self.counters.skipped.values())

    @property
    def bad(self) -> int:
        """Records that were rejected."""
        return sum(self.counters.rejected.values())


def read_sample(sample: Sample, kind: Kind) -> Reading:
    """Read the latest lines of a log as `zeekml score` and `zeekml watch` do."""
    reading = Reading()
    counters = reading.counters
    data = b"".join(line + b"\n" for line in sample.lines)
    above, header = _headers(sample, data) if kind is Kind.ZEEK_TSV else (None, None)
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
    if reading.bad:
        reading.complaint = _complaint(counters, kind, header)
    return reading


def _headers(sample: Sample, data: bytes) -> tuple[Header, Header]:
    """The header above the latest lines and the one at their end."""
    headers = HeaderReader(sample.detected.header)
    for piece in (sample.head, data):
        headers.begin(piece[: piece.find(b"\n") + 1])
        above = headers.header
        for _ in headers.runs(piece):
            pass
    return above, headers.header


def _complaint(counters: ReadCounters, kind: Kind, header: Header | None) -> str:
    (reason, _), *_ = counters.rejected.most_common(1)
    first = counters.first_rejects[reason]
    found = offending_field(kind, first.text, header)
    return found if found else f'the reason is {reason}: "{printable(first.text, _SHOWN)}"'
