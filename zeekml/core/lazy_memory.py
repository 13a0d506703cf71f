"""Ring buffer and slots in memory that is taken from the system as it is written to.

What a stream needs in its busiest hour is not known beforehand. Arrays that grow by copying hold
the old and the new one at once, and are half empty afterwards. So address space is set aside for
the most that there can be, which costs nothing, and nothing ever moves.
"""

from __future__ import annotations

import mmap
import sys
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Ints64 = npt.NDArray[np.int64]

CHUNK: Final = 1 << 21
"""Bytes that are given back together: the processor's large pages."""

_HEIGHT, _FRESH = 0, 1

# Linux: more address space than there is memory may be asked for; Python has no name for it yet
_NO_RESERVE: Final = 0x4000 if sys.platform == "linux" else 0


def reserved(count: int, kind: npt.DTypeLike, *, dense: bool = False) -> npt.NDArray[Any]:
    """`count` zeros, of which those that are never written to take no memory.

    Where most of it will be used (`dense`), the system may take it in large pages.
    """
    return _mapped(count * np.dtype(kind).itemsize, dense)[1].view(kind)


def _mapped(size: int, dense: bool) -> tuple[mmap.mmap, npt.NDArray[np.uint8]]:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    try:
        memory = mmap.mmap(-1, max(size, 1), flags=flags)
    except OSError as error:
        raise MemoryError(f"{size >> 20:,} MiB cannot be reserved for the context") from error
    if dense and size >= CHUNK and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory, np.frombuffer(memory, np.uint8, size)


class Ring:
    """Ring buffer: `entries` are indexed by a number that counts up, modulo a power of two."""

    def __init__(self, count: int, kind: np.dtype[Any]) -> None:
        self._memory, mapped = _mapped(count * kind.itemsize, True)
        self.entries: npt.NDArray[Any] = mapped.view(kind)
        self._done = 0

    def release(self, tail: int, head: int) -> None:
        """Give back the memory of entries before number `tail`; `head` is the next to be written.

        Both must not be less than at the call before.
        """
        size = self.entries.itemsize
        chunks, rest = divmod(self.entries.nbytes, CHUNK)
        if rest or not hasattr(mmap, "MADV_DONTNEED"):  # a small ring
            return
        begin = max(self._done, head * size // CHUNK - chunks + 1)
        self._done = tail * size // CHUNK
        for chunk in range(begin, self._done):
            self._memory.madvise(mmap.MADV_DONTNEED, chunk % chunks * CHUNK, CHUNK)


class Slots(NamedTuple):
    """Which places of an array are in use; places given back are used again first."""

    free: npt.NDArray[np.int32]  # (places,): stack of places given back
    counts: Ints64  # its height, and how many places were ever used

    @property
    def live(self) -> int:
        return int(self.counts[_FRESH] - self.counts[_HEIGHT])


def new_slots(places: int) -> Slots:
    """All places unused."""
    return Slots(reserved(places, np.int32), np.zeros(2, np.int64))
