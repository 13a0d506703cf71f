"""Read streams of logs from start to end, whatever their format, compression and damage.

A file may also be read in parts (byte ranges), so that several processes can read one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.readers.batch_builder import flow_end
from zeekml.readers.events.event_schema import CONTEXT_HOLD
from zeekml.readers.events.events_column import count_events
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.streams import Discovery, LogFile, Stream, open_log
from zeekml.readers.flow_order import in_end_order
from zeekml.readers.flow_schema import FLOW_SCHEMA, SURICATA_HOLD
from zeekml.readers.record_dates import RecordDates
from zeekml.readers.rejects import ReadCounters, RejectSink, SourceAccount, count_bounded
from zeekml.readers.stream_clock import StreamClock, flow_ends
from zeekml.readers.stream_reader import Events, LogReader

DEFAULT_BATCH_ROWS: Final = 8192


def read_stream(
    stream: Stream,
    *,
    counters: ReadCounters,
    rejects: RejectSink | None = None,
    batch_rows: int = DEFAULT_BATCH_ROWS,
    keep_originals: bool = False,
    hold: float = SURICATA_HOLD,
    context_hold: float = CONTEXT_HOLD,
    dates: RecordDates | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the flows of a stream in its order, as batches of `FLOW_SCHEMA`.

    Batches have at most `batch_rows` rows and are never empty. `counters` is whole only when the
    iterator is exhausted; `rejects` gets the records that cannot be read. `keep_originals` appends
    the column ``original`` (`flow_schema.ORIGINAL_FIELD`). Suricata's flows are held for `hold`
    seconds; 0 leaves them as they were logged. Zeek's logs of events may be `context_hold` seconds
    of log time ahead of their connections. Of `dates`, flows come with those around them, which
    are counted as skipped.

    Within one writer, records come as they were logged. Several writers of one sensor are merged
    by (largest flow end so far, writer, place in its files). Suricata's flows are then put in the
    order in which they ended, see `zeekml.readers.flow_order`. A file that is damaged, cut short
    or gone gives what it has; then its name is in ``counters.truncated``.
    """
    account = partial(SourceAccount, counters=counters, rejects=rejects, dates=dates)
    reader = LogReader(counters, account, keep_originals=keep_originals)
    if stream.kind is Kind.TABLE:
        batches = reader.tables(stream)
    elif stream.beside:
        batches = reader.joined(stream, context_hold)
    elif len(stream.loggers) == 1:
        batches = reader.logs(stream.loggers[0])
    else:
        batches = merge_by_end([reader.logs(files) for files in stream.loggers])
    if stream.in_disorder:
        batches = in_end_order(batches, hold)
    clock = StreamClock()
    for batch in batches:
        clock.run(flow_ends(batch))
        counters.with_events += count_events(on_dates(batch, dates))
        if clock.behind:
            enter_behind(batch, clock, counters)
        for start in range(0, len(batch), batch_rows):
            yield batch.slice(start, batch_rows)
    counters.without_flow += reader.unasked


def on_dates(batch: pa.RecordBatch, dates: RecordDates | None) -> pa.RecordBatch:
    """The flows of a batch that are asked for, without those around them."""
    if dates is None or (wanted := dates.wanted(flow_end(batch))).all():
        return batch
    return batch.filter(pa.array(wanted))


def enter_behind(batch: pa.RecordBatch, clock: StreamClock, counters: ReadCounters) -> None:
    """Enter the records of a batch that a clock, which ran over it, found far behind."""
    row = clock.first_behind
    source, line = batch.column("source")[row].as_py(), batch.column("line")[row].as_py()
    counters.behind += clock.behind
    counters.first_behind = counters.first_behind or f"{source}, line {line:,}"


def flows_of(found: Discovery, counters: ReadCounters | None = None) -> pa.Table:
    """All flows of what was discovered in one table, stream after stream, as `read_stream` does."""
    counters = ReadCounters() if counters is None else counters
    for reason, n in found.files_skipped.items():
        count_bounded(counters.files_skipped, reason, n)
    batches = [
        batch for stream in found.streams for batch in read_stream(stream, counters=counters)
    ]
    return pa.Table.from_batches(batches, FLOW_SCHEMA).unify_dictionaries()


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
    pairs = zip([0, *places], [*places, None], strict=True)
    return [LogPart(file, begin, end) for begin, end in pairs if end is None or end > begin]


def read_part(
    part: LogPart,
    *,
    counters: ReadCounters,
    rejects: RejectSink | None = None,
    batch_rows: int = DEFAULT_BATCH_ROWS,
    keep_originals: bool = False,
    memory: FlowMemory | None = None,
    events: Events | None = None,
    read_size: int | None = None,
    dates: RecordDates | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the flows of a part of a log as `read_stream` does; what comes before is not decoded.

    Types of skipped records are counted under up to 65,536 names, so that `ReadCounters.merge`,
    part after part, keeps those that a single reader would. `events` is added to; a file of netflow
    events alone is not counted as skipped here. `read_size` is how many bytes to take from disk at
    a time, the same for all parts of a file.
    """
    # which names of types stay is known when parts are merged
    account = partial(
        SourceAccount, counters=counters, rejects=rejects, most_types=1 << 16, dates=dates
    )
    reader = LogReader(counters, account, keep_originals=keep_originals, memory=memory)
    file = part.file
    try:
        raw = open_log(file.path)
    except OSError as error:
        if not part.begin:
            reader.cannot_open(file, error)
        return
    with raw:
        stream = ByteStream(cast("BinaryIO", _Bounded(raw, file.size, read_size)))
        flows = reader.byte_range(file, stream, part.begin, part.end, events=events or Events())
        for batch in flows:
            for start in range(0, len(batch), batch_rows):
                yield batch.slice(start, batch_rows)


@dataclass
class _Bounded:
    """The first bytes of a file, at most `read_size` at a time."""

    raw: BinaryIO
    left: int
    read_size: int | None

    def read(self, size: int) -> bytes:
        wanted = min(size, self.left, self.read_size or size)
        data = self.raw.read(wanted) if wanted else b""
        self.left -= len(data)
        return data


class _Writer:
    """The unread rest of one writer's records, with the key they are merged by."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._clock = -np.inf
        self.keys: npt.NDArray[np.float64] = np.empty(0)
        self.advance()

    def advance(self) -> None:
        self.batch: pa.RecordBatch | None = next(self._batches, None)
        if self.batch is not None:
            self.keys = np.maximum.accumulate(np.maximum(flow_end(self.batch), self._clock))
            self._clock = float(self.keys[-1])

    def take(self, n: int) -> pa.RecordBatch:
        assert self.batch is not None
        taken = self.batch.slice(0, n)
        self.batch, self.keys = self.batch.slice(n), self.keys[n:]
        return taken


def merge_by_end(sources: Sequence[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Merge the records of several writers of one sensor.

    The key of a record is the largest flow end its writer has logged so far: it never falls, so
    the order of each writer is kept. Equal keys go to the writer that comes first in `sources`.
    The result does not depend on how the sources are cut into batches.
    """
    writers = [_Writer(source) for source in sources]
    while True:
        live = [(i, w) for i, w in enumerate(writers) if w.batch is not None]
        if not live:
            return
        if len(live) == 1:
            writer = live[0][1]
            while writer.batch is not None:
                yield writer.batch
                writer.advance()
            return
        # all rows up to the first batch's end can be placed now: later ones have larger keys
        limit, holder = min((float(w.keys[-1]), i) for i, w in live)
        parts: list[pa.RecordBatch] = []
        keys: list[npt.NDArray[np.float64]] = []
        for i, writer in live:
            n = int(np.searchsorted(writer.keys, limit, "right" if i <= holder else "left"))
            if n:
                keys.append(writer.keys[:n])
                parts.append(writer.take(n))
        order = np.argsort(np.concatenate(keys), kind="stable")
        merged = pa.Table.from_batches(parts).combine_chunks().to_batches()[0]
        yield merged.take(pa.array(order))
        for _, writer in live:
            if writer.batch is not None and not len(writer.batch):
                writer.advance()
