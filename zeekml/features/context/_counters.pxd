"""Counting in the rows of hosts, pairs and services, small or large."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from zeekml.features.context._keys cimport enlarge_host
from zeekml.features.context._context cimport (
    ANSWERS, FAILED, FLOWS, HELD_LOOKUPS, HOST_WINDOW, HOSTS, IN_FAILED, IN_FLOWS, IN_HELD,
    IN_HOSTS, IN_PORTS, LARGE_ROW, LAST, NONE, OUT_FAILED, OUT_FIRST, OUT_FLOWS, OUT_HELD,
    OUT_HOSTS, OUT_PORTS, PAIR_CONTACTS, PAIR_WINDOW, PORTS, SERVICE_WINDOW, SMALL_MOST, SMALL_ROW,
    Host, State,
)

ctypedef fused Count:
    uint8_t
    uint32_t


cdef inline int64_t counted(const State* c, int64_t slot, int entry) noexcept nogil:
    """A counter of a host."""
    cdef const Host* row = &c.host[slot]
    if row.large == NONE:
        return row.n[entry]
    return c.large_host[row.large].n[entry]


cdef inline void add_host(Count* n, int by, int failed, int host, int port) noexcept nogil:
    """Count at one side of a host: its entries have one order as source and as target."""
    n[OUT_FLOWS] += by
    n[OUT_FAILED] += failed
    n[OUT_HOSTS] += host
    n[OUT_PORTS] += port


cdef inline void count_source(
    State* c, int64_t slot, int window, int by, int failed, int host, int port, int first
) noexcept nogil:
    """Count a record of a host as source."""
    cdef Host* row = &c.host[slot]
    cdef int at = window * HOST_WINDOW
    if row.large == NONE:
        add_host(&row.n[at], by, failed, host, port)
        row.n[at + OUT_FIRST] += first
    else:
        add_host(&c.large_host[row.large].n[at], by, failed, host, port)
        c.large_host[row.large].n[at + OUT_FIRST] += first


cdef inline void count_target(
    State* c, int64_t slot, int window, int by, int failed, int64_t payload, int host, int port
) noexcept nogil:
    """Count a record to a host."""
    cdef Host* row = &c.host[slot]
    cdef int at = window * HOST_WINDOW + IN_FLOWS
    if row.large == NONE:
        add_host(&row.n[at], by, failed, host, port)
        row.bytes[window] += <uint32_t>payload
    else:
        add_host(&c.large_host[row.large].n[at], by, failed, host, port)
        c.large_host[row.large].bytes[window] += payload


cdef inline void count_lookup(State* c, int64_t slot, int by) noexcept nogil:
    cdef Host* row = &c.host[slot]
    if row.large == NONE:
        row.n[HELD_LOOKUPS] += by
    else:
        c.large_host[row.large].n[HELD_LOOKUPS] += by


cdef inline int64_t add_pair(
    Count* n, int window, int by, int failed, int port, int answer, int contact
) noexcept nogil:
    n += window * PAIR_WINDOW
    n[FLOWS] += by
    n[FAILED] += failed
    n[PORTS] += port
    n[ANSWERS] += answer
    n[PAIR_CONTACTS] += contact
    return n[FLOWS]


cdef inline int64_t count_pair(
    State* c, int state, int64_t at, int window, int by, int failed, int port, int answer,
    int contact,
) noexcept nogil:
    """Count a record of a pair, which is in this state at this row; its flows in the window."""
    if state == SMALL_ROW:
        return add_pair(&c.pair[at].n[0], window, by, failed, port, answer, contact)
    if state == LARGE_ROW:
        return add_pair(&c.large_pair[at].n[0], window, by, failed, port, answer, contact)
    return 0


cdef inline int64_t add_service(
    Count* n, int window, int by, int failed, int host
) noexcept nogil:
    n += window * SERVICE_WINDOW
    n[FLOWS] += by
    n[FAILED] += failed
    n[HOSTS] += host
    return n[FLOWS]


cdef inline int64_t count_service(
    State* c, int state, int64_t at, int window, int by, int failed, int host
) noexcept nogil:
    """Count a record of a service, as `count_pair` does."""
    if state == SMALL_ROW:
        return add_service(&c.service[at].n[0], window, by, failed, host)
    if state == LARGE_ROW:
        return add_service(&c.large_service[at].n[0], window, by, failed, host)
    return 0


cdef inline void make_room_in_host(State* c, int64_t slot, int64_t payload) noexcept nogil:
    """See to it that a host's row can count one more record."""
    cdef Host* row = &c.host[slot]
    if row.large == NONE and (
        row.n[OUT_HELD] == SMALL_MOST
        or row.n[IN_HELD] == SMALL_MOST
        or row.bytes[LAST] + payload > <int64_t>0xFFFFFFFF
    ):
        enlarge_host(c, slot)
