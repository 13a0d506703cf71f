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
        at = data.rfind(_MARK)
        if at < 0:
            return
        begin = data.rfind(b"\n", 0, at) + 1
        end = data.find(b"\n", at)
        try:
            event = self._decode(data[begin : end if end >= 0 else len(data)])
        except DECODE_ERRORS:
            return
        capture = event.stats.capture if event.stats is not None else None
        if capture is not None:
            self.packets, self.drops = capture.kernel_packets, capture.kernel_drops
