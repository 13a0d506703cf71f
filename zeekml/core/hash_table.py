"""Hash tables on NumPy arrays for compiled code: 64-bit key → slot number, with deletion.

What compiled code does with them stands in `_hash_table.pxd`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.core._hash_table import reinsert


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
    reinsert(table.cells, table.keys, slots)
