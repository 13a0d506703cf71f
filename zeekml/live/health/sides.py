"""Whether a stream's sensor sees both sides of its traffic, judged over windows of its flows."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from zeekml.readers.one_sided import TOO_MANY, judged_sides

FLOWS: Final = 1000
"""Flows of TCP and UDP in a window."""

_NO_LONGER: Final = TOO_MANY / 2


class SidesSeen(msgspec.Struct):
    """Share of one-sided flows in the last window, and whether it was too large and still is.

    Windows go by the flows alone, each of exactly `FLOWS`, so that however these are cut into
    batches, polls and runs (it is stored with the position in the log), the same is found.
    """

    flows: int = 0  # of the window that is not full yet,
    one_sided: int = 0  # and which of them are
    share: float | None = None  # of the last full window
    lacking: bool = False  # more than `TOO_MANY` once, and more than half of that ever since

    def add(self, flows: pa.RecordBatch) -> None:
        """Take the next flows, a batch of `FLOW_SCHEMA`."""
        sides = judged_sides(flows)
        at = 0
        while at < len(sides):
            piece = sides[at : at + FLOWS - self.flows]
            at += len(piece)
            self.flows += len(piece)
            self.one_sided += int(np.count_nonzero(piece))
            if self.flows == FLOWS:
                self.share = self.one_sided / FLOWS
                self.lacking = self.share > (_NO_LONGER if self.lacking else TOO_MANY)
                self.flows = self.one_sided = 0
