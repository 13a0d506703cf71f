"""Field coverage: the share of the values that a sensor can provide, and does."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from zeekml.readers.flow_schema import SCORED, SURICATA, ZEEK

WINDOW: Final = 1000
"""Records that the share is taken of, at least."""

_COLUMNS: Final = {ZEEK: (*SCORED, "orig_bytes", "resp_bytes", "history"), SURICATA: SCORED}


class Coverage:
    """Share of the values that are there, among those that features are made of.

    `share` is that of the last `WINDOW` records or more, None before.
    """

    def __init__(self, sensor: str) -> None:
        self.share: float | None = None
        self._columns = _COLUMNS[sensor]
        self._rows = self._values = 0

    def add(self, flows: pa.RecordBatch) -> None:
        """Take the next flows."""
        self._rows += len(flows)
        for name in self._columns:
            self._values += len(flows) - flows.column(name).null_count
        if self._rows >= WINDOW:
            self.share = self._values / (self._rows * len(self._columns))
            self._rows = self._values = 0
