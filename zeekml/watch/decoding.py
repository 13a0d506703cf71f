"""From the events of one tail to batches of flows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from zeekml.flows.detect import HEAD_SIZE, Kind, detect
from zeekml.flows.lines import Block, LongLine
from zeekml.flows.log_reader import Decoder, decoded, new_decoder
from zeekml.flows.rejects import SourceAccount, printable
from zeekml.flows.schema import SURICATA
from zeekml.flows.suricata_eve import AlertMemory
from zeekml.flows.zeek_tsv import TsvDecoder
from zeekml.watch.events import Lines, Opened
from zeekml.watch.sensor_stats import SensorStats

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
        As for `zeekml.flows.archive.read_stream`.

    Attributes
    ----------
    kind : Kind or None
        Format of the latest file.
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
        self._certain = False
        self._account = account("")

    def opened(self, event: Opened) -> None:
        """The lines that follow are from another file."""
        # as in archives; a name need not even be UTF-8
        self._account = self._new_account(printable(event.source, 4096))
        self._header = event.header
        self._decoder = None
        self._certain = False

    def lines(self, event: Lines) -> Iterator[pa.RecordBatch]:
        """Yield the flows of the next lines."""
        if self.kind is Kind.EVE and isinstance(event.lines, Block):
            self.stats.see(event.lines.data)
        yield from decoded(event.lines, self._decoder_for(event), self._account)

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
        if isinstance(decoder, TsvDecoder):
            decoder.pass_over(event.lines)
            return sum(not line.startswith(b"#") for line in lines)
        return len(lines)

    def _decoder_for(self, event: Lines) -> Decoder:
        if not self._certain:
            found = self._kind_of(event)
            self._certain = found is not None
            kind = found or self.kind or _guess(event)
            # a header that is being written may have been begun by a decoder that was a guess
            if self._decoder is None or kind is not self.kind:
                self._decoder = self._new_decoder(kind)
            self.kind = kind
        assert self._decoder is not None
        return self._decoder

    def _new_decoder(self, kind: Kind) -> Decoder:
        decoder = new_decoder(
            kind, self._account, alerts=self._alerts, keep_originals=self._keep_originals
        )
        if self._header is not None and isinstance(decoder, TsvDecoder):
            decoder.pass_over(self._header)
        return decoder

    def _kind_of(self, event: Lines) -> Kind | None:
        """The format of a file, once its lines tell: Zeek may change it from one to the next."""
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
