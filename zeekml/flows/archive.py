"""Read streams of logs from start to end, whatever their format, compression and damage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.flows import flow_table
from zeekml.flows.columns import flow_end
from zeekml.flows.compression import ByteStream
from zeekml.flows.detect import Kind
from zeekml.flows.discovery import Discovery, LogFile, Stream, discover, open_log
from zeekml.flows.lines import Block, LineSplitter, LongLine
from zeekml.flows.rejects import (
    LINE_TOO_LONG,
    ReadCounters,
    RejectSink,
    SourceAccount,
    count_bounded,
)
from zeekml.flows.schema import FLOW_SCHEMA, ORIGINAL_FIELD
from zeekml.flows.suricata_eve import AlertMemory, EveDecoder
from zeekml.flows.zeek_json import ZeekJsonDecoder
from zeekml.flows.zeek_tsv import TsvDecoder

DEFAULT_BATCH_ROWS: Final = 8192
NETFLOW_ONLY: Final = "suricata_netflow_only"


class _Decoder(Protocol):
    def decode(self, block: Block) -> list[pa.RecordBatch]: ...


def read_stream(
    stream: Stream,
    *,
    counters: ReadCounters,
    rejects: RejectSink | None = None,
    batch_rows: int = DEFAULT_BATCH_ROWS,
    keep_originals: bool = False,
    on_bytes: Callable[[int], None] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the flows of a stream in its order, as batches of `FLOW_SCHEMA`.

    Parameters
    ----------
    stream : Stream
        From `discover`.
    counters : ReadCounters
        Is kept up to date while reading; whole only when the iterator is exhausted.
    rejects : RejectSink, optional
        Gets the records that cannot be read.
    batch_rows : int
        Largest number of rows of a batch. Batches may be smaller, but are never empty.
    keep_originals : bool
        Appends the column ``original`` (`ORIGINAL_FIELD`): the record as one line of JSON.
    on_bytes : callable, optional
        Called with the bytes taken from disk since its last call.

    Notes
    -----
    Within one writer, records come as they were logged. Several writers of one sensor are merged
    by (largest flow end so far, writer, place in its files). A file that is damaged, cut short
    or gone gives what it has; then its name is in ``counters.truncated``.
    """
    reader = _Reader(counters, rejects, keep_originals, on_bytes)
    if stream.kind is Kind.TABLE:
        batches = reader.tables(stream)
    elif len(stream.loggers) == 1:
        batches = reader.logs(stream.loggers[0])
    else:
        batches = merge_by_end([reader.logs(files) for files in stream.loggers])
    for batch in batches:
        for start in range(0, len(batch), batch_rows):
            yield batch.slice(start, batch_rows)


def read_flow_table(
    inputs: Sequence[str | Path],
    *,
    counters: ReadCounters | None = None,
    rejects: RejectSink | None = None,
    keep_originals: bool = False,
) -> pa.Table:
    """Read all flows of files and directories into memory, stream after stream.

    Parameters
    ----------
    inputs : sequence of str or Path
        As for `discover`.
    counters, rejects, keep_originals
        As for `read_stream`.

    Returns
    -------
    pyarrow.Table
        In `FLOW_SCHEMA`, with ``original`` appended where asked for.

    Raises
    ------
    InputError
        As `discover`.
    """
    counters = ReadCounters() if counters is None else counters
    found: Discovery = discover(inputs)
    for reason, n in found.files_skipped.items():
        count_bounded(counters.files_skipped, reason, n)
    batches = [
        batch
        for stream in found.streams
        for batch in read_stream(
            stream, counters=counters, rejects=rejects, keep_originals=keep_originals
        )
    ]
    schema = FLOW_SCHEMA.append(ORIGINAL_FIELD) if keep_originals else FLOW_SCHEMA
    return pa.Table.from_batches(batches, schema).unify_dictionaries()


class _Reader:
    """What reading the files of one stream has in common."""

    def __init__(
        self,
        counters: ReadCounters,
        rejects: RejectSink | None,
        keep_originals: bool,
        on_bytes: Callable[[int], None] | None,
    ) -> None:
        self._counters = counters
        self._rejects = rejects
        self._keep_originals = keep_originals
        self._on_bytes = on_bytes
        self._alerts = AlertMemory()

    def tables(self, stream: Stream) -> Iterator[pa.RecordBatch]:
        for file in stream.files:
            if file.path is None:
                continue
            account = self._account(file)
            try:
                yield from flow_table.read_table(
                    file.path,
                    capture=stream.capture,
                    account=account,
                    keep_originals=self._keep_originals,
                )
            except flow_table.TABLE_ERRORS as error:
                account.cut_short(1, b"", str(error))
            self._took(file.size)

    def logs(self, files: Iterable[LogFile]) -> Iterator[pa.RecordBatch]:
        """Yield the flows of one writer's files, one file after the other."""
        for file in files:
            if file.pipe is not None:
                file.pipe.on_bytes = self._took
                self._took(file.pipe.raw_bytes)
                yield from self._log(file, file.pipe)
                continue
            try:
                raw: BinaryIO = open_log(file.path) if file.path is not None else _no_file()
            except OSError as error:
                self._account(file).cut_short(1, b"", f"cannot be read: {error.strerror}")
                count_bounded(self._counters.files_skipped, "unreadable")
                continue
            with raw:
                yield from self._log(file, ByteStream(raw, on_bytes=self._took))

    def _log(self, file: LogFile, stream: ByteStream) -> Iterator[pa.RecordBatch]:
        account = self._account(file)
        decoder = self._decoder(file.kind, account)
        splitter = LineSplitter()
        for chunk in stream.chunks():
            for item in splitter.feed(chunk):
                yield from _decoded(item, decoder, account)
        rest = list(splitter.finish())
        if stream.damage is not None:
            # the last line stops where the data does, so even a line that parses is not whole
            cut = rest[0] if rest else None
            data = b""
            if isinstance(cut, Block):
                data = cut.data.strip(b"\r")
            elif isinstance(cut, LongLine):
                data = cut.excerpt
            if file.kind is Kind.ZEEK_TSV and data.startswith(b"#"):
                data = b""
            account.cut_short(splitter.line - isinstance(cut, LongLine), data, stream.damage)
        else:
            for item in rest:
                yield from _decoded(item, decoder, account)
        if isinstance(decoder, EveDecoder) and decoder.netflows and not decoder.flows:
            count_bounded(self._counters.files_skipped, NETFLOW_ONLY)

    def _account(self, file: LogFile) -> SourceAccount:
        return SourceAccount(file.source, self._counters, self._rejects)

    def _decoder(self, kind: Kind, account: SourceAccount) -> _Decoder:
        if kind is Kind.ZEEK_TSV:
            return TsvDecoder(account, keep_originals=self._keep_originals)
        if kind is Kind.ZEEK_JSON:
            return ZeekJsonDecoder(account, keep_originals=self._keep_originals)
        return EveDecoder(account, alerts=self._alerts, keep_originals=self._keep_originals)

    def _took(self, n: int) -> None:
        self._counters.bytes_read += n
        if self._on_bytes is not None:
            self._on_bytes(n)


def _no_file() -> BinaryIO:
    raise OSError(0, "has no path")


def _decoded(
    item: Block | LongLine, decoder: _Decoder, account: SourceAccount
) -> Iterator[pa.RecordBatch]:
    if isinstance(item, LongLine):
        account.reject(item.line, LINE_TOO_LONG, item.excerpt)
    else:
        yield from decoder.decode(item)


class _Writer:
    """The unread rest of one writer's records, with the key they are merged by."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._clock = -np.inf
        self.batch: pa.RecordBatch | None = None
        self.keys: npt.NDArray[np.float64] = np.empty(0)
        self.advance()

    def advance(self) -> None:
        self.batch = next(self._batches, None)
        if self.batch is None:
            return
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
