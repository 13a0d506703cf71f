"""Sliding windows: records entering and leaving the minute, ten minutes and hour (compiled)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from zeekml.core.jit import compiled, signed
from zeekml.features.context import counters, keys, layout
from zeekml.features.context.compact_hash_table import erase, insert, number_at, set_cell, state_at
from zeekml.features.context.layout import LAST, NONE, ContextState, arrival_of, is_set, port_of
from zeekml.features.context.lazy_memory import give_slot, take_slot
from zeekml.features.flow_features import TCP, UDP, FlowColumns
from zeekml.readers._stream_clock import NOW

_DNS_PORT: Final = 53
_NUMBERS: Final = 0xFFFFFFFF
_NEVER: Final = 1 << 62
"""Age of a record that is not there."""


@compiled
def _forget_pair(c: ContextState, number: int, pair: int, pair_hash: np.uint64) -> None:
    """Free what the record held of its pair."""
    r = c.ring[number & (len(c.ring) - 1)]
    state, at = state_at(c.pairs, pair), number_at(c.pairs, pair)
    if state == layout.RECORD_OF:
        erase(c.pairs, pair_hash, pair)
        return
    contact_hash = keys.triple_hash(pair_hash, port_of(r))
    contact = keys.known_cell(c, c.contacts, keys.CONTACT_KEY, contact_hash, r)
    if not is_set(r, layout.NEWER_CONTACT):
        if state_at(c.contacts, contact) != layout.RECORD_OF:
            give_slot(c.contact.slots, number_at(c.contacts, contact))
        erase(c.contacts, contact_hash, contact)
    else:
        c.contact.rows[number_at(c.contacts, contact)].count -= 1
    if not is_set(r, layout.NEWER_ANSWER):
        answer_hash = keys.triple_hash(pair_hash, layout.answer_of(r))
        answer = keys.known_cell(c, c.answers, keys.ANSWER_KEY, answer_hash, r)
        erase(c.answers, answer_hash, answer)
    if state == layout.SMALL_ROW:
        flows = signed(c.pair.rows[at].n[layout.PAIR_HELD])
        c.pair.rows[at].first = r.next_pair
    else:
        flows = signed(c.large_pair.rows[at].n[layout.PAIR_HELD])
        c.large_pair.rows[at].first = r.next_pair
    if flows == 0:
        give_slot(c.pair.slots if state == layout.SMALL_ROW else c.large_pair.slots, at)
        erase(c.pairs, pair_hash, pair)
        return
    # the pair's next record is now its first contact, in the windows that still hold it
    age = keys.age_of(c, r.next_pair)
    for window in range(LAST + 1):
        if keys.inside(c, window, age):
            counters.count_source(c, r.source, window, 0, 0, 0, 0, 1)


@compiled
def _forget(c: ContextState, number: int, pair: int, service: int) -> None:
    """Free what only the record held, once it has left the longest window."""
    r = c.ring[number & (len(c.ring) - 1)]
    source, target, port = signed(r.source), signed(r.target), port_of(r)
    c.port_flows[port] -= 1
    if counters.counted(c, source, layout.OUT_HELD) == 0:
        c.clock[layout.SOURCES] -= 1
    if is_set(r, layout.LOOKUP_FLAG):
        counters.count_lookup(c, source, -1)
    c.host.rows[target].first_in = r.next_in
    _forget_pair(c, number, pair, keys.joint_hash(c, source, target))
    if not is_set(r, layout.NEWER_SOURCE_PORT):
        key_hash = keys.joint_hash(c, source, port)
        cell = keys.known_cell(c, c.source_ports, keys.SOURCE_PORT_KEY, key_hash, r)
        erase(c.source_ports, key_hash, cell)
    flows = 0
    state, at = state_at(c.services, service), number_at(c.services, service)
    if state == layout.SMALL_ROW:
        flows = signed(c.service.rows[at].n[layout.SERVICE_HELD])
        if flows == 0:
            give_slot(c.service.slots, at)
    elif state == layout.LARGE_ROW:
        flows = signed(c.large_service.rows[at].n[layout.SERVICE_HELD])
        if flows == 0:
            give_slot(c.large_service.slots, at)
    if flows == 0:
        erase(c.services, keys.joint_hash(c, target, port), service)
    if _is_idle(c, source):
        keys.drop_host(c, source)
    if target != source and _is_idle(c, target):
        keys.drop_host(c, target)


@compiled
def _is_idle(c: ContextState, slot: int) -> bool:
    held = counters.counted(c, slot, layout.OUT_HELD) + counters.counted(c, slot, layout.IN_HELD)
    return held == 0


@compiled
def _leave(c: ContextState, window: int, number: int) -> None:
    """Take a record, the oldest of a window, off its counters; forget it after the longest."""
    r = c.ring[number & (len(c.ring) - 1)]
    pair = keys.known_cell(c, c.pairs, keys.PAIR_KEY, keys.joint_hash(c, r.source, r.target), r)
    service_hash = keys.joint_hash(c, r.target, port_of(r))
    service = keys.known_cell(c, c.services, keys.SERVICE_KEY, service_hash, r)
    c.clock[layout.TAIL + window] = number + 1
    failed = -int(is_set(r, layout.FAILED_FLAG))
    last_contact = -int(not is_set(r, layout.NEWER_CONTACT))
    last_answer = -int(not is_set(r, layout.NEWER_ANSWER))
    last_source_port = -int(not is_set(r, layout.NEWER_SOURCE_PORT))
    first = -1
    state, at = state_at(c.pairs, pair), number_at(c.pairs, pair)
    if state == layout.SMALL_ROW:
        first = -int(signed(c.pair.rows[at].first) == number & _NUMBERS)
    elif state == layout.LARGE_ROW:
        first = -int(signed(c.large_pair.rows[at].first) == number & _NUMBERS)
    flows = counters.count_pair(c, state, at, window, -1, failed, last_contact, last_answer)
    last_of_pair = -int(flows == 0)
    state, at = state_at(c.services, service), number_at(c.services, service)
    flows = counters.count_service(c, state, at, window, -1, failed, last_contact)
    last_of_service = -int(flows == 0)
    counters.count_source(c, r.source, window, -1, failed, last_of_pair, last_source_port, first)
    payload = -layout.payload_of(r)
    counters.count_target(c, r.target, window, -1, failed, payload, last_of_pair, last_of_service)
    if window == LAST:
        _forget(c, number, pair, service)


@compiled
def expire(c: ContextState, room_from: int) -> None:
    """Let the records leave that the clock has passed, shortest window first.

    Records with a number below `room_from` leave all windows, whatever their age, and count as
    evicted.
    """
    clock = c.clock
    mask = len(c.ring) - 1
    for window in range(LAST + 1):
        limit = clock[NOW] - layout.LENGTHS[window]
        number = clock[layout.TAIL + window]
        while number < clock[layout.HEAD]:
            if arrival_of(c.ring[number & mask], clock[layout.ARRIVED]) > limit:
                if number >= room_from:
                    break
                clock[layout.EVICTED] += int(window == LAST)
            _leave(c, window, number)
            number += 1


@compiled
def _answer_size(payload: float) -> int:
    """Answers count as alike when they differ by less than about a fifth."""
    if math.isnan(payload):
        return 0
    return min(int(1.0 + np.rint(math.log2(1.0 + payload) * 4.0)), layout.ANSWER_SIZES - 1)


@compiled
def _enter_pair(c: ContextState, at: int, pair: int, pair_hash: np.uint64) -> tuple[int, int]:
    """Put the record at `at` behind the others of its pair, which is in a cell.

    Returns how long ago the latest record of the contact came, and of the same answer size.
    """
    r, mask = c.ring[at], len(c.ring) - 1
    link = c.clock[layout.HEAD] & _NUMBERS
    if keys.is_full(c.pairs, c.pair, pair, layout.PAIR_HELD):
        keys.pair_row(c, pair)
    row = number_at(c.pairs, pair)
    if state_at(c.pairs, pair) == layout.SMALL_ROW:
        c.ring[c.pair.rows[row].latest & mask].next_pair = link
        c.pair.rows[row].latest = link
    else:
        c.ring[c.large_pair.rows[row].latest & mask].next_pair = link
        c.large_pair.rows[row].latest = link

    contact_age = answer_age = _NEVER
    contact_hash = keys.triple_hash(pair_hash, port_of(r))
    contact = keys.cell_of(c, c.contacts, keys.CONTACT_KEY, contact_hash, r)
    if contact == NONE:
        insert(c.contacts, contact_hash, layout.RECORD_OF, at)
    else:
        latest = keys.latest_of(c, c.contacts, keys.CONTACT_KEY, contact)
        contact_age = keys.age_of(c, latest)
        c.ring[latest].flags |= layout.NEWER_CONTACT
        if state_at(c.contacts, contact) == layout.RECORD_OF:
            place = take_slot(c.contact.slots)
            c.contact.rows[place].count = 1
            set_cell(c.contacts, contact, layout.SMALL_ROW, place)
        place = number_at(c.contacts, contact)
        c.contact.rows[place].count += 1
        c.contact.rows[place].latest = link
    answer_hash = keys.triple_hash(pair_hash, layout.answer_of(r))
    answer = keys.cell_of(c, c.answers, keys.ANSWER_KEY, answer_hash, r)
    if answer == NONE:
        insert(c.answers, answer_hash, layout.RECORD_OF, at)
    else:
        latest = keys.latest_of(c, c.answers, keys.ANSWER_KEY, answer)
        answer_age = keys.age_of(c, latest)
        c.ring[latest].flags |= layout.NEWER_ANSWER
        set_cell(c.answers, answer, layout.RECORD_OF, at)
    return contact_age, answer_age


@compiled
def _enter_source_port(c: ContextState, at: int) -> int:
    """Returns how long ago the source's latest record to the port came."""
    r = c.ring[at]
    key_hash = keys.joint_hash(c, r.source, port_of(r))
    cell = keys.cell_of(c, c.source_ports, keys.SOURCE_PORT_KEY, key_hash, r)
    if cell == NONE:
        insert(c.source_ports, key_hash, layout.RECORD_OF, at)
        return _NEVER
    latest = number_at(c.source_ports, cell)
    c.ring[latest].flags |= layout.NEWER_SOURCE_PORT
    set_cell(c.source_ports, cell, layout.RECORD_OF, at)
    return keys.age_of(c, latest)


@compiled
def _link_hosts(c: ContextState, at: int) -> None:
    """Put the record behind the others to its target, and behind the source's lookups."""
    r, mask = c.ring[at], len(c.ring) - 1
    link = c.clock[layout.HEAD] & _NUMBERS
    source, target = c.host.rows[r.source], c.host.rows[r.target]
    if counters.counted(c, r.source, layout.OUT_HELD) == 0:
        c.clock[layout.SOURCES] += 1
    if counters.counted(c, r.target, layout.IN_HELD) == 0:
        target.first_in = link
    else:
        c.ring[target.last_in & mask].next_in = link
    target.last_in = link
    if is_set(r, layout.LOOKUP_FLAG):
        r.prev_lookup = source.last_lookup
        source.last_lookup = link
        counters.count_lookup(c, r.source, 1)


@compiled
def enter(c: ContextState, columns: FlowColumns, i: int) -> tuple[int, int, int]:
    """Take row `i` in; return its place in the ring and the cells of its pair and service."""
    at = c.clock[layout.HEAD] & (len(c.ring) - 1)
    proto, port = signed(columns.proto[i]), signed(columns.resp_port[i])
    is_lookup = (columns.services[i] & np.uint32(1)) != 0 or (
        port == _DNS_PORT and proto in (TCP, UDP)
    )
    if 0 <= port < layout.PORTS_PER_PROTO:
        port += proto * layout.PORTS_PER_PROTO
    else:
        port = layout.UNKNOWN_PORT_INDEX
    failed = int(columns.failed[i])
    payload = 0
    if not math.isnan(columns.orig_payload[i]):
        payload = int(min(columns.orig_payload[i], float(layout.MOST_PAYLOAD)))
    source, target = keys.host_of(c, columns.orig_key[i]), keys.host_of(c, columns.resp_key[i])
    size = _answer_size(columns.resp_payload[i])
    behind = c.clock[NOW] - columns.end[i]
    misdated = behind < 0 or behind > layout.LENGTHS[LAST]

    r = c.ring[at]
    r.arrival = c.clock[NOW] & _NUMBERS
    r.orig_log = math.log1p(columns.orig_payload[i])
    r.resp_log = math.log1p(columns.resp_payload[i])
    r.source, r.target = source, target
    flags = size + failed * layout.FAILED_FLAG + is_lookup * layout.LOOKUP_FLAG
    r.flags = flags + misdated * layout.MISDATED_FLAG
    layout.pack(r, 0 if misdated else c.clock[NOW] - columns.start[i], payload, port)
    c.clock[layout.ARRIVED] = c.clock[NOW]
    c.port_flows[port] += 1
    counters.make_room_in_host(c, source, 0)
    counters.make_room_in_host(c, target, payload)
    _link_hosts(c, at)

    pair_hash = keys.joint_hash(c, source, target)
    pair = keys.cell_of(c, c.pairs, keys.PAIR_KEY, pair_hash, r)
    pair_age = contact_age = answer_age = service_age = _NEVER
    first = int(pair == NONE)
    if pair == NONE:
        pair = insert(c.pairs, pair_hash, layout.RECORD_OF, at)
    else:
        pair_age = keys.age_of(c, keys.latest_of(c, c.pairs, keys.PAIR_KEY, pair))
        contact_age, answer_age = _enter_pair(c, at, pair, pair_hash)
    if contact_age != _NEVER:
        r.prev_contact = (c.clock[layout.HEAD] - contact_age) & _NUMBERS
    source_port_age = _enter_source_port(c, at)
    service_hash = keys.joint_hash(c, target, port)
    service = keys.cell_of(c, c.services, keys.SERVICE_KEY, service_hash, r)
    if service == NONE:
        service = insert(c.services, service_hash, layout.RECORD_OF, at)
    else:
        service_age = keys.age_of(c, keys.latest_of(c, c.services, keys.SERVICE_KEY, service))
        if keys.is_full(c.services, c.service, service, layout.SERVICE_HELD):
            keys.service_row(c, service)

    pair_state, pair_at = state_at(c.pairs, pair), number_at(c.pairs, pair)
    service_state, service_at = state_at(c.services, service), number_at(c.services, service)
    if service_state == layout.SMALL_ROW:
        c.service.rows[service_at].latest = c.clock[layout.HEAD] & _NUMBERS
    elif service_state == layout.LARGE_ROW:
        c.large_service.rows[service_at].latest = c.clock[layout.HEAD] & _NUMBERS
    for window in range(LAST + 1):
        host = int(not keys.inside(c, window, pair_age))
        contact = int(not keys.inside(c, window, contact_age))
        answer = int(not keys.inside(c, window, answer_age))
        out_port = int(not keys.inside(c, window, source_port_age))
        in_port = int(not keys.inside(c, window, service_age))
        counters.count_source(c, source, window, 1, failed, host, out_port, first)
        counters.count_target(c, target, window, 1, failed, payload, host, in_port)
        counters.count_pair(c, pair_state, pair_at, window, 1, failed, contact, answer)
        counters.count_service(c, service_state, service_at, window, 1, failed, contact)
    c.clock[layout.HEAD] += 1
    return at, pair, service
