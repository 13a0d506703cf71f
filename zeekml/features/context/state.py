"""The state of the context engine: a ring of the hour's records and counters per key.

Few plain arrays in tuples: compiled functions take them all as arguments, and cache on disk. What
is used together lies together, since reading memory is what the engine spends its time on, and
what occurs once takes next to nothing, since most of a busy hour's keys do:

- A pair, service or contact (a pair's port) that has one record is a cell of a hash table with the
  record's number. From the second record on it has a row of counters.
- A source's port and a pair's answer size need no counters: they count in a window if their latest
  record is in it. Each record knows whether a newer one of the kind is held.
- A pair with one record has no contacts and answers of its own in the tables; that record tells.
- Rows count to 255, which is the most of nearly all; those that go on move to a larger one.
"""

from __future__ import annotations

import secrets
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.features.context.compact_hash_table import CompactHashTable, new_cells
from zeekml.features.context.lazy_memory import Slots, new_slots, reserved
from zeekml.features.feature_schema import WINDOWS
from zeekml.readers.stream_clock import CLOCK_WIDTH, SECOND, Ints64

Rows = npt.NDArray[np.void]

LAST: Final = len(WINDOWS) - 1  # the longest window, after which a record is forgotten
LENGTHS: Final = np.array(WINDOWS, np.int64) * SECOND
HORIZON: Final = WINDOWS[LAST] * SECOND
"""Microseconds after which a record has left every window."""

# entries of Context.clock behind those of the clock itself; TAIL holds a record number per window
HEAD, TAIL = CLOCK_WIDTH, CLOCK_WIDTH + 1
SOURCES, EVICTED, ARRIVED, SEED, STATE_WIDTH = range(TAIL + len(WINDOWS), TAIL + len(WINDOWS) + 5)

# Counters of a row have their windows one after the other, each with these entries, then the rest.
OUT_FLOWS, OUT_FAILED, OUT_HOSTS, OUT_PORTS, OUT_FIRST = 0, 1, 2, 3, 4
IN_FLOWS, IN_FAILED, IN_HOSTS, IN_PORTS, HOST_WINDOW = 5, 6, 7, 8, 9
HELD_LOOKUPS: Final = len(WINDOWS) * HOST_WINDOW
HOST_COUNTS: Final = HELD_LOOKUPS + 1

# pairs, and services (a host's port)
FLOWS, FAILED, PORTS, ANSWERS, PAIR_WINDOW = 0, 1, 2, 3, 4
HOSTS, SERVICE_WINDOW = 2, 3
PAIR_COUNTS, SERVICE_COUNTS = len(WINDOWS) * PAIR_WINDOW, len(WINDOWS) * SERVICE_WINDOW

SMALL_MOST: Final = 255
SMALL_BYTES: Final = 2**32 - 1
NONE: Final = -1

# states of a cell: where the number leads to
RECORD_OF, SMALL_ROW, LARGE_ROW = 1, 2, 3

HOST: Final = np.dtype(
    [
        ("key", np.uint64),
        ("bytes", np.uint32, (len(WINDOWS),)),
        ("first_in", np.uint32),  # the oldest record held and the newest to the host
        ("last_in", np.uint32),
        ("last_lookup", np.uint32),
        ("large", np.int32),  # row in which it is counted instead, or NONE
        ("n", np.uint8, (HOST_COUNTS,)),
    ],
    align=True,
)
LARGE_HOST: Final = np.dtype(
    [("bytes", np.int64, (len(WINDOWS),)), ("n", np.uint32, (HOST_COUNTS,))], align=True
)


def _row(kind: type, counts: int, *links: str) -> np.dtype[Any]:
    fields = [(name, np.uint32) for name in ("latest", *links)]
    return np.dtype([*fields, ("n", kind, (counts,))], align=True)


PAIR: Final = _row(np.uint8, PAIR_COUNTS, "first")
LARGE_PAIR: Final = _row(np.uint32, PAIR_COUNTS, "first")
SERVICE: Final = _row(np.uint8, SERVICE_COUNTS)
LARGE_SERVICE: Final = _row(np.uint32, SERVICE_COUNTS)
CONTACT: Final = np.dtype([("latest", np.uint32), ("count", np.uint32)], align=True)

PORTS_PER_PROTO: Final = 65536
UNKNOWN_PORT_INDEX: Final = 4 * PORTS_PER_PROTO


class SlotPool(NamedTuple):
    """Rows, and which of them are used."""

    rows: Rows
    slots: Slots


class ContextState(NamedTuple):
    """All state, as arrays."""

    clock: Ints64
    ring: Rows  # `RECORD`, indexed by record number modulo capacity
    port_flows: npt.NDArray[np.uint32]
    # hash tables
    hosts: CompactHashTable
    pairs: CompactHashTable
    services: CompactHashTable
    contacts: CompactHashTable
    source_ports: CompactHashTable
    answers: CompactHashTable
    # rows
    host: SlotPool
    large_host: SlotPool
    pair: SlotPool
    large_pair: SlotPool
    service: SlotPool
    large_service: SlotPool
    contact: SlotPool


TABLES: Final = ("hosts", "pairs", "services", "contacts", "source_ports", "answers")


def new_context(ring: Rows, max_records: int, keys: int) -> ContextState:
    """Empty state for so many records, with room for so many keys at first."""
    # a record names two hosts, and may be the last that holds a row
    hosts, bits = 2 * max_records, (len(ring) - 1).bit_length()

    def pool(places: int, kind: np.dtype[Any], *, dense: bool = False) -> SlotPool:
        return SlotPool(reserved(places, kind, dense=dense), new_slots(places))

    clock = np.zeros(STATE_WIDTH, np.int64)
    # no result depends on it; who writes a log cannot know which keys meet in a table
    clock[SEED] = secrets.randbits(63)
    return ContextState(
        clock=clock,
        ring=ring,
        port_flows=np.zeros(UNKNOWN_PORT_INDEX + 1, np.uint32),
        hosts=new_cells(keys, bits + 1),
        pairs=new_cells(keys, bits),
        services=new_cells(keys, bits),
        contacts=new_cells(keys, bits),
        source_ports=new_cells(keys, bits),
        answers=new_cells(keys, bits),
        host=pool(hosts, HOST, dense=True),
        large_host=pool(hosts, LARGE_HOST),
        pair=pool(max_records, PAIR, dense=True),
        large_pair=pool(max_records, LARGE_PAIR),
        service=pool(max_records, SERVICE, dense=True),
        large_service=pool(max_records, LARGE_SERVICE),
        contact=pool(max_records, CONTACT),
    )
