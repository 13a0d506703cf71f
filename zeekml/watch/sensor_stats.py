"""What Suricata says about itself in the log that we read anyway."""

from __future__ import annotations

from typing import Final

import msgspec

from zeekml.flows.json_lines import DECODE_ERRORS, line_decoder

_MARK: Final = b'"event_type":"stats"'


class _Capture(msgspec.Struct):
    kernel_packets: int | None = None
    kernel_drops: int | None = None


class _Stats(msgspec.Struct):
    capture: _Capture | None = None


class _Event(msgspec.Struct):
    event_type: str | None = None
    stats: _Stats | None = None


class SensorStats:
    """The sensor's own totals, from its latest stats event.

    Attributes
    ----------
    packets, drops : int or None
        Packets that the sensor got, and that were lost before it got them; None if it does not
        say.
    """

    def __init__(self) -> None:
        self.packets: int | None = None
        self.drops: int | None = None
        self._decode = line_decoder(_Event)

    def see(self, data: bytes) -> None:
        """Look at the next lines of the log."""
        end = len(data)
        # from the last one back, until one of them tells
        while (at := data.rfind(_MARK, 0, end)) >= 0:
            begin = data.rfind(b"\n", 0, at) + 1
            after = data.find(b"\n", at)
            capture = self._capture(data[begin : after if after >= 0 else len(data)])
            if capture is not None:
                self.packets, self.drops = capture.kernel_packets, capture.kernel_drops
                return
            end = begin

    def _capture(self, line: bytes) -> _Capture | None:
        try:
            event = self._decode(line)
        except DECODE_ERRORS:
            return None
        if event.event_type != "stats" or event.stats is None:
            return None
        return event.stats.capture
