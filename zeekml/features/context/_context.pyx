"""The context engine's work on its arrays: taking flows in, and writing what their windows hold."""

from libc.math cimport NAN, log1p
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from zeekml.features.context._counters cimport Count, counted
from zeekml.features.context._keys cimport Kind, key_hash_of, known_cell, refill
from zeekml.features.context._series cimport look_back, write_series
from zeekml.features.context._table cimport number_at, state_at
from zeekml.features.context._windows cimport Flow, Place, enter, expire, length_of, pass_by
from zeekml.readers._stream_clock cimport BEGAN, NOW, SECOND, tick

from zeekml.features import feature_schema

cdef enum:
    # gathered counters of one record
    OF_SOURCE = 0
    OF_TARGET = HOST_COUNTS
    OF_BYTES = 2 * HOST_COUNTS
    OF_PAIR = OF_BYTES + WINDOW_COUNT
    OF_SERVICE = OF_PAIR + PAIR_COUNTS
    GATHERED = OF_SERVICE + SERVICE_COUNTS

if feature_schema.WINDOWS != tuple(length_of(w) // SECOND for w in range(WINDOW_COUNT)):
    raise ImportError("the windows of the schema are not those that were compiled")
if (feature_schema.MOST_COUNTED, feature_schema.REGULAR_FROM) != (MOST_COUNTED, REGULAR_FROM):
    raise ImportError("the counts of the schema do not end where those that were compiled do")
if max(feature_schema.CONTACTS, feature_schema.LOOKUPS) > MOST_SERIES:
    raise ImportError("the schema's series are longer than those that were compiled")

cdef int FLOW_WIDTH = feature_schema.FLOW_WIDTH
cdef int CONTEXT_WIDTH = feature_schema.EVENT_START - FLOW_WIDTH
cdef int CONTACTS = feature_schema.CONTACTS
cdef int LOOKUPS = feature_schema.LOOKUPS

# what a row of each array takes, which `layout` compares with its dtypes
SIZES = {
    "RECORD": sizeof(Record),
    "HOST": sizeof(Host),
    "LARGE_HOST": sizeof(LargeHost),
    "PAIR": sizeof(Pair),
    "LARGE_PAIR": sizeof(LargePair),
    "SERVICE": sizeof(Service),
    "LARGE_SERVICE": sizeof(LargeService),
    "CONTACT": sizeof(Contact),
}


cdef struct Columns:
    # of a batch, as far as the context needs them
    const int64_t* start
    const int64_t* end
    const double* orig_payload
    const double* resp_payload
    const double* orig_pkts
    const double* resp_pkts
    const int8_t* proto
    const int32_t* port
    const uint32_t* services
    const uint8_t* failed
    const uint8_t* is_contact
    const uint64_t* orig_key
    const uint64_t* resp_key


cdef void* memory_of(array) except? NULL:
    """Where an array's memory starts; NULL if it is empty."""
    cdef const uint8_t[::1] view
    if array.nbytes == 0:
        return NULL
    view = array.view("u1") if array.ndim == 1 else array.reshape(-1).view("u1")
    return <void*>&view[0]


cdef Columns columns_of(flows, int64_t begin, int64_t end) except *:
    """Where the columns are, of which rows begin … end−1 are there."""
    cdef Columns columns
    cdef const int64_t[::1] starts = flows.start, ends = flows.end
    cdef const double[::1] orig_payload = flows.orig_payload, resp_payload = flows.resp_payload
    cdef const double[::1] orig_pkts = flows.orig_pkts, resp_pkts = flows.resp_pkts
    cdef const int8_t[::1] proto = flows.proto
    cdef const int32_t[::1] port = flows.resp_port
    cdef const uint32_t[::1] services = flows.services
    cdef const uint8_t[::1] failed = flows.failed.view("u1")
    cdef const uint8_t[::1] is_contact = flows.is_contact.view("u1")
    cdef const uint64_t[::1] orig_key = flows.orig_key, resp_key = flows.resp_key
    if not 0 <= begin < end <= min(map(len, flows)):
        raise ValueError(f"there are no rows {begin} to {end}")
    columns.start, columns.end = &starts[0], &ends[0]
    columns.orig_payload, columns.resp_payload = &orig_payload[0], &resp_payload[0]
    columns.orig_pkts, columns.resp_pkts = &orig_pkts[0], &resp_pkts[0]
    columns.proto, columns.port = &proto[0], &port[0]
    columns.services, columns.failed = &services[0], &failed[0]
    columns.is_contact = &is_contact[0]
    columns.orig_key, columns.resp_key = &orig_key[0], &resp_key[0]
    return columns


cdef Table table_of(table) except *:
    cdef Table view
    view.cells = <uint32_t*>memory_of(table.cells)
    view.length = len(table.cells)
    view.counts = <int64_t*>memory_of(table.counts)
    return view


cdef Slots slots_of(pool) except *:
    cdef Slots view
    view.free = <int32_t*>memory_of(pool.slots.free)
    view.counts = <int64_t*>memory_of(pool.slots.counts)
    return view


cdef class Context:
    """The arrays of a `layout.ContextState`, which it keeps alive."""

    cdef State c
    cdef float log_counts[MOST_COUNTED + 1]
    cdef object kept

    def __cinit__(self, state):
        cdef int i
        self.kept = state
        self.c.clock = <int64_t*>memory_of(state.clock)
        self.c.ring = <Record*>memory_of(state.ring)
        self.c.mask = len(state.ring) - 1
        self.c.port_flows = <uint32_t*>memory_of(state.port_flows)
        self.c.hosts = table_of(state.hosts)
        self.c.pairs = table_of(state.pairs)
        self.c.services = table_of(state.services)
        self.c.contacts = table_of(state.contacts)
        self.c.source_ports = table_of(state.source_ports)
        self.c.answers = table_of(state.answers)
        self.c.host = <Host*>memory_of(state.host.rows)
        self.c.host_slots = slots_of(state.host)
        self.c.large_host = <LargeHost*>memory_of(state.large_host.rows)
        self.c.large_host_slots = slots_of(state.large_host)
        self.c.pair = <Pair*>memory_of(state.pair.rows)
        self.c.pair_slots = slots_of(state.pair)
        self.c.large_pair = <LargePair*>memory_of(state.large_pair.rows)
        self.c.large_pair_slots = slots_of(state.large_pair)
        self.c.service = <Service*>memory_of(state.service.rows)
        self.c.service_slots = slots_of(state.service)
        self.c.large_service = <LargeService*>memory_of(state.large_service.rows)
        self.c.large_service_slots = slots_of(state.large_service)
        self.c.contact = <Contact*>memory_of(state.contact.rows)
        self.c.contact_slots = slots_of(state.contact)
        for i in range(MOST_COUNTED + 1):
            self.log_counts[i] = <float>log1p(i)

    def refill(self, int kind, old, new):
        """Put all keys of a table (by its place in `layout.TABLES`) into a larger one."""
        cdef Table before = table_of(old), after = table_of(new)
        with nogil:
            refill(&self.c, <Kind>kind, &before, &after)

    def absorb(self, flows, int64_t begin, int64_t end, int64_t max_records):
        """Take rows begin … end−1 of a `FlowColumns` in."""
        cdef Columns columns = columns_of(flows, begin, end)
        cdef int64_t i
        cdef Place place
        with nogil:
            for i in range(begin, end):
                if take(&self.c, &columns, i, max_records, &place):
                    look_back_from(&self.c, &place)

    def update(
        self,
        flows,
        int64_t begin,
        int64_t end,
        int64_t max_records,
        float[:, ::1] out,
        int64_t[::1] clocks,
    ):
        """Take rows in, one after the other; write their context columns, and the clock at each."""
        cdef Columns columns = columns_of(flows, begin, end)
        cdef int64_t i
        cdef Place place
        if min(out.shape[0], clocks.shape[0]) < end or out.shape[1] != len(feature_schema.FEATURES):
            raise ValueError("what is written has no room")
        with nogil:
            for i in range(begin, end):
                if take(&self.c, &columns, i, max_records, &place):
                    write(&self.c, &place, columns.start[i], self.log_counts, &out[i, FLOW_WIDTH])
                else:
                    write_none(&self.c, &out[i, FLOW_WIDTH])
                clocks[i] = self.c.clock[NOW]


cdef inline bint take(
    State* c, const Columns* columns, int64_t i, int64_t max_records, Place* place
) noexcept nogil:
    """Let row `i` in, if it is a contact, and what it displaces out."""
    cdef int64_t evicted = c.clock[EVICTED]
    cdef Flow flow
    if tick(c.clock, columns.end[i]):
        # the stream begins anew: nothing before counts any more, which is no want of room
        expire(c, c.clock[HEAD])
        c.clock[EVICTED] = evicted
    else:
        expire(c, c.clock[HEAD] - max_records + 1)
    if not columns.is_contact[i]:
        pass_by(c)
        return False
    flow.start = columns.start[i]
    flow.end = columns.end[i]
    flow.orig_payload = columns.orig_payload[i]
    flow.resp_payload = columns.resp_payload[i]
    flow.orig_pkts = columns.orig_pkts[i]
    flow.resp_pkts = columns.resp_pkts[i]
    flow.proto = columns.proto[i]
    flow.port = columns.port[i]
    flow.services = columns.services[i]
    flow.failed = columns.failed[i]
    flow.orig_key = columns.orig_key[i]
    flow.resp_key = columns.resp_key[i]
    place[0] = enter(c, &flow)
    return True


cdef inline int64_t contacts_held(const State* c, const Place* place) noexcept nogil:
    """How many records of a record's contact are held."""
    cdef const Record* r = &c.ring[place.at]
    cdef int64_t contact
    if state_at(&c.pairs, place.pair) == RECORD_OF:
        return 1
    contact = known_cell(c, &c.contacts, Kind.CONTACT_KEY, key_hash_of(c, Kind.CONTACT_KEY, r), r)
    if state_at(&c.contacts, contact) == RECORD_OF:
        return 1
    return c.contact[number_at(&c.contacts, contact)].count


cdef inline int64_t look_back_from(State* c, const Place* place) noexcept nogil:
    """Let the series know a record that entered; how many records of its contact are held."""
    cdef const Record* r = &c.ring[place.at]
    cdef int64_t held = contacts_held(c, place)
    look_back(c, place.at, False, held, CONTACTS)
    if is_set(r, LOOKUP_FLAG):
        look_back(c, place.at, True, counted(c, r.source, HELD_LOOKUPS), LOOKUPS)
    return held


cdef inline void copy(const Count* n, int count, int64_t* to) noexcept nogil:
    cdef int i
    for i in range(count):
        to[i] = n[i]


cdef inline void write_first(int failed, int window, int count, int64_t* to) noexcept nogil:
    """Counters of a pair or service that has one record."""
    cdef int i
    for i in range(count):
        to[i] = failed if i % window == FAILED else 1


cdef inline void gather(State* c, const Place* place, int64_t* counts) noexcept nogil:
    """Bring all counters that concern a record together."""
    cdef const Record* r = &c.ring[place.at]
    cdef const Host* row
    cdef int64_t number
    cdef int i, side, state, failed = is_set(r, FAILED_FLAG)
    for side in range(2):
        row = &c.host[r.target if side else r.source]
        if row.large == NONE:
            copy(&row.n[0], HOST_COUNTS, counts + side * HOST_COUNTS)
        else:
            copy(&c.large_host[row.large].n[0], HOST_COUNTS, counts + side * HOST_COUNTS)
    # `row` is the target's now
    for i in range(WINDOW_COUNT):
        if row.large == NONE:
            counts[OF_BYTES + i] = row.bytes[i]
        else:
            counts[OF_BYTES + i] = c.large_host[row.large].bytes[i]
    state, number = state_at(&c.pairs, place.pair), number_at(&c.pairs, place.pair)
    if state == SMALL_ROW:
        copy(&c.pair[number].n[0], PAIR_COUNTS, counts + OF_PAIR)
    elif state == LARGE_ROW:
        copy(&c.large_pair[number].n[0], PAIR_COUNTS, counts + OF_PAIR)
    else:
        write_first(failed, PAIR_WINDOW, PAIR_COUNTS, counts + OF_PAIR)
    state, number = state_at(&c.services, place.service), number_at(&c.services, place.service)
    if state == SMALL_ROW:
        copy(&c.service[number].n[0], SERVICE_COUNTS, counts + OF_SERVICE)
    elif state == LARGE_ROW:
        copy(&c.large_service[number].n[0], SERVICE_COUNTS, counts + OF_SERVICE)
    else:
        write_first(failed, SERVICE_WINDOW, SERVICE_COUNTS, counts + OF_SERVICE)


cdef inline float log_count(const float* log_counts, int64_t n) noexcept nogil:
    """ln(1 + n), up to where counts end."""
    return log_counts[n if n < MOST_COUNTED else MOST_COUNTED]


cdef inline float* write_windows(
    const int64_t* n, const float* log_counts, float* row
) noexcept nogil:
    """Write the window columns from gathered counters; where the next column is."""
    cdef const int64_t* source = n + OF_SOURCE
    cdef const int64_t* target = n + OF_TARGET
    cdef const int64_t* pair = n + OF_PAIR
    cdef const int64_t* service = n + OF_SERVICE
    cdef double sent, got, shared
    cdef int64_t contacts
    cdef int window
    for window in range(WINDOW_COUNT):
        sent, got, shared = source[OUT_FLOWS], target[IN_FLOWS], pair[FLOWS]
        row[0] = log_count(log_counts, source[OUT_FLOWS])
        row[1] = <float>(source[OUT_FAILED] / sent)
        row[2] = log_count(log_counts, source[OUT_HOSTS])
        row[3] = log_count(log_counts, source[OUT_PORTS])
        row[4] = <float>(source[OUT_HOSTS] / sent)
        row[5] = <float>(source[OUT_PORTS] / sent)
        row += 6
        if window != LAST:
            row[0] = <float>(source[OUT_FIRST] / sent)
            row += 1
        row[0] = log_count(log_counts, target[IN_FLOWS])
        row[1] = <float>(target[IN_FAILED] / got)
        row[2] = log_count(log_counts, target[IN_HOSTS])
        row[3] = log_count(log_counts, target[IN_PORTS])
        row[4] = <float>(target[IN_HOSTS] / got)
        row[5] = <float>log1p(<double>n[OF_BYTES + window])
        row[6] = log_count(log_counts, pair[FLOWS])
        row[7] = <float>(pair[FAILED] / shared)
        row[8] = log_count(log_counts, pair[PORTS])
        # the first flow of a contact may have left before the others
        contacts = max(pair[PAIR_CONTACTS], <int64_t>1)
        row[9] = <float>(min(pair[ANSWERS], contacts) / <double>contacts)
        row[10] = log_count(log_counts, contacts)
        row[11] = <float>(shared / sent)
        row[12] = log_count(log_counts, service[FLOWS])
        row[13] = <float>(service[FAILED] / <double>service[FLOWS])
        row[14] = log_count(log_counts, service[HOSTS])
        row += 15
        source += HOST_WINDOW
        target += HOST_WINDOW
        pair += PAIR_WINDOW
        service += SERVICE_WINDOW
    return row


cdef inline void write(
    State* c, const Place* place, int64_t start, const float* log_counts, float* row
) noexcept nogil:
    """Write the context columns of the record that entered last."""
    cdef int64_t counts[GATHERED]
    cdef const Record* r = &c.ring[place.at]
    cdef int64_t now = c.clock[NOW], age
    cdef int k
    cdef bint is_lookup = is_set(r, LOOKUP_FLAG)
    cdef double records = c.clock[HEAD] - c.clock[TAIL + LAST]
    cdef int64_t held = look_back_from(c, place), lookups
    gather(c, place, counts)
    lookups = counts[OF_SOURCE + HELD_LOOKUPS]
    row = write_windows(counts, log_counts, row)
    write_series(c, place.at, False, held, CONTACTS, start, now, log_counts, row)
    row[SERIES_WIDTH] = held >= REGULAR_FROM
    row += SERIES_WIDTH + 1
    if is_lookup:
        write_series(c, place.at, True, lookups, LOOKUPS, start, now, log_counts, row)
    else:
        for k in range(SERIES_WIDTH):
            row[k] = NAN
    row[SERIES_WIDTH] = is_lookup
    row += SERIES_WIDTH + 1
    age = now - arrival_of(&c.ring[c.host[r.target].first_in & c.mask], now)
    row[0] = counts[OF_PAIR + PAIR_HELD] == 1
    row[1] = log_count(log_counts, counts[OF_SOURCE + LAST * HOST_WINDOW + IN_HOSTS])
    row[2] = <float>(
        counts[OF_TARGET + LAST * HOST_WINDOW + IN_HOSTS] / <double>c.clock[SOURCES]
    )
    row[3] = <float>log1p(<double>age / SECOND)
    row[4] = <float>log1p(c.port_flows[port_of(r)] / records * 1e4)
    write_coverage(c, row + 5)


cdef inline void write_coverage(const State* c, float* row) noexcept nogil:
    cdef int window
    cdef double observed
    for window in range(WINDOW_COUNT):
        observed = (c.clock[NOW] - c.clock[BEGAN]) / <double>length_of(window)
        row[window] = <float>(1.0 if 1.0 < observed else observed)


cdef inline void write_none(const State* c, float* row) noexcept nogil:
    """Write the context columns of a flow that is no contact."""
    cdef int k
    for k in range(CONTEXT_WIDTH - WINDOW_COUNT):
        row[k] = NAN
    write_coverage(c, row + CONTEXT_WIDTH - WINDOW_COUNT)
