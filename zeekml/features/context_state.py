"""The state of the context engine: a ring of the hour's records and counters per key.

Plain arrays in a tuple, so that compiled code can take them in and cache on disk. They grow between
batches, in Python; record and slot numbers stay the same while they live.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.features.schema import WINDOWS
from zeekml.features.tables import Table, grown, new_table

Ints32 = npt.NDArray[np.int32]
Ints64 = npt.NDArray[np.int64]
Links = npt.NDArray[np.uint32]

SECOND: Final = 1_000_000  # microseconds
LAST: Final = len(WINDOWS) - 1  # the longest window, after which a record is forgotten
LENGTHS: Final = np.array(WINDOWS, np.int64) * SECOND

# entries of Context.clock; TAIL holds one record number per window
NOW, AHEAD, SEEN, BEGAN, HEAD, TAIL = 0, 1, 2, 3, 4, 5
SOURCES, EVICTED, LATE = TAIL + len(WINDOWS), TAIL + len(WINDOWS) + 1, TAIL + len(WINDOWS) + 2

# entries of Context.host[slot, window]
OUT_FLOWS, OUT_FAILED, OUT_HOSTS, OUT_PORTS, OUT_FIRST = 0, 1, 2, 3, 4
IN_FLOWS, IN_FAILED, IN_HOSTS, IN_PORTS = 5, 6, 7, 8

# entries of Context.pair[slot, window] and Context.service[slot, window]
FLOWS, FAILED, PORTS, ANSWERS, HOSTS = 0, 1, 2, 3, 2

# bits of Context.flags
FLAG_FAILED, FLAG_LOOKUP = 1, 2

PORTS_PER_PROTO: Final = 65536
UNKNOWN_PORT_INDEX: Final = 4 * PORTS_PER_PROTO


class Context(NamedTuple):
    """All state, as arrays; slot-indexed arrays go with the table of the same key."""

    clock: Ints64
    # ring of records, indexed by record number modulo capacity
    arrival: Ints64
    start: Ints64
    payload: Ints64
    orig_log: npt.NDArray[np.float32]
    resp_log: npt.NDArray[np.float32]
    flags: npt.NDArray[np.uint8]
    slots: Ints32  # (capacity, 7): source, destination, pair, source port, service, contact, answer
    ports: Ints32
    next_in: Links  # next record to the same destination
    next_pair: Links  # next record of the same pair
    prev_contact: Links  # previous record of the same source, destination and port
    prev_lookup: Links  # previous DNS record of the same source
    # keys
    hosts: Table
    pairs: Table
    source_ports: Table
    services: Table
    contacts: Table
    answers: Table
    # counters
    host: Ints32  # (slots, windows, 9)
    host_bytes: Ints64  # (slots, windows)
    host_refs: Ints32
    host_first_in: Links
    host_last_in: Links
    host_last_lookup: Links
    host_lookups: Ints32
    pair: Ints32  # (slots, windows, 4)
    pair_first: Links
    pair_last: Links
    source_port: Ints32  # (slots, windows)
    service: Ints32  # (slots, windows, 3)
    contact: Ints32  # (slots, windows)
    contact_last: Links
    answer: Ints32  # (slots, windows)
    port_flows: Ints32


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 1).bit_length()


def _longer(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    result = np.zeros((length, *array.shape[1:]), array.dtype)
    result[: len(array)] = array
    return result


def new_context(records: int, keys: int) -> Context:
    """Empty state with room for so many records and keys (powers of two)."""
    windows = len(WINDOWS)

    def links(n: int) -> Links:
        return np.zeros(n, np.uint32)

    return Context(
        clock=np.zeros(LATE + 1, np.int64),
        arrival=np.zeros(records, np.int64),
        start=np.zeros(records, np.int64),
        payload=np.zeros(records, np.int64),
        orig_log=np.zeros(records, np.float32),
        resp_log=np.zeros(records, np.float32),
        flags=np.zeros(records, np.uint8),
        slots=np.zeros((records, 7), np.int32),
        ports=np.zeros(records, np.int32),
        next_in=links(records),
        next_pair=links(records),
        prev_contact=links(records),
        prev_lookup=links(records),
        hosts=new_table(keys),
        pairs=new_table(keys),
        source_ports=new_table(keys),
        services=new_table(keys),
        contacts=new_table(keys),
        answers=new_table(keys),
        host=np.zeros((keys, windows, 9), np.int32),
        host_bytes=np.zeros((keys, windows), np.int64),
        host_refs=np.zeros(keys, np.int32),
        host_first_in=links(keys),
        host_last_in=links(keys),
        host_last_lookup=links(keys),
        host_lookups=np.zeros(keys, np.int32),
        pair=np.zeros((keys, windows, 4), np.int32),
        pair_first=links(keys),
        pair_last=links(keys),
        source_port=np.zeros((keys, windows), np.int32),
        service=np.zeros((keys, windows, 3), np.int32),
        contact=np.zeros((keys, windows), np.int32),
        contact_last=links(keys),
        answer=np.zeros((keys, windows), np.int32),
        port_flows=np.zeros(UNKNOWN_PORT_INDEX + 1, np.int32),
    )


_RING_FIELDS: Final = (
    "arrival",
    "start",
    "payload",
    "orig_log",
    "resp_log",
    "flags",
    "slots",
    "ports",
    "next_in",
    "next_pair",
    "prev_contact",
    "prev_lookup",
)


_KEYED_FIELDS: Final = {
    "hosts": (
        "host",
        "host_bytes",
        "host_refs",
        "host_first_in",
        "host_last_in",
        "host_last_lookup",
        "host_lookups",
    ),
    "pairs": ("pair", "pair_first", "pair_last"),
    "source_ports": ("source_port",),
    "services": ("service",),
    "contacts": ("contact", "contact_last"),
    "answers": ("answer",),
}


def with_room(c: Context, rows: int, max_records: int) -> Context:
    """The same state with room for `rows` more records, or for `max_records` in all."""
    changed: dict[str, Any] = {}
    tail = int(c.clock[TAIL + LAST])
    needed = min(int(c.clock[HEAD]) - tail + rows, max_records) + 1
    if needed > len(c.arrival):
        capacity = _power_of_two(needed)
        # records keep their numbers, so links stay valid
        numbers = np.arange(tail, c.clock[HEAD])
        for name in _RING_FIELDS:
            array = getattr(c, name)
            longer = np.zeros((capacity, *array.shape[1:]), array.dtype)
            longer[numbers & (capacity - 1)] = array[numbers & (len(array) - 1)]
            changed[name] = longer
    for key, fields in _KEYED_FIELDS.items():
        table: Table = getattr(c, key)
        wanted = 2 * rows if key == "hosts" else rows
        if table.top[0] < wanted:
            slots = _power_of_two(table.live + wanted)
            changed[key] = grown(table, slots)
            changed.update({name: _longer(getattr(c, name), slots) for name in fields})
    return c._replace(**changed)
