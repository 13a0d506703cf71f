"""Memory layout of the context engine: a ring of the hour's records, and counters per key.

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

from zeekml.core.lazy_memory import Slots, new_slots, reserved
from zeekml.features.context._context import (
    HOST_COUNTS,
    PAIR_COUNTS,
    SEED,
    SERVICE_COUNTS,
    SIZES,
    STATE_WIDTH,
    UNKNOWN_PORT_INDEX,
)
from zeekml.features.context.compact_hash_table import CompactHashTable, new_cells
from zeekml.features.feature_schema import WINDOWS
from zeekml.readers._stream_clock import SECOND
from zeekml.readers.stream_clock import Ints64

Rows = npt.NDArray[np.void]

HORIZON: Final = WINDOWS[-1] * SECOND
"""Microseconds after which a record has left every window."""

RECORD: Final = np.dtype(
    [
        # what series walk through comes first
        ("lead_low", np.uint32),  # microseconds from start to arrival; nothing if misdated
        ("arrival", np.uint32),
        ("orig_log", np.float32),
        ("resp_log", np.float32),
        # the last five bits of these and of the hosts are other fields, see `_context.pxd`
        # last record of the previous contact of the same source, destination and port
        ("prev_contact", np.uint32),
        ("prev_lookup", np.uint32),  # previous DNS record of the same source
        ("flags", np.uint16),
        ("port_low", np.uint16),
        ("high", np.uint32),  # from the top: whether it is no contact; of port, lead, payload
        ("payload_low", np.uint32),
        ("source", np.uint32),  # host
        ("target", np.uint32),
        ("next_in", np.uint32),  # next record to the same destination
        ("next_pair", np.uint32),  # next record of the same pair
    ],
    align=True,
)
"""A record of the hour, packed: what counters and series need of it, and links.

Links are the low half of a record number. Records held arrived within the hour, so the low half of
the time of arrival in microseconds tells all of it to whoever knows the last one's.
"""

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

for _name, _size in SIZES.items():
    if globals()[_name].itemsize != _size:
        raise ImportError(f"{_name} differs from what was compiled")


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
        **{name: new_cells(keys, bits + (name == "hosts")) for name in TABLES},
        host=pool(hosts, HOST, dense=True),
        large_host=pool(hosts, LARGE_HOST),
        pair=pool(max_records, PAIR, dense=True),
        large_pair=pool(max_records, LARGE_PAIR),
        service=pool(max_records, SERVICE, dense=True),
        large_service=pool(max_records, LARGE_SERVICE),
        contact=pool(max_records, CONTACT),
    )
