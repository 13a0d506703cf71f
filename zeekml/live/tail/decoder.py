"""From the events of one tail to batches of flows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from zeekml.core.text import printable
from zeekml.live.health.suricata_stats import SensorStats
from zeekml.live.tail.events import FileOpened, Lines
from zeekml.readers.files.file_type import HEAD_SIZE, Kind, detect
from zeekml.readers.files.line_splitter import Block, LongLine
from zeekml.readers.flow_schema import SURICATA
from zeekml.readers.formats.suricata_eve import AlertMemory
from zeekml.readers.formats.zeek_log import ZeekDecoder
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.stream_reader import Decoder, decoded, new_decoder

_ZEEK_KINDS: Final = (Kind.ZEEK_TSV, Kind.ZEEK_JSON)


class TailDecoder:
    """Decodes what one tail delivers; each file gets a decoder of its own.

    Parameters
    ----------
    sensor
        ``zeek`` or ``suricata``: what is asked for, whatever a file looks like.
    account
        Makes the books of a source from its name.
    alerts
        Shared by all tails of a stream.
    keep_originals
        As for `zeekml.readers.archive.read_stream`.

    Attributes
    ----------
    kind : Kind or None
        Format of the latest lines.
    stats : SensorStats
        What the sensor says about itself.
    """

    def __init__(
        self,
        sensor: str,
        account: Callable[[str], SourceAccount],
        *,
        alerts: AlertMemory,
        keep_originals: bool,
    ) -> None:
        self.kind: Kind | None = Kind.EVE if sensor == SURICATA else None
        self.stats = SensorStats()
        self._sensor = sensor
        self._new_account = account
        self._alerts = alerts
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
        """Yield the flows of the next lines."""
        if self.kind is Kind.EVE and isinstance(event.lines, Block):
            self.stats.see(event.lines.data)
        decoder = self._decoder_for(event)
        yield from decoded(event.lines, decoder, self._account)
        self.kind = decoder.kind if isinstance(decoder, ZeekDecoder) else self.kind

    def pass_over(self, event: Lines) -> int:
        """Leave the next lines out, but for a header among them.

        Returns
        -------
        int
            How many records there are, as far as can be told without decoding them.
        """
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
            kind = self._kind_of(event) or self.kind or _guess(event)
            self._decoder = self._new_decoder(kind)
        return self._decoder

    def _new_decoder(self, kind: Kind) -> Decoder:
        decoder = new_decoder(
            kind, self._account, alerts=self._alerts, keep_originals=self._keep_originals
        )
        if self._header is not None and isinstance(decoder, ZeekDecoder):
            decoder.pass_over(self._header)
        return decoder

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
        return found if found in _ZEEK_KINDS else None


def _guess(event: Lines) -> Kind:
    data = event.lines.data if isinstance(event.lines, Block) else event.lines.excerpt
    return Kind.ZEEK_JSON if data.lstrip()[:1] in (b"{", b"[") else Kind.ZEEK_TSV
