"""Records entering and leaving the context windows, and the clock that drives them (compiled)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from zeekml.features.addresses import mix
from zeekml.features.columns import TCP, UDP, FlowColumns
from zeekml.features.context_state import (
    AHEAD,
    ANSWERS,
    BEGAN,
    FAILED,
    FLAG_FAILED,
    FLAG_LOOKUP,
    FLOWS,
    HEAD,
    HOSTS,
    IN_FAILED,
    IN_FLOWS,
    IN_HOSTS,
    IN_PORTS,
    LAST,
    LATE,
    LENGTHS,
    NOW,
    OUT_FAILED,
    OUT_FIRST,
    OUT_FLOWS,
    OUT_HOSTS,
    OUT_PORTS,
    PORTS,
    PORTS_PER_PROTO,
    SECOND,
    SEEN,
    SOURCES,
    TAIL,
    UNKNOWN_PORT_INDEX,
    Context,
)
from zeekml.features.schema import WINDOWS
from zeekml.features.tables import find_or_add, remove

CLOCK_SLACK: Final = 300
"""Seconds a single record may be ahead of the clock and still move it."""

_SLACK: Final = CLOCK_SLACK * SECOND
_RESTART: Final = WINDOWS[-1] * SECOND
_DNS_PORT: Final = 53
_BYTES_CAP: Final = 1 << 40  # one record's share of a byte sum; sums stay far inside an int64


@njit(cache=True)
def advance(c: Context, end: int) -> None:
    """Move the clock for a record that ended at `end` (microseconds)."""
    clock = c.clock
    # the first records of a stream may themselves be the damaged ones: two that agree win
    if clock[SEEN] == 0 or (clock[SEEN] < 3 and end < clock[NOW] - _RESTART):
        while clock[TAIL + LAST] < clock[HEAD]:
            expire_oldest(c)
        clock[NOW] = end
        clock[BEGAN] = end
        clock[AHEAD] = 0
    elif end > clock[NOW] + _SLACK:
        clock[AHEAD] += 1
        if clock[AHEAD] >= 3:
            clock[NOW] = end
            clock[AHEAD] = 0
    else:
        clock[AHEAD] = 0
        if end > clock[NOW]:
            clock[NOW] = end
        elif end < clock[NOW]:
            clock[LATE] += 1
    clock[SEEN] += 1


@njit(cache=True)
def _leave(c: Context, window: int) -> None:
    """Take the oldest record of a window off the window's counters."""
    number = c.clock[TAIL + window]
    c.clock[TAIL + window] += 1
    at = number & (len(c.arrival) - 1)
    slots = c.slots[at]
    source, target, pair = slots[0], slots[1], slots[2]
    failed = np.int32(c.flags[at] & FLAG_FAILED)
    of_source, of_target = c.host[source, window], c.host[target, window]
    of_pair = c.pair[pair, window]
    of_service = c.service[slots[4], window]
    of_source[OUT_FLOWS] -= 1
    of_source[OUT_FAILED] -= failed
    of_target[IN_FLOWS] -= 1
    of_target[IN_FAILED] -= failed
    c.host_bytes[target, window] -= c.payload[at]
    of_pair[FLOWS] -= 1
    of_pair[FAILED] -= failed
    if of_pair[FLOWS] == 0:
        of_source[OUT_HOSTS] -= 1
        of_target[IN_HOSTS] -= 1
    if c.pair_first[pair] == np.uint32(number):
        of_source[OUT_FIRST] -= 1
    c.source_port[slots[3], window] -= 1
    if c.source_port[slots[3], window] == 0:
        of_source[OUT_PORTS] -= 1
    of_service[FLOWS] -= 1
    of_service[FAILED] -= failed
    if of_service[FLOWS] == 0:
        of_target[IN_PORTS] -= 1
    c.contact[slots[5], window] -= 1
    if c.contact[slots[5], window] == 0:
        of_pair[PORTS] -= 1
        of_service[HOSTS] -= 1
    c.answer[slots[6], window] -= 1
    if c.answer[slots[6], window] == 0:
        of_pair[ANSWERS] -= 1


@njit(cache=True)
def _forget(c: Context, number: int) -> None:
    """Free what only the record held, once it has left the longest window."""
    at = number & (len(c.arrival) - 1)
    slots = c.slots[at]
    source, target, pair = slots[0], slots[1], slots[2]
    c.port_flows[c.ports[at]] -= 1
    if c.host[source, LAST, OUT_FLOWS] == 0:
        c.clock[SOURCES] -= 1
    if c.flags[at] & FLAG_LOOKUP:
        c.host_lookups[source] -= 1
    c.host_first_in[target] = c.next_in[at]
    if c.pair[pair, LAST, FLOWS] == 0:
        remove(c.pairs, pair)
    else:
        # the pair's next record is now its first contact, in the windows that still hold it
        first = c.next_pair[at]
        c.pair_first[pair] = first
        for window in range(LAST + 1):
            behind = np.uint32(first - np.uint32(c.clock[TAIL + window]))
            if behind < np.uint32(c.clock[HEAD] - c.clock[TAIL + window]):
                c.host[source, window, OUT_FIRST] += 1
    if c.source_port[slots[3], LAST] == 0:
        remove(c.source_ports, slots[3])
    if c.service[slots[4], LAST, FLOWS] == 0:
        remove(c.services, slots[4])
    if c.contact[slots[5], LAST] == 0:
        remove(c.contacts, slots[5])
    if c.answer[slots[6], LAST] == 0:
        remove(c.answers, slots[6])
    for k in range(2):
        host = slots[k]
        c.host_refs[host] -= 1
        if c.host_refs[host] == 0:
            remove(c.hosts, host)


@njit(cache=True)
def expire_oldest(c: Context) -> None:
    """Drop the oldest record from every window that still holds it."""
    number = c.clock[TAIL + LAST]
    for window in range(LAST + 1):
        if c.clock[TAIL + window] == number:
            _leave(c, window)
    _forget(c, number)


@njit(cache=True)
def expire(c: Context) -> None:
    """Let the records leave that the clock has passed, shortest window first."""
    clock = c.clock
    mask = len(c.arrival) - 1
    for window in range(LAST):
        limit = clock[NOW] - LENGTHS[window]
        while clock[TAIL + window] < clock[HEAD]:
            if c.arrival[clock[TAIL + window] & mask] > limit:
                break
            _leave(c, window)
    limit = clock[NOW] - LENGTHS[LAST]
    while clock[TAIL + LAST] < clock[HEAD]:
        if c.arrival[clock[TAIL + LAST] & mask] > limit:
            break
        expire_oldest(c)


@njit(cache=True)
def enter(c: Context, columns: FlowColumns, i: int) -> int:
    """Take row `i` in; return its place in the ring."""
    number = c.clock[HEAD]
    at = number & (len(c.arrival) - 1)
    link = np.uint32(number)
    proto = np.int64(columns.proto[i])
    port = columns.resp_port[i]
    port_index = (
        proto * PORTS_PER_PROTO + port if 0 <= port < PORTS_PER_PROTO else UNKNOWN_PORT_INDEX
    )
    source_key, target_key = columns.orig_key[i], columns.resp_key[i]
    port_key = np.uint64(port_index)
    resp_payload = columns.resp_payload[i]
    # answers count as alike when they differ by less than about a fifth
    answer = np.uint64(0)
    if not math.isnan(resp_payload):
        answer = np.uint64(1.0 + np.rint(math.log2(1.0 + resp_payload) * 4.0))
    pair_key = mix(source_key ^ mix(target_key + np.uint64(0xA24BAED4963EE407)))
    source = find_or_add(c.hosts, source_key)
    target = find_or_add(c.hosts, target_key)
    pair = find_or_add(c.pairs, pair_key)
    source_port = find_or_add(
        c.source_ports, mix(source_key ^ mix(port_key + np.uint64(0x9FB21C651E98DF25)))
    )
    service = find_or_add(
        c.services, mix(target_key ^ mix(port_key + np.uint64(0xD6E8FEB86659FD93)))
    )
    contact = find_or_add(c.contacts, mix(pair_key ^ mix(port_key + np.uint64(0xC2B2AE3D27D4EB4F))))
    answers = find_or_add(c.answers, mix(pair_key ^ mix(answer + np.uint64(0x165667B19E3779F9))))
    failed = np.int32(columns.failed[i])
    is_lookup = (columns.services[i] & np.uint32(1)) != 0 or (
        port == _DNS_PORT and proto in (TCP, UDP)
    )
    payload = np.int64(0)
    if not math.isnan(columns.orig_payload[i]):
        payload = np.int64(min(columns.orig_payload[i], np.float64(_BYTES_CAP)))

    c.arrival[at] = c.clock[NOW]
    c.start[at] = columns.start[i]
    c.payload[at] = payload
    c.orig_log[at] = math.log1p(columns.orig_payload[i])
    c.resp_log[at] = math.log1p(resp_payload)
    c.flags[at] = failed * FLAG_FAILED + is_lookup * FLAG_LOOKUP
    c.ports[at] = port_index
    slots = c.slots[at]
    slots[0], slots[1], slots[2] = source, target, pair
    slots[3], slots[4], slots[5], slots[6] = source_port, service, contact, answers

    c.port_flows[port_index] += 1
    if c.host[source, LAST, OUT_FLOWS] == 0:
        c.clock[SOURCES] += 1
    if c.host[target, LAST, IN_FLOWS] == 0:
        c.host_first_in[target] = link
    else:
        c.next_in[c.host_last_in[target] & np.uint32(len(c.arrival) - 1)] = link
    c.host_last_in[target] = link
    if c.pair[pair, LAST, FLOWS] == 0:
        c.pair_first[pair] = link
        for window in range(LAST + 1):
            c.host[source, window, OUT_FIRST] += 1
    else:
        c.next_pair[c.pair_last[pair] & np.uint32(len(c.arrival) - 1)] = link
    c.pair_last[pair] = link
    c.prev_contact[at] = c.contact_last[contact]
    c.contact_last[contact] = link
    if is_lookup:
        c.prev_lookup[at] = c.host_last_lookup[source]
        c.host_last_lookup[source] = link
        c.host_lookups[source] += 1
    c.host_refs[source] += 1
    c.host_refs[target] += 1

    for window in range(LAST + 1):
        of_source, of_target = c.host[source, window], c.host[target, window]
        of_pair, of_service = c.pair[pair, window], c.service[service, window]
        of_source[OUT_FLOWS] += 1
        of_source[OUT_FAILED] += failed
        of_target[IN_FLOWS] += 1
        of_target[IN_FAILED] += failed
        c.host_bytes[target, window] += payload
        if of_pair[FLOWS] == 0:
            of_source[OUT_HOSTS] += 1
            of_target[IN_HOSTS] += 1
        of_pair[FLOWS] += 1
        of_pair[FAILED] += failed
        if c.source_port[source_port, window] == 0:
            of_source[OUT_PORTS] += 1
        c.source_port[source_port, window] += 1
        if of_service[FLOWS] == 0:
            of_target[IN_PORTS] += 1
        of_service[FLOWS] += 1
        of_service[FAILED] += failed
        if c.contact[contact, window] == 0:
            of_pair[PORTS] += 1
            of_service[HOSTS] += 1
        c.contact[contact, window] += 1
        if c.answer[answers, window] == 0:
            of_pair[ANSWERS] += 1
        c.answer[answers, window] += 1
    c.clock[HEAD] += 1
    return at
