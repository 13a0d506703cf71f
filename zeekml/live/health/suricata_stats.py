"""What Suricata says about itself in the log that we read anyway."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from zeekml.readers.formats.json_parser import DECODE_ERRORS, line_decoder

_MARK: Final = b'"event_type":"stats"'


class _Capture(msgspec.Struct):
    kernel_packets: int | None = None
    kernel_drops: int | None = None


class _Stats(msgspec.Struct):
    capture: _Capture | None = None


class _Event(msgspec.Struct):
    timestamp: str | None = None
    event_type: str | None = None
    stats: _Stats | None = None


class SensorStats:
    """The sensor's own totals, from its latest stats event.

    Attributes
    ----------
    packets, drops : int or None
        Packets that the sensor got, and that were lost before it got them; None if it does not
        say.
    time : float or None
        Of the latest stats event, epoch seconds: these come whether or not there is traffic.
    """

    def __init__(self) -> None:
        self.time: float | None = None
        self.packets: int | None = None
        self.drops: int | None = None
        self._decode = line_decoder(_Event)

    def see(self, data: bytes) -> None:
        """Look at the next lines of the log."""
        end = len(data)
        latest = True
        # from the last one back, until one of them tells
        while (at := data.rfind(_MARK, 0, end)) >= 0:
            begin = data.rfind(b"\n", 0, at) + 1
            after = data.find(b"\n", at)
            event = self._event(data[begin : after if after >= 0 else len(data)])
            if event is not None:
                if latest:
                    self.time, latest = _seconds(event.timestamp), False
                if event.stats is not None and event.stats.capture is not None:
                    capture = event.stats.capture
                    self.packets, self.drops = capture.kernel_packets, capture.kernel_drops
                    return
            end = begin

    def _event(self, line: bytes) -> _Event | None:
        try:
            event = self._decode(line)
        except DECODE_ERRORS:
            return None
        return event if event.event_type == "stats" else None


def _seconds(text: str | None) -> float | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None
