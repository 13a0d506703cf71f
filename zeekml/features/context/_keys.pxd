"""Where the keys of a record are in the context's tables, and how many that is counted.

A key is what its latest record says: the tables hold no keys. So a cell that may be the right one
is compared by that record, unless it is known that the key is there and no other cell is like it.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from zeekml.features._hashes cimport mix
from zeekml.features.context._context cimport (
    FAILED_FLAG, HEAD, HOST_COUNTS, LAST, NONE, RECORD_OF, SEED, SERVICE_COUNTS, SERVICE_WINDOW,
    SMALL_MOST, SMALL_ROW, LANES, LARGE_ROW, PAIR_COUNTS, PAIR_WINDOW, ANSWERS, FAILED, FLOWS,
    HOSTS, PORTS, Host, LargeHost, LargePair, LargeService, Pair, Record, Service, State, Table,
    PAIR_CONTACTS, age_of, answer_of, give_slot, inside, is_set, port_of, take_slot,
)
from zeekml.features.context._table cimport (
    Search, erase, insert, is_last, next_alike, number_at, search, set_cell, state_at,
)

cdef enum Kind:
    # in the order of `layout.TABLES`
    HOST_KEY
    PAIR_KEY
    SERVICE_KEY
    CONTACT_KEY
    SOURCE_PORT_KEY
    ANSWER_KEY


cdef inline uint64_t host_hash(const State* c, uint64_t key) noexcept nogil:
    return mix(key ^ <uint64_t>c.clock[SEED])


cdef inline uint64_t joint_hash(const State* c, int64_t first, int64_t second) noexcept nogil:
    """Of two numbers of 32 bits."""
    return mix((<uint64_t>first << 32 | <uint64_t>second) ^ <uint64_t>c.clock[SEED])


cdef inline uint64_t triple_hash(uint64_t pair_hash, int64_t number) noexcept nogil:
    """Of a pair and another number."""
    return mix(pair_hash ^ mix(<uint64_t>number + <uint64_t>0x9E3779B97F4A7C15))


cdef inline int64_t latest_of(
    const State* c, const Table* table, Kind kind, int64_t at
) noexcept nogil:
    """Place in the ring of the latest record of the key in a cell of its kind's table."""
    cdef int state = state_at(table, at)
    cdef int64_t number = number_at(table, at)
    if state != RECORD_OF:
        if kind == PAIR_KEY:
            if state == SMALL_ROW:
                number = c.pair[number].latest
            else:
                number = c.large_pair[number].latest
        elif kind == SERVICE_KEY:
            if state == SMALL_ROW:
                number = c.service[number].latest
            else:
                number = c.large_service[number].latest
        elif kind == CONTACT_KEY:
            number = c.contact[number].latest
    return number & c.mask


cdef inline bint is_key(
    const State* c, const Table* table, Kind kind, int64_t at, const Record* wanted
) noexcept nogil:
    """Whether the key in a cell is that of a record."""
    cdef const Record* r = &c.ring[latest_of(c, table, kind, at)]
    if kind != SERVICE_KEY and r.source != wanted.source:
        return False
    if kind != SOURCE_PORT_KEY and r.target != wanted.target:
        return False
    if kind == ANSWER_KEY:
        return answer_of(r) == answer_of(wanted)
    return kind == PAIR_KEY or port_of(r) == port_of(wanted)


cdef inline int64_t cell_of(
    const State* c, const Table* table, Kind kind, uint64_t key_hash, const Record* r
) noexcept nogil:
    """The cell of a record's key, or NONE."""
    cdef Search s = search(table, key_hash)
    cdef int64_t at = next_alike(&s)
    while at != NONE and not is_key(c, table, kind, at, r):
        at = next_alike(&s)
    return at


cdef inline int64_t known_cell(
    const State* c, const Table* table, Kind kind, uint64_t key_hash, const Record* r
) noexcept nogil:
    """The cell of a key of a record that is held, so the key is there."""
    cdef Search s = search(table, key_hash)
    cdef int64_t at = next_alike(&s)
    # not worth comparing if it is the only one that may be the key's
    while not is_last(&s) and not is_key(c, table, kind, at, r):
        at = next_alike(&s)
    return at


cdef inline int64_t known_host(const State* c, uint64_t key) noexcept nogil:
    """Slot of a host, or NONE."""
    cdef Search s = search(&c.hosts, host_hash(c, key))
    cdef int64_t at = next_alike(&s), slot
    while at != NONE:
        slot = number_at(&c.hosts, at)
        if c.host[slot].key == key:
            return slot
        at = next_alike(&s)
    return NONE


cdef inline int64_t host_of(State* c, uint64_t key) noexcept nogil:
    """Slot of a host, newly taken if need be."""
    cdef int64_t slot = known_host(c, key)
    cdef Host* row
    cdef int i
    if slot != NONE:
        return slot
    slot = take_slot(&c.host_slots)
    row = &c.host[slot]
    row.key = key
    row.large = NONE
    for i in range(HOST_COUNTS):
        row.n[i] = 0
    for i in range(LAST + 1):
        row.bytes[i] = 0
    insert(&c.hosts, host_hash(c, key), RECORD_OF, slot)
    return slot


cdef inline void drop_host(State* c, int64_t slot) noexcept nogil:
    """Forget a host that no record names any more."""
    cdef Host* row = &c.host[slot]
    cdef uint64_t key_hash = host_hash(c, row.key)
    cdef Search s = search(&c.hosts, key_hash)
    cdef int64_t at = next_alike(&s)
    while number_at(&c.hosts, at) != slot:
        at = next_alike(&s)
    erase(&c.hosts, key_hash, at)
    if row.large != NONE:
        give_slot(&c.large_host_slots, row.large)
    give_slot(&c.host_slots, slot)


cdef inline void enlarge_host(State* c, int64_t slot) noexcept nogil:
    """Count a host in a large row from now on."""
    cdef Host* row = &c.host[slot]
    cdef int32_t large = take_slot(&c.large_host_slots)
    cdef LargeHost* to = &c.large_host[large]
    cdef int i
    for i in range(HOST_COUNTS):
        to.n[i] = row.n[i]
    for i in range(LAST + 1):
        to.bytes[i] = row.bytes[i]
    row.large = large


cdef inline void pair_row(State* c, int64_t at) noexcept nogil:
    """Give the pair in a cell, which has one record or a full row, the next larger row."""
    cdef int64_t number = number_at(&c.pairs, at), age, place
    cdef Record* r
    cdef Pair* row
    cdef LargePair* large
    cdef uint64_t pair_hash
    cdef int window, here, n
    if state_at(&c.pairs, at) == RECORD_OF:
        r = &c.ring[number]
        age = age_of(c, number)
        place = take_slot(&c.pair_slots)
        row = &c.pair[place]
        row.first = row.latest = <uint32_t>(c.clock[HEAD] - age)
        for window in range(LAST + 1):
            here = inside(c, window, age)
            n = window * PAIR_WINDOW
            row.n[n + FLOWS] = here
            row.n[n + FAILED] = here * is_set(r, FAILED_FLAG)
            row.n[n + PORTS] = here
            row.n[n + ANSWERS] = here
            row.n[n + PAIR_CONTACTS] = here
        set_cell(&c.pairs, at, SMALL_ROW, place)
        pair_hash = joint_hash(c, r.source, r.target)
        insert(&c.contacts, triple_hash(pair_hash, port_of(r)), RECORD_OF, number)
        insert(&c.answers, triple_hash(pair_hash, answer_of(r)), RECORD_OF, number)
    else:
        row = &c.pair[number]
        place = take_slot(&c.large_pair_slots)
        large = &c.large_pair[place]
        large.latest = row.latest
        large.first = row.first
        for n in range(PAIR_COUNTS):
            large.n[n] = row.n[n]
        give_slot(&c.pair_slots, number)
        set_cell(&c.pairs, at, LARGE_ROW, place)


cdef inline void service_row(State* c, int64_t at) noexcept nogil:
    """Give the service in a cell, which has one record or a full row, the next larger row."""
    cdef int64_t number = number_at(&c.services, at), age, place
    cdef Record* r
    cdef Service* row
    cdef LargeService* large
    cdef int window, here, n
    if state_at(&c.services, at) == RECORD_OF:
        r = &c.ring[number]
        age = age_of(c, number)
        place = take_slot(&c.service_slots)
        row = &c.service[place]
        row.latest = <uint32_t>(c.clock[HEAD] - age)
        for window in range(LAST + 1):
            here = inside(c, window, age)
            n = window * SERVICE_WINDOW
            row.n[n + FLOWS] = here
            row.n[n + FAILED] = here * is_set(r, FAILED_FLAG)
            row.n[n + HOSTS] = here
        set_cell(&c.services, at, SMALL_ROW, place)
    else:
        row = &c.service[number]
        place = take_slot(&c.large_service_slots)
        large = &c.large_service[place]
        large.latest = row.latest
        for n in range(SERVICE_COUNTS):
            large.n[n] = row.n[n]
        give_slot(&c.service_slots, number)
        set_cell(&c.services, at, LARGE_ROW, place)


cdef inline uint64_t key_hash_of(const State* c, Kind kind, const Record* r) noexcept nogil:
    """Hash of a record's key."""
    cdef uint64_t pair_hash
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


cdef inline void refill(State* c, Kind kind, const Table* old, Table* new) noexcept nogil:
    """Put all keys of a table into a larger one."""
    cdef int64_t at, number
    cdef uint64_t key_hash
    cdef int state
    for at in range(old.length):
        state = state_at(old, at)
        if at % LANES == 0 or state == 0:
            continue
        number = number_at(old, at)
        if kind == HOST_KEY:
            key_hash = host_hash(c, c.host[number].key)
        else:
            key_hash = key_hash_of(c, kind, &c.ring[latest_of(c, old, kind, at)])
        insert(new, key_hash, state, number)
