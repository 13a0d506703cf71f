"""Compact hash tables: four bytes per key, without the keys.

A cell holds a number, by which the caller finds what the key is, a state, and a few bits of the
key's hash, which spare nearly all comparisons with another key. Cells lie in buckets of a cache
line. A key goes into the first bucket from its own on that has room, and each full bucket that it
passed counts it: so a search knows where to end, and keys can be removed without moving others.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.core.lazy_memory import reserved
from zeekml.features.context._context import LANES
from zeekml.readers.stream_clock import Ints64

_MOST_FILLED: Final = 0.8
_GROWTH: Final = 1.25


class CompactHashTable(NamedTuple):
    """A table; from its top, a cell is bits of the hash, the state (0 if empty), the number."""

    cells: npt.NDArray[np.uint32]  # (buckets × LANES,)
    counts: Ints64  # keys in it, and bits of a number

    @property
    def live(self) -> int:
        return int(self.counts[0])

    def full_with(self, more: int) -> bool:
        """Whether so many more keys would make it slow."""
        return self.live + more > _MOST_FILLED * (LANES - 1) / LANES * len(self.cells)


def new_cells(keys: int, bits: int) -> CompactHashTable:
    """An empty table with room for so many keys, and numbers of so many bits."""
    buckets = int(keys / _MOST_FILLED / (LANES - 1)) + 1
    # straight from the system: what is freed while tables grow would stay with the process
    return CompactHashTable(reserved(buckets * LANES, np.uint32), np.array([0, bits], np.int64))


def larger(table: CompactHashTable, more: int) -> CompactHashTable:
    """An empty table with room for so many more keys, and some to spare."""
    room = int(len(table.cells) / LANES * (LANES - 1) * _MOST_FILLED * _GROWTH)
    return new_cells(max(table.live + more, room), int(table.counts[1]))
