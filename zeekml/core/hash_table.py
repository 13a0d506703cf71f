"""Hash tables on NumPy arrays for compiled code: 64-bit key → slot number, with deletion.

A slot number stays the same while its key lives, so other arrays can hold counters per slot. The
tables are tuples of arrays, which numba can compile once and cache on disk.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.core.jit import njit


class HashTable(NamedTuple):
    """Open addressing with linear probing.

    `cells` maps a probe position to a slot (-1 = empty) and has a power of two of entries, at least
    twice as many as there are slots. `keys` holds each slot's key, `free` a stack of unused slots
    with its height at the end.
    """

    cells: npt.NDArray[np.int32]
    keys: npt.NDArray[np.uint64]
    free: npt.NDArray[np.int32]

    @property
    def slots(self) -> int:
        return len(self.keys)

    @property
    def live(self) -> int:
        return len(self.keys) - self.unused

    @property
    def unused(self) -> int:
        return int(self.free[-1])


def new_table(slots: int) -> HashTable:
    """An empty table for `slots` keys (a power of two)."""
    return HashTable(
        cells=np.full(2 * slots, -1, np.int32),
        keys=np.zeros(slots, np.uint64),
        free=np.append(np.arange(slots - 1, -1, -1, dtype=np.int32), np.int32(slots)),
    )


def places_except(count: int, unused: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Of so many places, those that are not in a list of unused ones, in ascending order."""
    used = np.ones(count, np.bool_)
    used[unused] = False
    return np.flatnonzero(used).astype(np.int32)


def reindex(table: HashTable, slots: npt.NDArray[np.int32]) -> None:
    """Let an empty table find the keys that were put into these slots of `keys`, all different."""
    unused = places_except(table.slots, slots)
    table.free[: len(unused)] = unused[::-1]
    table.free[-1] = len(unused)
    _reinsert(table.cells, table.keys, slots)


@njit(cache=True)
def _reinsert(
    cells: npt.NDArray[np.int32], keys: npt.NDArray[np.uint64], slots: npt.NDArray[np.int32]
) -> None:
    mask = len(cells) - 1
    for slot in slots:
        at = np.int64(keys[slot] & np.uint64(mask))
        while cells[at] >= 0:
            at = (at + 1) & mask
        cells[at] = slot


@njit(cache=True)
def find(table: HashTable, key: np.uint64) -> int:
    """Slot of the key, or -1."""
    mask = len(table.cells) - 1
    at = np.int64(key & np.uint64(mask))
    while True:
        slot = table.cells[at]
        if slot < 0:
            return -1
        if table.keys[slot] == key:
            return slot
        at = (at + 1) & mask


@njit(cache=True)
def find_or_add(table: HashTable, key: np.uint64) -> int:
    """Slot of the key, newly taken if need be; the caller has made sure that one is free."""
    mask = len(table.cells) - 1
    at = np.int64(key & np.uint64(mask))
    while True:
        slot = table.cells[at]
        if slot < 0:
            break
        if table.keys[slot] == key:
            return slot
        at = (at + 1) & mask
    height = table.free[len(table.keys)] - 1
    table.free[len(table.keys)] = height
    slot = table.free[height]
    table.cells[at] = slot
    table.keys[slot] = key
    return slot


@njit(cache=True)
def remove(table: HashTable, slot: int) -> None:
    """Give the slot back, closing the gap it leaves in its probe sequence."""
    mask = len(table.cells) - 1
    gap = np.int64(table.keys[slot] & np.uint64(mask))
    while table.cells[gap] != slot:
        gap = (gap + 1) & mask
    at = gap
    while True:
        at = (at + 1) & mask
        other = table.cells[at]
        if other < 0:
            break
        home = np.int64(table.keys[other] & np.uint64(mask))
        # `other` may move back to the gap unless its home lies between the two (cyclically)
        if ((at - home) & mask) >= ((at - gap) & mask):
            table.cells[gap] = other
            gap = at
    table.cells[gap] = -1
    height = table.free[len(table.keys)]
    table.free[height] = slot
    table.free[len(table.keys)] = height + 1
