"""The state of the context engine: a ring of the hour's records and counters per key.

Few plain arrays in a tuple: compiled functions take them all as arguments, and cache on disk. They
grow between batches, in Python; record and slot numbers stay the same while they live. What is used
together lies together, since reading memory is what the engine spends its time on.

Counters and links are unsigned 32-bit numbers. A link is the low half of a record number.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.features.schema import WINDOWS
from zeekml.features.tables import Table, grown, new_table
from zeekml.flows.stream_clock import CLOCK_WIDTH, SECOND, Ints64

Counters = npt.NDArray[np.uint32]

LAST: Final = len(WINDOWS) - 1  # the longest window, after which a record is forgotten
LENGTHS: Final = np.array(WINDOWS, np.int64) * SECOND
HORIZON: Final = WINDOWS[LAST] * SECOND
"""Microseconds after which a record has left every window."""

# entries of Context.clock behind those of the clock itself; TAIL holds a record number per window
HEAD, TAIL = CLOCK_WIDTH, CLOCK_WIDTH + 1
SOURCES, EVICTED, STATE_WIDTH = (
    TAIL + len(WINDOWS),
    TAIL + len(WINDOWS) + 1,
    TAIL + len(WINDOWS) + 2,
)

RECORD: Final = np.dtype(
    [
        # what series walk through, in one half of a cache line
        ("start", np.int64),
        ("orig_log", np.float32),
        ("resp_log", np.float32),
        ("prev_contact", np.uint32),  # previous record of the same source, destination and port
        ("prev_lookup", np.uint32),  # previous DNS record of the same source
        ("failed", np.uint32),
        ("lookup", np.uint16),
        ("misdated", np.uint16),  # its time is far from the clock: no interval rests on it
        ("arrival", np.int64),
        ("payload", np.int64),
        ("next_in", np.uint32),  # next record to the same destination
        ("next_pair", np.uint32),  # next record of the same pair
        ("port", np.int32),
        # slots
        ("source", np.int32),
        ("target", np.int32),
        ("pair", np.int32),
        ("source_port", np.int32),
        ("service", np.int32),
        ("contact", np.int32),
        ("answer", np.int32),
    ],
    align=True,
)
"""One record of the ring."""

# A row of counters has its windows one after the other, each with these entries, then the rest.
OUT_FLOWS, OUT_FAILED, OUT_HOSTS, OUT_PORTS, OUT_FIRST = 0, 1, 2, 3, 4
IN_FLOWS, IN_FAILED, IN_HOSTS, IN_PORTS, HOST_WINDOW = 5, 6, 7, 8, 9
REFS = len(WINDOWS) * HOST_WINDOW  # records in the hour that name the host
FIRST_IN, LAST_IN, LAST_LOOKUP, HELD_LOOKUPS, HOST_ROW = REFS + 1, REFS + 2, REFS + 3, REFS + 4, 32

# pairs, and services (a host's port)
FLOWS, FAILED, PORTS, ANSWERS, PAIR_WINDOW = 0, 1, 2, 3, 4
FIRST_OF_PAIR = len(WINDOWS) * PAIR_WINDOW
LAST_OF_PAIR, PAIR_ROW = FIRST_OF_PAIR + 1, 16
HOSTS, SERVICE_WINDOW, SERVICE_ROW = 2, 3, 12

# source ports, contacts and answers: one counter per window
LAST_CONTACT = len(WINDOWS)
SMALL_ROW = 4

PORTS_PER_PROTO: Final = 65536
UNKNOWN_PORT_INDEX: Final = 4 * PORTS_PER_PROTO


class Context(NamedTuple):
    """All state, as arrays; rows of counters go with the slots of the table of the same key."""

    clock: Ints64
    ring: npt.NDArray[np.void]  # `RECORD`, indexed by record number modulo capacity
    # keys
    hosts: Table
    pairs: Table
    source_ports: Table
    services: Table
    contacts: Table
    answers: Table
    # counters
    host: Counters  # (slots, HOST_ROW)
    host_bytes: Ints64  # (slots, windows)
    pair: Counters  # (slots, PAIR_ROW)
    source_port: Counters  # (slots, SMALL_ROW)
    service: Counters  # (slots, SERVICE_ROW)
    contact: Counters  # (slots, SMALL_ROW)
    answer: Counters  # (slots, SMALL_ROW)
    port_flows: Counters


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 1).bit_length()


def _longer(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    result = np.zeros((length, *array.shape[1:]), array.dtype)
    result[: len(array)] = array
    return result


def new_context(records: int, keys: int) -> Context:
    """Empty state with room for so many records and keys (powers of two)."""

    def counters(width: int) -> Counters:
        return np.zeros((keys, width), np.uint32)

    return Context(
        clock=np.zeros(STATE_WIDTH, np.int64),
        ring=np.zeros(records, RECORD),
        hosts=new_table(keys),
        pairs=new_table(keys),
        source_ports=new_table(keys),
        services=new_table(keys),
        contacts=new_table(keys),
        answers=new_table(keys),
        host=counters(HOST_ROW),
        host_bytes=np.zeros((keys, len(WINDOWS)), np.int64),
        pair=counters(PAIR_ROW),
        source_port=counters(SMALL_ROW),
        service=counters(SERVICE_ROW),
        contact=counters(SMALL_ROW),
        answer=counters(SMALL_ROW),
        port_flows=np.zeros(UNKNOWN_PORT_INDEX + 1, np.uint32),
    )


_KEYED_FIELDS: Final = {
    "hosts": ("host", "host_bytes"),
    "pairs": ("pair",),
    "source_ports": ("source_port",),
    "services": ("service",),
    "contacts": ("contact",),
    "answers": ("answer",),
}


def with_room(c: Context, rows: int, max_records: int) -> Context:
    """The same state with room for `rows` more records, or for `max_records` in all."""
    changed: dict[str, Any] = {}
    tail = int(c.clock[TAIL + LAST])
    needed = min(int(c.clock[HEAD]) - tail + rows, max_records) + 1
    if needed > len(c.ring):
        capacity = _power_of_two(needed)
        # records keep their numbers, so links stay valid
        numbers = np.arange(tail, c.clock[HEAD])
        ring = np.zeros(capacity, RECORD)
        ring[numbers & (capacity - 1)] = c.ring[numbers & (len(c.ring) - 1)]
        changed["ring"] = ring
    for key, fields in _KEYED_FIELDS.items():
        table: Table = getattr(c, key)
        wanted = 2 * rows if key == "hosts" else rows
        if table.unused < wanted:
            slots = _power_of_two(table.live + wanted)
            changed[key] = grown(table, slots)
            changed.update({name: _longer(getattr(c, name), slots) for name in fields})
    return c._replace(**changed)
