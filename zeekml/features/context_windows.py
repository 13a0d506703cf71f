"""Records entering and leaving the context windows (compiled).

These functions are put into their caller in one piece: handing the whole state over at each call
would cost as much as what they do.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from zeekml.features.addresses import mix
from zeekml.features.columns import TCP, UDP, FlowColumns
from zeekml.features.context_state import (
    ANSWERS,
    EVICTED,
    FAILED,
    FIRST_IN,
    FIRST_OF_PAIR,
    FLOWS,
    HEAD,
    HELD_LOOKUPS,
    HOST_WINDOW,
    HOSTS,
    IN_FAILED,
    IN_FLOWS,
    IN_HOSTS,
    IN_PORTS,
    LAST,
    LAST_CONTACT,
    LAST_IN,
    LAST_LOOKUP,
    LAST_OF_PAIR,
    LENGTHS,
    OUT_FAILED,
    OUT_FIRST,
    OUT_FLOWS,
    OUT_HOSTS,
    OUT_PORTS,
    PAIR_WINDOW,
    PORTS,
    PORTS_PER_PROTO,
    REFS,
    SERVICE_WINDOW,
    SOURCES,
    TAIL,
    UNKNOWN_PORT_INDEX,
    Context,
)
from zeekml.features.tables import find_or_add, remove
from zeekml.flows.stream_clock import NOW
from zeekml.jit import njit

_DNS_PORT: Final = 53
_BYTES_CAP: Final = 1 << 40  # one record's share of a byte sum; sums stay far inside an int64


@njit(cache=True, inline="always")
def _leave(c: Context, window: int, number: int) -> None:
    """Take a record, the oldest of a window, off the window's counters."""
    r = c.ring[number & (len(c.ring) - 1)]
    source, target, pair, service = r.source, r.target, r.pair, r.service
    failed = r.failed
    out = window * HOST_WINDOW
    of_pair = window * PAIR_WINDOW
    of_service = window * SERVICE_WINDOW
    c.host[source, out + OUT_FLOWS] -= 1
    c.host[source, out + OUT_FAILED] -= failed
    c.host[target, out + IN_FLOWS] -= 1
    c.host[target, out + IN_FAILED] -= failed
    c.host_bytes[target, window] -= r.payload
    c.pair[pair, of_pair + FLOWS] -= 1
    c.pair[pair, of_pair + FAILED] -= failed
    if c.pair[pair, of_pair + FLOWS] == 0:
        c.host[source, out + OUT_HOSTS] -= 1
        c.host[target, out + IN_HOSTS] -= 1
    if c.pair[pair, FIRST_OF_PAIR] == np.uint32(number):
        c.host[source, out + OUT_FIRST] -= 1
    c.source_port[r.source_port, window] -= 1
    if c.source_port[r.source_port, window] == 0:
        c.host[source, out + OUT_PORTS] -= 1
    c.service[service, of_service + FLOWS] -= 1
    c.service[service, of_service + FAILED] -= failed
    if c.service[service, of_service + FLOWS] == 0:
        c.host[target, out + IN_PORTS] -= 1
    c.contact[r.contact, window] -= 1
    if c.contact[r.contact, window] == 0:
        c.pair[pair, of_pair + PORTS] -= 1
        c.service[service, of_service + HOSTS] -= 1
    c.answer[r.answer, window] -= 1
    if c.answer[r.answer, window] == 0:
        c.pair[pair, of_pair + ANSWERS] -= 1


@njit(cache=True, inline="always")
def _forget(c: Context, number: int) -> None:
    """Free what only the record held, once it has left the longest window."""
    r = c.ring[number & (len(c.ring) - 1)]
    source, target, pair = r.source, r.target, r.pair
    c.port_flows[r.port] -= 1
    if c.host[source, LAST * HOST_WINDOW + OUT_FLOWS] == 0:
        c.clock[SOURCES] -= 1
    c.host[source, HELD_LOOKUPS] -= r.lookup
    c.host[target, FIRST_IN] = r.next_in
    if c.pair[pair, LAST * PAIR_WINDOW + FLOWS] == 0:
        remove(c.pairs, pair)
    else:
        # the pair's next record is now its first contact, in the windows that still hold it
        first = r.next_pair
        c.pair[pair, FIRST_OF_PAIR] = first
        for window in range(LAST + 1):
            behind = np.uint32(first - np.uint32(c.clock[TAIL + window]))
            if behind < np.uint32(c.clock[HEAD] - c.clock[TAIL + window]):
                c.host[source, window * HOST_WINDOW + OUT_FIRST] += 1
    if c.source_port[r.source_port, LAST] == 0:
        remove(c.source_ports, r.source_port)
    if c.service[r.service, LAST * SERVICE_WINDOW + FLOWS] == 0:
        remove(c.services, r.service)
    if c.contact[r.contact, LAST] == 0:
        remove(c.contacts, r.contact)
    if c.answer[r.answer, LAST] == 0:
        remove(c.answers, r.answer)
    c.host[source, REFS] -= 1
    if c.host[source, REFS] == 0:
        remove(c.hosts, source)
    c.host[target, REFS] -= 1
    if c.host[target, REFS] == 0:
        remove(c.hosts, target)


@njit(cache=True, inline="always")
def expire(c: Context, room_from: int) -> None:
    """Let the records leave that the clock has passed, shortest window first.

    Records with a number below `room_from` leave all windows, whatever their age, and are counted
    as evicted.
    """
    clock = c.clock
    mask = len(c.ring) - 1
    for window in range(LAST):
        limit = clock[NOW] - LENGTHS[window]
        number = clock[TAIL + window]
        while number < clock[HEAD]:
            if number >= room_from and c.ring[number & mask].arrival > limit:
                break
            clock[TAIL + window] = number + 1
            _leave(c, window, number)
            number += 1
    limit = clock[NOW] - LENGTHS[LAST]
    number = clock[TAIL + LAST]
    while number < clock[HEAD]:
        if c.ring[number & mask].arrival > limit:
            if number >= room_from:
                break
            clock[EVICTED] += 1
        clock[TAIL + LAST] = number + 1
        _leave(c, LAST, number)
        _forget(c, number)
        number += 1


@njit(cache=True, inline="always")
def enter(c: Context, columns: FlowColumns, i: int) -> int:
    """Take row `i` in; return its place in the ring."""
    number = c.clock[HEAD]
    mask = np.uint32(len(c.ring) - 1)
    at = number & (len(c.ring) - 1)
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
    failed = np.uint32(columns.failed[i])
    is_lookup = np.uint32(
        (columns.services[i] & np.uint32(1)) != 0 or (port == _DNS_PORT and proto in (TCP, UDP))
    )
    payload = np.int64(0)
    if not math.isnan(columns.orig_payload[i]):
        payload = np.int64(min(columns.orig_payload[i], np.float64(_BYTES_CAP)))

    r = c.ring[at]
    r.start = columns.start[i]
    r.orig_log = math.log1p(columns.orig_payload[i])
    r.resp_log = math.log1p(resp_payload)
    r.prev_contact = c.contact[contact, LAST_CONTACT]
    r.failed = failed
    r.lookup = is_lookup
    behind = c.clock[NOW] - columns.end[i]
    r.misdated = behind < 0 or behind > LENGTHS[LAST]
    r.arrival = c.clock[NOW]
    r.payload = payload
    r.port = port_index
    r.source, r.target, r.pair = source, target, pair
    r.source_port, r.service, r.contact, r.answer = source_port, service, contact, answers

    c.port_flows[port_index] += 1
    if c.host[source, LAST * HOST_WINDOW + OUT_FLOWS] == 0:
        c.clock[SOURCES] += 1
    if c.host[target, LAST * HOST_WINDOW + IN_FLOWS] == 0:
        c.host[target, FIRST_IN] = link
    else:
        c.ring[c.host[target, LAST_IN] & mask].next_in = link
    c.host[target, LAST_IN] = link
    if c.pair[pair, LAST * PAIR_WINDOW + FLOWS] == 0:
        c.pair[pair, FIRST_OF_PAIR] = link
        for window in range(LAST + 1):
            c.host[source, window * HOST_WINDOW + OUT_FIRST] += 1
    else:
        c.ring[c.pair[pair, LAST_OF_PAIR] & mask].next_pair = link
    c.pair[pair, LAST_OF_PAIR] = link
    c.contact[contact, LAST_CONTACT] = link
    if is_lookup:
        r.prev_lookup = c.host[source, LAST_LOOKUP]
        c.host[source, LAST_LOOKUP] = link
        c.host[source, HELD_LOOKUPS] += 1
    c.host[source, REFS] += 1
    c.host[target, REFS] += 1

    for window in range(LAST + 1):
        out = window * HOST_WINDOW
        of_pair = window * PAIR_WINDOW
        of_service = window * SERVICE_WINDOW
        c.host[source, out + OUT_FLOWS] += 1
        c.host[source, out + OUT_FAILED] += failed
        c.host[target, out + IN_FLOWS] += 1
        c.host[target, out + IN_FAILED] += failed
        c.host_bytes[target, window] += payload
        if c.pair[pair, of_pair + FLOWS] == 0:
            c.host[source, out + OUT_HOSTS] += 1
            c.host[target, out + IN_HOSTS] += 1
        c.pair[pair, of_pair + FLOWS] += 1
        c.pair[pair, of_pair + FAILED] += failed
        if c.source_port[source_port, window] == 0:
            c.host[source, out + OUT_PORTS] += 1
        c.source_port[source_port, window] += 1
        if c.service[service, of_service + FLOWS] == 0:
            c.host[target, out + IN_PORTS] += 1
        c.service[service, of_service + FLOWS] += 1
        c.service[service, of_service + FAILED] += failed
        if c.contact[contact, window] == 0:
            c.pair[pair, of_pair + PORTS] += 1
            c.service[service, of_service + HOSTS] += 1
        c.contact[contact, window] += 1
        if c.answer[answers, window] == 0:
            c.pair[pair, of_pair + ANSWERS] += 1
        c.answer[answers, window] += 1
    c.clock[HEAD] += 1
    return at
