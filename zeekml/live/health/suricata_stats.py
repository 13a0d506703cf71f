"""Stats events of Suricata: its own packet counters, in the log that we read anyway."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from zeekml.readers.formats.json_parser import DECODE_ERRORS, line_decoder

_MARK: Final = b'"event_type":"stats"'

Count = Annotated[int, msgspec.Meta(ge=0)]


class Capture(msgspec.Struct):
    """Suricata's totals of packets that it got, and that were lost before it got them."""

    kernel_packets: Count | None = None
    kernel_drops: Count | None = None


class _Stats(msgspec.Struct):
    capture: Capture | None = None


class StatsEvent(msgspec.Struct):
    """An event of any type, with what only stats events have."""

    timestamp: str | None = None
    event_type: str | None = None
    stats: _Stats | None = None

    @property
    def capture(self) -> Capture | None:
        """What it tells of packets; None if it is no stats event, or does not say."""
        return self.stats.capture if self.event_type == "stats" and self.stats else None

    @property
    def time(self) -> float | None:
        """When it was written, epoch seconds; a time without a zone is taken for UTC."""
        try:
            moment = datetime.fromisoformat(self.timestamp or "")
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None


_decode: Final = line_decoder(StatsEvent)


def read_event(line: bytes) -> StatsEvent | None:
    """The event in a line; None if there is none that can be read."""
    try:
        return _decode(line)
    except DECODE_ERRORS:
        return None


class SensorStats:
    """The sensor's own totals, from its latest stats event; None if it does not say.

    `time` is that of the latest stats event: these come whether or not there is traffic.
    """

    def __init__(self) -> None:
        self.time: float | None = None
        self.packets: int | None = None
        self.drops: int | None = None

    def see(self, data: bytes) -> None:
        """Look at the next lines of the log."""
        end = len(data)
        latest = True
        # from the last one back, until one of them tells
        while (at := data.rfind(_MARK, 0, end)) >= 0:
            begin = data.rfind(b"\n", 0, at) + 1
            after = data.find(b"\n", at)
            event = read_event(data[begin : after if after >= 0 else len(data)])
            if event is not None and event.event_type == "stats":
                if latest:
                    self.time, latest = event.time, False
                if (capture := event.capture) is not None:
                    self.packets, self.drops = capture.kernel_packets, capture.kernel_drops
                    return
            end = begin
