"""Snapshots of the context engine as bytes: what results depend on, and nothing else.

Everything is taken as it lies in memory: the records that are held, the tables, the used part of
each pool. That is of use to the same layout only, which the head tells. Sizes are checked before
anything is put in place; what the arrays say to each other is not, so bytes that may be damaged
must be checked (a digest) before the engine is used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml.core.lazy_memory import reserved
from zeekml.core.serialization import decode
from zeekml.errors import StateError
from zeekml.features.context import _context, layout
from zeekml.features.context._context import LANES, LAST
from zeekml.features.context.compact_hash_table import CompactHashTable
from zeekml.features.context.layout import ContextState, SlotPool
from zeekml.features.feature_schema import SCHEMA_HASH
from zeekml.readers._stream_clock import LATE

Bytes = npt.NDArray[np.uint8]

_VERSION: Final = 2
"""To be raised when the engine means something else by the same arrays."""

_MOST_CELLS: Final = 8  # for each record held: four times as many as there can be keys


class SnapshotHead(msgspec.Struct, frozen=True):
    """What tells how long each part is."""

    layout: str  # digest of what the arrays look like
    clock: list[int]  # `ContextState.clock`
    tables: list[tuple[int, int]]  # cells and keys of each table
    pools: list[tuple[int, int]]  # `Slots.counts` of each pool


def head_of(c: ContextState, max_records: int) -> bytes:
    """The `SnapshotHead` of a state, encoded."""
    head = SnapshotHead(
        _layout(c, max_records),
        c.clock.tolist(),
        [(len(table.cells), table.live) for table in _tables(c)],
        [tuple(pool.slots.counts.tolist()) for pool in _pools(c)],
    )
    return msgspec.msgpack.encode(head)


def parts_of(c: ContextState) -> list[Bytes]:
    """The parts of a state, where they lie."""
    tail, head = int(c.clock[_context.TAIL + LAST]), int(c.clock[_context.HEAD])
    at, held = tail & (len(c.ring) - 1), head - tail
    beyond = max(at + held - len(c.ring), 0)
    parts: list[npt.NDArray[Any]] = [c.ring[at : at + held], c.ring[:beyond]]
    parts += [c.port_flows, *(table.cells for table in _tables(c))]
    for pool in _pools(c):
        height, used = pool.slots.counts.tolist()
        parts += [pool.rows[:used], pool.slots.free[:height]]
    return [part.view(np.uint8) for part in parts]


def restored(
    c: ContextState, max_records: int, head: bytes, pieces: Iterator[bytes]
) -> ContextState:
    """A state that goes on where another one stood, made in a new one, which is used up.

    `pieces` are the parts of `parts_of` one after the other, cut anyhow. Bytes of another layout
    or kind are a `StateError`.
    """
    told = decode(head, SnapshotHead)
    if told.layout != _layout(c, max_records):
        raise StateError("the context was kept by another version, or for other context_records")
    _check(c, max_records, told)
    c.clock[:] = told.clock
    # they count what happened since the start
    c.clock[[_context.EVICTED, LATE]] = 0
    tables: dict[str, Any] = {}
    for name, table, (cells, live) in zip(layout.TABLES, _tables(c), told.tables, strict=True):
        counts = np.array([live, table.counts[1]], np.int64)
        tables[name] = CompactHashTable(reserved(cells, np.uint32), counts)
    for pool, used in zip(_pools(c), told.pools, strict=True):
        pool.slots.counts[:] = used
    c = c._replace(**tables)
    _fill(parts_of(c), pieces)
    return c


def _fill(parts: Sequence[Bytes], pieces: Iterator[bytes]) -> None:
    piece = np.empty(0, np.uint8)
    for part in parts:
        at = 0
        while at < len(part):
            if not len(piece):
                piece = np.frombuffer(next(pieces, b""), np.uint8)
                if not len(piece):
                    raise StateError("the context that was kept is cut short")
            n = min(len(piece), len(part) - at)
            part[at : at + n] = piece[:n]
            piece = piece[n:]
            at += n
    if len(piece) or next(pieces, b""):
        raise StateError("the context that was kept is too long")


def _check(c: ContextState, max_records: int, told: SnapshotHead) -> None:
    """Make sure that all sizes are possible."""
    if len(told.clock) != _context.STATE_WIDTH:
        raise StateError("the context that was kept is damaged: its clock is another one")
    tails = told.clock[_context.TAIL : _context.TAIL + LAST + 1]
    marks = [0, *reversed(tails), told.clock[_context.HEAD]]
    sound = marks == sorted(marks) and marks[-1] - marks[1] <= max_records
    sound &= len(told.tables) == len(layout.TABLES) and len(told.pools) == len(_pools(c))
    for cells, live in told.tables:
        most = _MOST_CELLS * max_records + len(c.port_flows)
        sound &= 0 < cells <= most and cells % LANES == 0 and 0 <= live <= cells
    for pool, (height, used) in zip(_pools(c), told.pools, strict=False):
        sound &= 0 <= height <= used <= len(pool.rows)
    if not sound:
        raise StateError("the context that was kept is damaged: its sizes are impossible")


def _layout(c: ContextState, max_records: int) -> str:
    kinds = [str(array.dtype) for array in (c.ring, *(pool.rows for pool in _pools(c)))]
    sizes = max_records, len(c.ring), len(c.port_flows)
    told = _VERSION, SCHEMA_HASH, sys.byteorder, sizes, kinds
    return blake2b(repr(told).encode(), digest_size=16).hexdigest()


def _tables(c: ContextState) -> list[CompactHashTable]:
    return [getattr(c, name) for name in layout.TABLES]


def _pools(c: ContextState) -> list[SlotPool]:
    return [value for value in c if isinstance(value, SlotPool)]
