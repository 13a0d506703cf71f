"""Sliding windows: records entering and leaving the minute, ten minutes and hour."""

from libc.math cimport isnan, log1p, log2, rint
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from zeekml.features.context._context cimport (
    ANSWER_SIZES, ARRIVED, CONTINUED, EVICTED, FAILED_FLAG, HEAD, IN_HELD, LARGE_ROW, LAST,
    LOOKUP_FLAG, MISDATED_FLAG, NEWER_ANSWER, NEWER_CONTACT, NEWER_SOURCE_PORT, NONE, OUT_HELD,
    PAIR_HELD, PORTS_PER_PROTO, RECORD_OF, SAME_CONTACT, SERVICE_HELD, SMALL_MOST, SMALL_ROW,
    SOURCES, TAIL, UNKNOWN_PORT_INDEX, Host, Record, State, age_of, answer_of, arrival_of,
    give_slot, inside, is_nothing, is_set, pack, pack_nothing, payload_of, port_of, second_of,
    take_slot,
)
from zeekml.features.context._counters cimport (
    count_lookup, count_pair, count_service, count_source, count_target, counted, make_room_in_host,
)
from zeekml.features.context._keys cimport (
    Kind, cell_of, drop_host, host_of, joint_hash, known_cell, latest_of, pair_row,
    service_row, triple_hash,
)
from zeekml.features.context._table cimport erase, insert, number_at, set_cell, state_at
from zeekml.readers._stream_clock cimport NOW

cdef enum:
    TCP = 0
    UDP = 1
    DNS_PORT = 53

cdef struct Place:
    # where a record that entered is: in the ring, and the cells of its pair and service
    int64_t at
    int64_t pair
    int64_t service

cdef struct Flow:
    # a row of `flow_features.FlowColumns`, as far as the context needs it
    int64_t start
    int64_t end
    double orig_payload
    double resp_payload
    double orig_pkts
    double resp_pkts
    int64_t proto
    int64_t port
    uint32_t services
    bint failed
    uint64_t orig_key
    uint64_t resp_key


cdef inline int64_t never() noexcept nogil:
    """Age of a record that is not there."""
    return <int64_t>1 << 62


cdef inline int64_t length_of(int window) noexcept nogil:
    """Microseconds."""
    if window == 0:
        return <int64_t>60 * 1000000
    if window == 1:
        return <int64_t>600 * 1000000
    return <int64_t>3600 * 1000000


cdef inline void forget_pair(
    State* c, int64_t number, int64_t pair, uint64_t pair_hash
) noexcept nogil:
    """Free what the record held of its pair."""
    cdef Record* r = &c.ring[number & c.mask]
    cdef Record* next_record
    cdef bint is_new
    cdef int state = state_at(&c.pairs, pair), window
    cdef int64_t at = number_at(&c.pairs, pair), contact, answer, flows, age
    cdef uint64_t contact_hash, answer_hash
    if state == RECORD_OF:
        erase(&c.pairs, pair_hash, pair)
        return
    contact_hash = triple_hash(pair_hash, port_of(r))
    contact = known_cell(c, &c.contacts, Kind.CONTACT_KEY, contact_hash, r)
    if not is_set(r, NEWER_CONTACT):
        if state_at(&c.contacts, contact) != RECORD_OF:
            give_slot(&c.contact_slots, number_at(&c.contacts, contact))
        erase(&c.contacts, contact_hash, contact)
    elif not is_set(r, CONTINUED):
        c.contact[number_at(&c.contacts, contact)].count -= 1
    if not is_set(r, NEWER_ANSWER):
        answer_hash = triple_hash(pair_hash, answer_of(r))
        answer = known_cell(c, &c.answers, Kind.ANSWER_KEY, answer_hash, r)
        erase(&c.answers, answer_hash, answer)
    if state == SMALL_ROW:
        flows = c.pair[at].n[PAIR_HELD]
        c.pair[at].first = r.next_pair
    else:
        flows = c.large_pair[at].n[PAIR_HELD]
        c.large_pair[at].first = r.next_pair
    if flows == 0:
        give_slot(&c.pair_slots if state == SMALL_ROW else &c.large_pair_slots, at)
        erase(&c.pairs, pair_hash, pair)
        return
    # the pair's next record is now its first contact, in the windows that still hold it
    age = age_of(c, r.next_pair)
    next_record = &c.ring[r.next_pair & c.mask]
    is_new = is_set(next_record, SAME_CONTACT)
    next_record.flags &= <uint16_t>~SAME_CONTACT
    for window in range(LAST + 1):
        if inside(c, window, age):
            count_source(c, r.source, window, 0, 0, 0, 0, 1)
            count_pair(c, state, at, window, 0, 0, 0, 0, is_new)


cdef inline bint is_idle(const State* c, int64_t slot) noexcept nogil:
    return counted(c, slot, OUT_HELD) + counted(c, slot, IN_HELD) == 0


cdef inline void forget(State* c, int64_t number, int64_t pair, int64_t service) noexcept nogil:
    """Free what only the record held, once it has left the longest window."""
    cdef Record* r = &c.ring[number & c.mask]
    cdef int64_t source = r.source, target = r.target, port = port_of(r)
    cdef int64_t flows = 0, cell, at = number_at(&c.services, service)
    cdef int state = state_at(&c.services, service)
    cdef uint64_t key_hash
    c.port_flows[port] -= 1
    if counted(c, source, OUT_HELD) == 0:
        c.clock[SOURCES] -= 1
    if is_set(r, LOOKUP_FLAG):
        count_lookup(c, source, -1)
    c.host[target].first_in = r.next_in
    forget_pair(c, number, pair, joint_hash(c, source, target))
    if not is_set(r, NEWER_SOURCE_PORT):
        key_hash = joint_hash(c, source, port)
        cell = known_cell(c, &c.source_ports, Kind.SOURCE_PORT_KEY, key_hash, r)
        erase(&c.source_ports, key_hash, cell)
    if state == SMALL_ROW:
        flows = c.service[at].n[SERVICE_HELD]
        if flows == 0:
            give_slot(&c.service_slots, at)
    elif state == LARGE_ROW:
        flows = c.large_service[at].n[SERVICE_HELD]
        if flows == 0:
            give_slot(&c.large_service_slots, at)
    if flows == 0:
        erase(&c.services, joint_hash(c, target, port), service)
    if is_idle(c, source):
        drop_host(c, source)
    if target != source and is_idle(c, target):
        drop_host(c, target)


cdef inline void leave(State* c, int window, int64_t number) noexcept nogil:
    """Take a record, the oldest of a window, off its counters; forget it after the longest."""
    cdef Record* r = &c.ring[number & c.mask]
    cdef uint64_t pair_hash = joint_hash(c, r.source, r.target)
    cdef uint64_t service_hash = joint_hash(c, r.target, port_of(r))
    cdef int64_t pair = known_cell(c, &c.pairs, Kind.PAIR_KEY, pair_hash, r)
    cdef int64_t service = known_cell(c, &c.services, Kind.SERVICE_KEY, service_hash, r)
    cdef int failed = -is_set(r, FAILED_FLAG)
    cdef int last_contact = -(not is_set(r, NEWER_CONTACT))
    cdef int last_answer = -(not is_set(r, NEWER_ANSWER))
    cdef int contact = -(not is_set(r, SAME_CONTACT))
    cdef int last_source_port = -(not is_set(r, NEWER_SOURCE_PORT))
    cdef int first = -1, last_of_pair, last_of_service
    cdef int state = state_at(&c.pairs, pair)
    cdef int64_t at = number_at(&c.pairs, pair)
    c.clock[TAIL + window] = number + 1
    if state == SMALL_ROW:
        first = -(c.pair[at].first == <uint32_t>number)
    elif state == LARGE_ROW:
        first = -(c.large_pair[at].first == <uint32_t>number)
    last_of_pair = -(
        count_pair(c, state, at, window, -1, failed, last_contact, last_answer, contact) == 0
    )
    state, at = state_at(&c.services, service), number_at(&c.services, service)
    last_of_service = -(
        count_service(c, state, at, window, -1, failed, last_contact) == 0
    )
    count_source(c, r.source, window, -1, failed, last_of_pair, last_source_port, first)
    count_target(
        c, r.target, window, -1, failed, -payload_of(r), last_of_pair, last_of_service
    )
    if window == LAST:
        forget(c, number, pair, service)


cdef inline void expire(State* c, int64_t room_from) noexcept nogil:
    """Let the records leave that the clock has passed, shortest window first.

    Records with a number below `room_from` leave all windows, whatever their age, and count as
    evicted.
    """
    cdef int window
    cdef int64_t limit, number
    for window in range(LAST + 1):
        limit = c.clock[NOW] - length_of(window)
        number = c.clock[TAIL + window]
        while number < c.clock[HEAD]:
            if arrival_of(&c.ring[number & c.mask], c.clock[ARRIVED]) > limit:
                if number >= room_from:
                    break
                c.clock[EVICTED] += window == LAST
            if is_nothing(&c.ring[number & c.mask]):
                c.clock[TAIL + window] = number + 1
            else:
                leave(c, window, number)
            number += 1


cdef inline int64_t answer_size(double payload) noexcept nogil:
    """Answers count as alike when they differ by less than about a fifth."""
    if isnan(payload):
        return 0
    return min(<int64_t>(1.0 + rint(log2(1.0 + payload) * 4.0)), ANSWER_SIZES - 1)


cdef inline (int64_t, int64_t) enter_pair(
    State* c, int64_t at, int64_t pair, uint64_t pair_hash
) noexcept nogil:
    """Put the record at `at` behind the others of its pair, which is in a cell.

    Returns how long ago the latest record of the contact came, and of the same answer size.
    """
    cdef Record* r = &c.ring[at]
    cdef uint32_t link = <uint32_t>c.clock[HEAD]
    cdef int state = state_at(&c.pairs, pair)
    cdef int64_t row = number_at(&c.pairs, pair), contact, answer, latest, place
    cdef int64_t contact_age = never(), answer_age = never()
    cdef uint64_t contact_hash = triple_hash(pair_hash, port_of(r))
    cdef uint64_t answer_hash = triple_hash(pair_hash, answer_of(r))
    cdef int64_t second = second_of(c, r), before
    if state == RECORD_OF or (state == SMALL_ROW and c.pair[row].n[PAIR_HELD] == SMALL_MOST):
        pair_row(c, pair)
        state, row = state_at(&c.pairs, pair), number_at(&c.pairs, pair)
    if state == SMALL_ROW:
        before = c.pair[row].latest & c.mask
        c.pair[row].latest = link
    else:
        before = c.large_pair[row].latest & c.mask
        c.large_pair[row].latest = link
    c.ring[before].next_pair = link
    if second_of(c, &c.ring[before]) == second:
        r.flags |= SAME_CONTACT

    contact = cell_of(c, &c.contacts, Kind.CONTACT_KEY, contact_hash, r)
    if contact == NONE:
        insert(&c.contacts, contact_hash, RECORD_OF, at)
    else:
        latest = latest_of(c, &c.contacts, Kind.CONTACT_KEY, contact)
        contact_age = age_of(c, latest)
        c.ring[latest].flags |= NEWER_CONTACT
        if state_at(&c.contacts, contact) == RECORD_OF:
            place = take_slot(&c.contact_slots)
            c.contact[place].count = 1
            set_cell(&c.contacts, contact, SMALL_ROW, place)
        place = number_at(&c.contacts, contact)
        c.contact[place].latest = link
        if second_of(c, &c.ring[latest]) == second:
            c.ring[latest].flags |= CONTINUED
            r.prev_contact = c.ring[latest].prev_contact
        else:
            c.contact[place].count += 1
            r.prev_contact = <uint32_t>(c.clock[HEAD] - contact_age)
    answer = cell_of(c, &c.answers, Kind.ANSWER_KEY, answer_hash, r)
    if answer == NONE:
        insert(&c.answers, answer_hash, RECORD_OF, at)
    else:
        latest = latest_of(c, &c.answers, Kind.ANSWER_KEY, answer)
        answer_age = age_of(c, latest)
        c.ring[latest].flags |= NEWER_ANSWER
        set_cell(&c.answers, answer, RECORD_OF, at)
    return contact_age, answer_age


cdef inline int64_t enter_source_port(State* c, int64_t at) noexcept nogil:
    """Returns how long ago the source's latest record to the port came."""
    cdef Record* r = &c.ring[at]
    cdef uint64_t key_hash = joint_hash(c, r.source, port_of(r))
    cdef int64_t cell = cell_of(c, &c.source_ports, Kind.SOURCE_PORT_KEY, key_hash, r)
    cdef int64_t latest
    if cell == NONE:
        insert(&c.source_ports, key_hash, RECORD_OF, at)
        return never()
    latest = number_at(&c.source_ports, cell)
    c.ring[latest].flags |= NEWER_SOURCE_PORT
    set_cell(&c.source_ports, cell, RECORD_OF, at)
    return age_of(c, latest)


cdef inline void link_hosts(State* c, int64_t at) noexcept nogil:
    """Put the record behind the others to its target, and behind the source's lookups."""
    cdef Record* r = &c.ring[at]
    cdef uint32_t link = <uint32_t>c.clock[HEAD]
    cdef Host* source = &c.host[r.source]
    cdef Host* target = &c.host[r.target]
    if counted(c, r.source, OUT_HELD) == 0:
        c.clock[SOURCES] += 1
    if counted(c, r.target, IN_HELD) == 0:
        target.first_in = link
    else:
        c.ring[target.last_in & c.mask].next_in = link
    target.last_in = link
    if is_set(r, LOOKUP_FLAG):
        r.prev_lookup = source.last_lookup
        source.last_lookup = link
        count_lookup(c, r.source, 1)


cdef inline int64_t port_index(int64_t proto, int64_t port) noexcept nogil:
    if 0 <= port < PORTS_PER_PROTO:
        return port + proto * PORTS_PER_PROTO
    return UNKNOWN_PORT_INDEX


cdef inline double of_packet(double payload, double packets) noexcept nogil:
    return payload / packets if packets > 1.0 else payload


cdef inline void pass_by(State* c) noexcept nogil:
    """Take in a flow that is no contact: which records are held is told by the flows that came."""
    cdef Record* r = &c.ring[c.clock[HEAD] & c.mask]
    r.arrival = <uint32_t>c.clock[NOW]
    pack_nothing(r)
    c.clock[ARRIVED] = c.clock[NOW]
    c.clock[HEAD] += 1


cdef inline Place enter(State* c, const Flow* flow) noexcept nogil:
    """Take a flow in; where it is now."""
    cdef Place place
    cdef int64_t at = c.clock[HEAD] & c.mask, now = c.clock[NOW]
    cdef int64_t port = port_index(flow.proto, flow.port)
    cdef Record* r = &c.ring[at]
    cdef bint is_lookup = (flow.services & 1) != 0 or (
        flow.port == DNS_PORT and (flow.proto == TCP or flow.proto == UDP)
    )
    cdef double request = flow.orig_payload, reply = flow.resp_payload
    cdef int failed = flow.failed, window, host, contact, answer, out_port, in_port
    cdef int first, pair_state, service_state
    cdef int64_t payload = 0, source, target, behind, pair, service, pair_at, service_at
    cdef int64_t pair_age = never(), contact_age = never(), answer_age = never()
    cdef int64_t service_age = never(), source_port_age
    cdef uint64_t pair_hash, service_hash
    cdef bint misdated
    if not isnan(flow.orig_payload):
        payload = <int64_t>min(flow.orig_payload, <double>(<int64_t>1 << 40))
    source, target = host_of(c, flow.orig_key), host_of(c, flow.resp_key)
    behind = now - flow.end
    misdated = behind < 0 or behind > length_of(LAST)

    r.arrival = <uint32_t>now
    if is_lookup:
        # one flow or many for the same questions: that depends on who asks, and on the sensor
        request = of_packet(request, flow.orig_pkts)
        reply = of_packet(reply, flow.resp_pkts)
    r.orig_log = <float>log1p(request)
    r.resp_log = <float>log1p(reply)
    r.source, r.target = <uint32_t>source, <uint32_t>target
    r.flags = (
        answer_size(reply)
        + failed * FAILED_FLAG
        + is_lookup * LOOKUP_FLAG
        + misdated * MISDATED_FLAG
    )
    pack(r, 0 if misdated else now - flow.start, payload, port)
    c.clock[ARRIVED] = now
    c.port_flows[port] += 1
    make_room_in_host(c, source, 0)
    make_room_in_host(c, target, payload)
    link_hosts(c, at)

    pair_hash = joint_hash(c, source, target)
    pair = cell_of(c, &c.pairs, Kind.PAIR_KEY, pair_hash, r)
    first = pair == NONE
    if first:
        pair = insert(&c.pairs, pair_hash, RECORD_OF, at)
    else:
        pair_age = age_of(c, latest_of(c, &c.pairs, Kind.PAIR_KEY, pair))
        contact_age, answer_age = enter_pair(c, at, pair, pair_hash)
    source_port_age = enter_source_port(c, at)
    service_hash = joint_hash(c, target, port)
    service = cell_of(c, &c.services, Kind.SERVICE_KEY, service_hash, r)
    if service == NONE:
        service = insert(&c.services, service_hash, RECORD_OF, at)
    else:
        service_age = age_of(c, latest_of(c, &c.services, Kind.SERVICE_KEY, service))
        service_state, service_at = state_at(&c.services, service), number_at(&c.services, service)
        if service_state == RECORD_OF or (
            service_state == SMALL_ROW and c.service[service_at].n[SERVICE_HELD] == SMALL_MOST
        ):
            service_row(c, service)

    pair_state, pair_at = state_at(&c.pairs, pair), number_at(&c.pairs, pair)
    service_state, service_at = state_at(&c.services, service), number_at(&c.services, service)
    if service_state == SMALL_ROW:
        c.service[service_at].latest = <uint32_t>c.clock[HEAD]
    elif service_state == LARGE_ROW:
        c.large_service[service_at].latest = <uint32_t>c.clock[HEAD]
    for window in range(LAST + 1):
        host = not inside(c, window, pair_age)
        contact = not inside(c, window, contact_age)
        answer = not inside(c, window, answer_age)
        out_port = not inside(c, window, source_port_age)
        in_port = not inside(c, window, service_age)
        count_source(c, source, window, 1, failed, host, out_port, first)
        count_target(c, target, window, 1, failed, payload, host, in_port)
        count_pair(
            c, pair_state, pair_at, window, 1, failed, contact, answer,
            not is_set(r, SAME_CONTACT),
        )
        count_service(c, service_state, service_at, window, 1, failed, contact)
    c.clock[HEAD] += 1
    place.at, place.pair, place.service = at, pair, service
    return place
