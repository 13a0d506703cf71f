"""The flows of candidates that may still be quoted, column by column as they came.

Most candidates never become objects: only those that a line quotes are asked for here.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.detection.candidates import CANDIDATE_COLUMNS
from zeekml.detection.notice import QUOTED_COLUMNS, QuotedFlow

_SLACK: Final = 16_384
_MOST_SMALL: Final = 64
"""Batches on end that are put together: a live stream brings a few rows at a time, and a batch of
its own for those takes many times their memory."""


class FlowStore:
    """Flows by place; places count up from batch to batch until `keep` numbers them anew."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._starts: list[int] = []
        self._small = 0  # of the last batches have not been put together
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def batches(self) -> list[pa.RecordBatch]:
        """All flows, in the order of their places."""
        return list(self._batches)

    def append(self, flows: pa.RecordBatch) -> int:
        """Add a batch with `CANDIDATE_COLUMNS`; return the place of its first row."""
        start = self._size
        self._batches.append(flows)
        self._starts.append(start)
        self._size += flows.num_rows
        self._small = self._small + 1 if flows.num_rows < _SLACK // _MOST_SMALL else 0
        if self._small == _MOST_SMALL:
            small = _table(self._batches[-_MOST_SMALL:]).combine_chunks().to_batches()
            del self._batches[-_MOST_SMALL:], self._starts[-_MOST_SMALL:]
            self._small = 0
            for batch in small:
                end = self._starts[-1] + self._batches[-1].num_rows if self._batches else 0
                self._starts.append(end)
                self._batches.append(batch)
        return start

    def value(self, place: int, column: str) -> Any:
        """One value of one flow."""
        number = bisect_right(self._starts, place) - 1
        return self._batches[number].column(column)[place - self._starts[number]].as_py()

    def flow(self, place: int) -> QuotedFlow:
        """One flow."""
        return QuotedFlow(**{name: self.value(place, at) for name, at in QUOTED_COLUMNS.items()})

    def crowded(self, needed: int) -> bool:
        """Whether so much is here beyond what is needed that clearing up pays."""
        return self._size > 2 * needed + _SLACK

    def keep(self, places: npt.NDArray[np.int64]) -> None:
        """Forget all flows but these, given in ascending order; the k-th gets place k."""
        if not self._batches:
            return
        kept = _table(self._batches).take(pa.array(places)).combine_chunks()
        self._batches, self._starts, self._small, self._size = [], [], 0, 0
        for batch in kept.to_batches():
            self.append(batch)


def _table(batches: list[pa.RecordBatch]) -> pa.Table:
    columns = [batch.select(CANDIDATE_COLUMNS) for batch in batches]
    return pa.Table.from_batches(columns).unify_dictionaries()
