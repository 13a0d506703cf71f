"""Where the keys of a record are in the context's tables, and how many that is counted (compiled).

A key is what its latest record says: the tables hold no keys. So a cell that may be the right one
is compared by that record, unless it is known that the key is there and no other cell is like it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from zeekml.core.jit import compiled, njit, signed
from zeekml.features.addresses import mix
from zeekml.features.context import compact_hash_table as hash_table
from zeekml.features.context import layout
from zeekml.features.context.compact_hash_table import (
    CompactHashTable,
    home,
    next_alike,
    number_at,
    state_at,
)
from zeekml.features.context.layout import LAST, NONE, ContextState, answer_of, is_set, port_of
from zeekml.features.context.lazy_memory import give_slot, take_slot

# kinds of keys, in the order of `TABLES`
HOST_KEY, PAIR_KEY, SERVICE_KEY, CONTACT_KEY, SOURCE_PORT_KEY, ANSWER_KEY = range(6)

_NUMBERS: Final = 0xFFFFFFFF


@compiled
def host_hash(c: ContextState, key: np.uint64) -> np.uint64:
    return mix(key ^ np.uint64(c.clock[layout.SEED]))


@compiled
def joint_hash(c: ContextState, first: int, second: int) -> np.uint64:
    """Of two numbers of 32 bits."""
    return mix(np.uint64((first << 32) | second) ^ np.uint64(c.clock[layout.SEED]))


@compiled
def triple_hash(pair_hash: np.uint64, number: int) -> np.uint64:
    """Of a pair and another number."""
    return mix(pair_hash ^ mix(np.uint64(number) + np.uint64(0x9E3779B97F4A7C15)))


@compiled
def age_of(c: ContextState, number: int) -> int:
    """How many records before the next one the record held with this number, or link, came."""
    return (c.clock[layout.HEAD] - signed(number)) & (len(c.ring) - 1)


@compiled
def inside(c: ContextState, window: int, age: int) -> bool:
    """Whether the record that came so many before the next one is in a window."""
    return age <= c.clock[layout.HEAD] - c.clock[layout.TAIL + window]


@compiled
def latest_of(c: ContextState, table: CompactHashTable, kind: int, at: int) -> int:
    """Place in the ring of the latest record of the key in a cell of its kind's table."""
    state, number = state_at(table, at), number_at(table, at)
    if state != layout.RECORD_OF:
        if kind == PAIR_KEY:
            if state == layout.SMALL_ROW:
                number = signed(c.pair.rows[number].latest)
            else:
                number = signed(c.large_pair.rows[number].latest)
        elif kind == SERVICE_KEY:
            if state == layout.SMALL_ROW:
                number = signed(c.service.rows[number].latest)
            else:
                number = signed(c.large_service.rows[number].latest)
        elif kind == CONTACT_KEY:
            number = signed(c.contact.rows[number].latest)
    return number & (len(c.ring) - 1)


@compiled
def _is_key(c: ContextState, table: CompactHashTable, kind: int, at: int, wanted: Any) -> bool:
    r = c.ring[latest_of(c, table, kind, at)]
    if kind != SERVICE_KEY and r.source != wanted.source:
        return False
    if kind != SOURCE_PORT_KEY and r.target != wanted.target:
        return False
    if kind == ANSWER_KEY:
        return answer_of(r) == answer_of(wanted)
    return kind == PAIR_KEY or port_of(r) == port_of(wanted)


@compiled
def cell_of(
    c: ContextState, table: CompactHashTable, kind: int, key_hash: np.uint64, r: Any
) -> int:
    """The cell of a record's key, or NONE."""
    at = next_alike(table, key_hash, home(table, key_hash))
    while at != NONE and not _is_key(c, table, kind, at, r):
        at = next_alike(table, key_hash, at)
    return at


@compiled
def known_cell(
    c: ContextState, table: CompactHashTable, kind: int, key_hash: np.uint64, r: Any
) -> int:
    """The cell of a key of a record that is held, so the key is there."""
    at = next_alike(table, key_hash, home(table, key_hash))
    if next_alike(table, key_hash, at) == NONE:
        return at
    return cell_of(c, table, kind, key_hash, r)


@compiled
def host_of(c: ContextState, key: np.uint64) -> int:
    """Slot of a host, newly taken if need be."""
    key_hash = host_hash(c, key)
    at = next_alike(c.hosts, key_hash, home(c.hosts, key_hash))
    while at != NONE:
        slot = number_at(c.hosts, at)
        if c.host.rows[slot].key == key:
            return slot
        at = next_alike(c.hosts, key_hash, at)
    slot = take_slot(c.host.slots)
    row = c.host.rows[slot]
    row.key = key
    row.large = NONE
    for i in range(layout.HOST_COUNTS):
        row.n[i] = 0
    for window in range(LAST + 1):
        row.bytes[window] = 0
    hash_table.insert(c.hosts, key_hash, layout.RECORD_OF, slot)
    return slot


@compiled
def drop_host(c: ContextState, slot: int) -> None:
    """Forget a host that no record names any more."""
    row = c.host.rows[slot]
    key_hash = host_hash(c, row.key)
    at = next_alike(c.hosts, key_hash, home(c.hosts, key_hash))
    while number_at(c.hosts, at) != slot:
        at = next_alike(c.hosts, key_hash, at)
    hash_table.erase(c.hosts, key_hash, at)
    if row.large != NONE:
        give_slot(c.large_host.slots, row.large)
    give_slot(c.host.slots, slot)


@compiled
def enlarge_host(c: ContextState, slot: int) -> None:
    """Count a host in a large row from now on."""
    row = c.host.rows[slot]
    large = take_slot(c.large_host.slots)
    for i in range(layout.HOST_COUNTS):
        c.large_host.rows[large].n[i] = row.n[i]
    for window in range(LAST + 1):
        c.large_host.rows[large].bytes[window] = row.bytes[window]
    row.large = large


@compiled
def is_full(table: CompactHashTable, small: layout.SlotPool, at: int, held: int) -> bool:
    """Whether another record of the key in a cell needs `pair_row` or `service_row` first."""
    state = state_at(table, at)
    return state == layout.RECORD_OF or (
        state == layout.SMALL_ROW and small.rows[number_at(table, at)].n[held] == layout.SMALL_MOST
    )


@compiled
def _enlarge(small: layout.SlotPool, large: layout.SlotPool, number: int, counts: int) -> int:
    """Move a full row to a larger one."""
    place = take_slot(large.slots)
    large.rows[place].latest = small.rows[number].latest
    for i in range(counts):
        large.rows[place].n[i] = small.rows[number].n[i]
    give_slot(small.slots, number)
    return place


@compiled
def pair_row(c: ContextState, at: int) -> None:
    """Give the pair in a cell, which has one record or a full row, the next larger row."""
    number = number_at(c.pairs, at)
    if state_at(c.pairs, at) == layout.RECORD_OF:
        r = c.ring[number]
        age = age_of(c, number)
        place = take_slot(c.pair.slots)
        row = c.pair.rows[place]
        row.first = row.latest = (c.clock[layout.HEAD] - age) & _NUMBERS
        for window in range(LAST + 1):
            here = int(inside(c, window, age))
            of_pair = window * layout.PAIR_WINDOW
            row.n[of_pair + layout.FLOWS] = here
            row.n[of_pair + layout.FAILED] = here * int(is_set(r, layout.FAILED_FLAG))
            row.n[of_pair + layout.PORTS] = here
            row.n[of_pair + layout.ANSWERS] = here
        hash_table.set_cell(c.pairs, at, layout.SMALL_ROW, place)
        pair_hash = joint_hash(c, r.source, r.target)
        hash_table.insert(c.contacts, triple_hash(pair_hash, port_of(r)), layout.RECORD_OF, number)
        hash_table.insert(c.answers, triple_hash(pair_hash, answer_of(r)), layout.RECORD_OF, number)
    else:
        place = _enlarge(c.pair, c.large_pair, number, layout.PAIR_COUNTS)
        c.large_pair.rows[place].first = c.pair.rows[number].first
        hash_table.set_cell(c.pairs, at, layout.LARGE_ROW, place)


@compiled
def service_row(c: ContextState, at: int) -> None:
    """Give the service in a cell, which has one record or a full row, the next larger row."""
    number = number_at(c.services, at)
    if state_at(c.services, at) == layout.RECORD_OF:
        r = c.ring[number]
        age = age_of(c, number)
        place = take_slot(c.service.slots)
        row = c.service.rows[place]
        row.latest = (c.clock[layout.HEAD] - age) & _NUMBERS
        for window in range(LAST + 1):
            here = int(inside(c, window, age))
            of_service = window * layout.SERVICE_WINDOW
            row.n[of_service + layout.FLOWS] = here
            row.n[of_service + layout.FAILED] = here * int(is_set(r, layout.FAILED_FLAG))
            row.n[of_service + layout.HOSTS] = here
        hash_table.set_cell(c.services, at, layout.SMALL_ROW, place)
    else:
        place = _enlarge(c.service, c.large_service, number, layout.SERVICE_COUNTS)
        hash_table.set_cell(c.services, at, layout.LARGE_ROW, place)


@compiled
def key_hash_of(c: ContextState, kind: int, r: Any) -> np.uint64:
    """Hash of a record's key."""
    if kind == SERVICE_KEY:
        return joint_hash(c, r.target, port_of(r))
    if kind == SOURCE_PORT_KEY:
        return joint_hash(c, r.source, port_of(r))
    pair_hash = joint_hash(c, r.source, r.target)
    if kind == CONTACT_KEY:
        return triple_hash(pair_hash, port_of(r))
    if kind == ANSWER_KEY:
        return triple_hash(pair_hash, answer_of(r))
    return pair_hash


@njit(cache=True, _nrt=False, nogil=True)
def _refill(c: ContextState, kind: int, old: CompactHashTable, new: CompactHashTable) -> None:
    """Put all keys of a table into a larger one."""
    for at in range(len(old.cells)):
        state = state_at(old, at)
        if at % hash_table.LANES == 0 or state == 0:
            continue
        number = number_at(old, at)
        if kind == HOST_KEY:
            key_hash = host_hash(c, c.host.rows[number].key)
        else:
            key_hash = key_hash_of(c, kind, c.ring[latest_of(c, old, kind, at)])
        hash_table.insert(new, key_hash, state, number)


def with_room(c: ContextState, rows: int) -> ContextState:
    """The same state with room in its tables for `rows` more records."""
    changed: dict[str, Any] = {}
    for kind, name in enumerate(layout.TABLES):
        table: CompactHashTable = getattr(c, name)
        # a record names two hosts, and may be the second of a pair, which then enters both
        if table.full_with(2 * rows):
            changed[name] = hash_table.larger(table, 2 * rows)
            _refill(c, kind, table, changed[name])
    return c._replace(**changed)
