"""Compact hash tables: four bytes per key, without the keys (compiled).

A cell holds a number, by which the caller finds what the key is, a state, and a few bits of the
key's hash, which spare nearly all comparisons with another key. Cells lie in buckets of a cache
line. A key goes into the first bucket from its own on that has room, and each full bucket that it
passed counts it: so a search knows where to end, and keys can be removed without moving others.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.core.jit import compiled, signed
from zeekml.features.context.lazy_memory import reserved
from zeekml.readers.stream_clock import Ints64

LANES: Final = 16
"""Entries of a bucket; the first counts the keys that passed it."""

STATES: Final = 2  # bits

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


@compiled
def home(table: CompactHashTable, key_hash: np.uint64) -> int:
    """First entry of the key's own bucket."""
    buckets = np.uint64(len(table.cells) // LANES)
    return signed(((key_hash >> np.uint64(32)) * buckets) >> np.uint64(32)) * LANES


@compiled
def next_alike(table: CompactHashTable, key_hash: np.uint64, at: int) -> int:
    """The next cell behind `at`, at first `home`, that may be the key's; -1 if there is none."""
    shift = table.counts[1]
    first = home(table, key_hash)
    wanted = signed((key_hash & np.uint64(0xFFFFFFFF)) >> np.uint64(shift + STATES))
    while True:
        at += 1
        if at % LANES == 0:
            if table.cells[at - LANES] == 0:
                return -1
            if at == len(table.cells):
                at = 0
            if at == first:
                return -1
            continue
        cell = signed(table.cells[at])
        if cell >> (shift + STATES) == wanted and (cell >> shift) & ((1 << STATES) - 1) != 0:
            return at


@compiled
def state_at(table: CompactHashTable, at: int) -> int:
    return (signed(table.cells[at]) >> table.counts[1]) & ((1 << STATES) - 1)


@compiled
def number_at(table: CompactHashTable, at: int) -> int:
    return signed(table.cells[at]) & ((1 << table.counts[1]) - 1)


@compiled
def set_cell(table: CompactHashTable, at: int, state: int, number: int) -> None:
    """Give a key's cell another state and number."""
    shift = table.counts[1]
    kept = signed(table.cells[at]) >> (shift + STATES) << (shift + STATES)
    table.cells[at] = kept | (state << shift) | number


@compiled
def insert(table: CompactHashTable, key_hash: np.uint64, state: int, number: int) -> int:
    """Add a key that is not in the table, which has room; return its cell."""
    shift = table.counts[1] + STATES
    bucket = home(table, key_hash)
    while True:
        for at in range(bucket + 1, bucket + LANES):
            if table.cells[at] == 0:
                table.counts[0] += 1
                alike = signed(key_hash & np.uint64(0xFFFFFFFF)) >> shift << shift
                table.cells[at] = alike
                set_cell(table, at, state, number)
                return at
        table.cells[bucket] += 1
        bucket += LANES
        if bucket == len(table.cells):
            bucket = 0


@compiled
def erase(table: CompactHashTable, key_hash: np.uint64, at: int) -> None:
    """Remove the key in cell `at`."""
    table.counts[0] -= 1
    table.cells[at] = 0
    bucket = home(table, key_hash)
    while bucket != at - at % LANES:
        table.cells[bucket] -= 1
        bucket += LANES
        if bucket == len(table.cells):
            bucket = 0
