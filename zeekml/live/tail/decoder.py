"""Decoder of a tail: from its events to batches of flows, each file with a reader of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from zeekml.core.text import printable
from zeekml.live.health.figures import SensorStats
from zeekml.live.tail.events import FileOpened, Lines
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.files.file_type import HEAD_SIZE, Kind, detect
from zeekml.readers.files.line_splitter import Block, LongLine
from zeekml.readers.flow_schema import SURICATA
from zeekml.readers.formats.zeek_log import ZeekDecoder
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.stream_reader import Decoder, decoded, new_decoder


class TailDecoder:
    """Decodes what one tail delivers.

    `sensor` is what was asked for, whatever a file looks like. `account` makes the counters of a
    source from its name, and `memory` serves all tails of a stream.
    """

    def __init__(
        self,
        sensor: str,
        account: Callable[[str], SourceAccount],
        *,
        memory: FlowMemory,
        keep_originals: bool,
    ) -> None:
        # of the latest lines
        self.kind: Kind | None = Kind.EVE if sensor == SURICATA else None
        self.stats = SensorStats()
        self._sensor = sensor
        self._new_account = account
        self._memory = memory
        self._keep_originals = keep_originals
        self._header: Block | None = None
        self._decoder: Decoder | None = None
        self._account = account("")

    def opened(self, event: FileOpened) -> None:
        """The lines that follow are from another file."""
        # as in archives; a name need not even be UTF-8
        self._account = self._new_account(printable(event.source, 4096))
        self._header = event.header
        self._decoder = None

    def lines(self, event: Lines) -> Iterator[pa.RecordBatch]:
        """The flows of the next lines."""
        if self.kind is Kind.EVE and isinstance(event.lines, Block):
            self.stats.see(event.lines.data)
        decoder = self._decoder_for(event)
        yield from decoded(event.lines, decoder, self._account)
        self.kind = decoder.kind if isinstance(decoder, ZeekDecoder) else self.kind

    def pass_over(self, event: Lines) -> int:
        """Leave the next lines out, but for a header among them; how many records there may be."""
        decoder = self._decoder_for(event)
        if isinstance(event.lines, LongLine):
            return 1
        lines = [line for line in event.lines.data.split(b"\n") if line and not line.isspace()]
        if isinstance(decoder, ZeekDecoder):
            decoder.pass_over(event.lines)
            return sum(not line.startswith(b"#") for line in lines)
        return len(lines)

    def _decoder_for(self, event: Lines) -> Decoder:
        if self._decoder is None:
            kind = self._kind_of(event) or self.kind
            if kind is None:
                lines = event.lines
                data = lines.data if isinstance(lines, Block) else lines.excerpt
                json = data.lstrip()[:1] in (b"{", b"[")
                kind = Kind.ZEEK_JSON if json else Kind.ZEEK_TSV
            self._decoder = new_decoder(
                kind, self._account, memory=self._memory, keep_originals=self._keep_originals
            )
            if self._header is not None and isinstance(self._decoder, ZeekDecoder):
                self._decoder.pass_over(self._header)
        return self._decoder

    def _kind_of(self, event: Lines) -> Kind | None:
        """The format that a file begins with; where no line tells, what the one before had."""
        if self._sensor == SURICATA:
            return Kind.EVE
        if self._header is not None:
            return Kind.ZEEK_TSV
        if isinstance(event.lines, LongLine):
            return None
        head = event.lines.data[:HEAD_SIZE]
        if head.startswith(b"#"):
            # its header may still be being written
            return Kind.ZEEK_TSV
        found = detect(head, Path(event.source).name).kind
        return found if found in (Kind.ZEEK_TSV, Kind.ZEEK_JSON) else None
