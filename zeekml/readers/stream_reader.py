"""From the files of one stream to batches of flows, whatever their format and damage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import pyarrow as pa

from zeekml.readers.events.event_join import EventJoin
from zeekml.readers.events.flow_memory import FlowMemory, Told
from zeekml.readers.events.zeek_event_decoder import ZeekEventDecoder
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.line_splitter import Block, LineSplitter, LongLine
from zeekml.readers.files.streams import LogFile, Stream, open_log
from zeekml.readers.formats import parquet as flow_table
from zeekml.readers.formats.suricata_eve import EveDecoder
from zeekml.readers.formats.zeek_header import Header
from zeekml.readers.formats.zeek_interim import InterimDecoder
from zeekml.readers.formats.zeek_log import ZeekDecoder
from zeekml.readers.rejects import LINE_TOO_LONG, ReadCounters, SourceAccount, count_bounded

NETFLOW_ONLY: Final = "suricata_netflow_only"

Decoder = ZeekDecoder | EveDecoder
"""Makes flows of whole lines."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class LineDecoder(Protocol[T_co]):
    """Makes something of whole lines."""

    def decode(self, block: Block) -> Sequence[T_co]:
        """What a block holds, in order."""


@dataclass(slots=True)
class Events:
    """How many Suricata events of two types were read."""

    flows: int = 0
    netflows: int = 0

    @property
    def only_netflows(self) -> bool:
        """A log of these cannot be scored, and its owner should know why."""
        return self.netflows > 0 and self.flows == 0


class LogReader:
    """Reads the files of one stream and keeps `counters` up to date on the way.

    `account` makes the books of a source from its name; `memory` gets what else is logged of flows
    and is asked for what it has of each.
    """

    def __init__(
        self,
        counters: ReadCounters,
        account: Callable[[str], SourceAccount] | None = None,
        *,
        keep_originals: bool = False,
        memory: FlowMemory | None = None,
    ) -> None:
        self._counters = counters
        self._account = account or (lambda source: SourceAccount(source, counters, None))
        self._keep_originals = keep_originals
        self._memory = FlowMemory() if memory is None else memory

    @property
    def unasked(self) -> int:
        """Flows of which an EVE log told something so far, but not themselves after it."""
        return self._memory.unasked

    def tables(self, stream: Stream) -> Iterator[pa.RecordBatch]:
        """Yield the flows of one capture in flow tables."""
        for file in stream.files:
            if file.path is None:
                continue
            account, originals = self._account(file.source), self._keep_originals
            try:
                yield from flow_table.read_table(
                    file.path, capture=stream.capture, account=account, keep_originals=originals
                )
            except flow_table.TABLE_ERRORS as error:
                account.cut_short(1, b"", str(error))
            self._counters.bytes_read += file.size

    def events(self, kind: str, files: Iterable[LogFile]) -> Iterator[Told]:
        """Yield what the files of one of Zeek's logs of events tell, one file after the other."""
        clock = None
        for file in files:
            account = self._account(file.source)
            decoder = ZeekEventDecoder(kind, account, clock)
            yield from self._beside(file, decoder, account)
            clock = decoder.clock

    def interim(self, log: str, files: Iterable[LogFile]) -> Iterator[pa.RecordBatch]:
        """Yield the interim records of the files of one log (`zeek_interim`), as they stand."""
        for file in files:
            account = self._account(file.source)
            yield from self._beside(file, InterimDecoder(log, account), account)

    def _beside(
        self, file: LogFile, decoder: LineDecoder[T], account: SourceAccount
    ) -> Iterator[T]:
        """Yield what a decoder makes of a log that stands beside one of flows."""
        try:
            raw = open_log(file.path)
        except OSError as error:
            self.cannot_open(file, error)
            return
        with raw:
            yield from self._read(file, ByteStream(raw), decoder, account)

    def joined(self, stream: Stream, hold: float) -> Iterator[pa.RecordBatch]:
        """Yield the flows of one writer's conn.log with the events that stand beside it."""
        join = self.join(stream, hold)
        yield from map(join.attach, self.logs(stream.loggers[0]))
        self._counters.without_flow += join.finish()

    def join(self, stream: Stream, hold: float) -> EventJoin:
        """What gives the flows of a conn.log the events that stand beside it, see `EventJoin`."""
        logs = {kind: self.events(kind, files) for kind, files in stream.beside.items()}
        return EventJoin(logs, hold)

    def logs(self, files: Iterable[LogFile]) -> Iterator[pa.RecordBatch]:
        """Yield the flows of one writer's files, one file after the other."""
        for file in files:
            events = Events()
            if file.pipe is not None:
                yield from self.byte_range(file, file.pipe, events=events)
            else:
                try:
                    raw = open_log(file.path)
                except OSError as error:
                    self.cannot_open(file, error)
                    continue
                with raw:
                    yield from self.byte_range(file, ByteStream(raw), events=events)
            if events.only_netflows:
                count_bounded(self._counters.files_skipped, NETFLOW_ONLY)

    def cannot_open(self, file: LogFile, error: OSError) -> None:
        """Enter a file in the books that cannot be read at all."""
        self._account(file.source).cut_short(1, b"", f"cannot be read: {error.strerror}")
        count_bounded(self._counters.files_skipped, "unreadable")

    def byte_range(
        self,
        file: LogFile,
        stream: ByteStream,
        begin: int = 0,
        end: int | None = None,
        *,
        events: Events,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the flows of a log whose last byte is from `begin` to `end` in the file on disk.

        Lines that are complete before `begin` are not decoded; without `end`, the end of the file
        is judged, too. `events` is added to.
        """
        account = self._account(file.source)
        memory, originals = self._memory, self._keep_originals
        decoder = new_decoder(
            file.kind, account, memory=memory, keep_originals=originals, header=file.header
        )
        yield from self._read(file, stream, decoder, account, begin, end)
        if isinstance(decoder, EveDecoder):
            events.flows += decoder.flows
            events.netflows += decoder.netflows

    def _read(
        self,
        file: LogFile,
        stream: ByteStream,
        decoder: LineDecoder[T],
        account: SourceAccount,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[T]:
        """Yield what a decoder makes of a file, or of a part, see `byte_range`."""
        splitter = LineSplitter(cut_arrays=file.kind is not Kind.ZEEK_TSV)
        counted = 0
        for chunk in stream.chunks():
            taken = stream.raw_bytes
            if end is not None and taken >= end:
                break
            before = taken < begin
            if not before:
                self._counters.bytes_read += taken - counted
            counted = taken
            for item in splitter.feed(chunk):
                if not before:
                    yield from decoded(item, decoder, account)
                elif isinstance(item, Block) and isinstance(decoder, ZeekDecoder):
                    decoder.pass_over(item)
        if end is None:
            self._counters.bytes_read += stream.raw_bytes - counted
            if stream.left_out:
                self._counters.remark(
                    f"{account.source}: {stream.left_out:,} bytes behind the end of the compressed "
                    "data were left out"
                )
            # the last line stops where damaged data does, so even one that parses is not whole
            rest = list(splitter.finish())
            last = rest[-1] if rest and stream.damage is not None else None
            cut = None if isinstance(last, Block) and last.complete else last
            for item in rest if cut is None else rest[:-1]:
                yield from decoded(item, decoder, account)
            if stream.damage is not None:
                line, data = splitter.line, b""
                if isinstance(cut, Block):
                    line, data = cut.first_line, cut.data.strip(b"\r\n")
                elif cut is not None:
                    line, data = cut.line, cut.excerpt
                if file.kind is Kind.ZEEK_TSV and data.startswith(b"#"):
                    data = b""
                account.cut_short(line, data, stream.damage)


def new_decoder(
    kind: Kind,
    account: SourceAccount,
    *,
    memory: FlowMemory,
    keep_originals: bool = False,
    header: Header | None = None,
) -> Decoder:
    """A decoder for the lines of one file of a text format."""
    if kind in (Kind.ZEEK_TSV, Kind.ZEEK_JSON):
        return ZeekDecoder(kind, account, keep_originals=keep_originals, header=header)
    return EveDecoder(account, memory=memory, keep_originals=keep_originals)


def decoded(item: Block | LongLine, decoder: LineDecoder[T], account: SourceAccount) -> Iterator[T]:
    """Yield what a decoder makes of lines, or enter a line that is too long in the books."""
    if isinstance(item, LongLine):
        account.reject(item.line, LINE_TOO_LONG, item.excerpt)
    else:
        yield from decoder.decode(item)
