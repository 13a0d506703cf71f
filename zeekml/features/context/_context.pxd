"""What lies in the context's arrays, see `layout`: rows, tables, entries of their counters."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from zeekml.readers._stream_clock cimport CLOCK_WIDTH, SECOND

cpdef enum:
    WINDOW_COUNT = 3
    LAST = WINDOW_COUNT - 1  # the longest window, after which a record is forgotten

    # entries of the clock behind those of the clock itself; TAIL holds a record number per window
    HEAD = CLOCK_WIDTH
    TAIL = HEAD + 1
    SOURCES = TAIL + WINDOW_COUNT
    EVICTED = SOURCES + 1
    ARRIVED = EVICTED + 1
    SEED = ARRIVED + 1
    STATE_WIDTH = SEED + 1

    # Counters of a row have their windows one after the other, each with these entries, then the
    # rest. First of a host, as source and as target ...
    OUT_FLOWS = 0
    OUT_FAILED = 1
    OUT_HOSTS = 2
    OUT_PORTS = 3
    OUT_FIRST = 4
    IN_FLOWS = 5
    IN_FAILED = 6
    IN_HOSTS = 7
    IN_PORTS = 8
    HOST_WINDOW = 9
    HELD_LOOKUPS = WINDOW_COUNT * HOST_WINDOW
    HOST_COUNTS = HELD_LOOKUPS + 1
    # ... then of pairs, and of services (a host's port)
    FLOWS = 0
    FAILED = 1
    PORTS = 2
    ANSWERS = 3
    PAIR_CONTACTS = 4  # flows of one second are one
    PAIR_WINDOW = 5
    HOSTS = 2
    SERVICE_WINDOW = 3
    PAIR_COUNTS = WINDOW_COUNT * PAIR_WINDOW
    SERVICE_COUNTS = WINDOW_COUNT * SERVICE_WINDOW
    # records held: the flows of the longest window
    OUT_HELD = LAST * HOST_WINDOW + OUT_FLOWS
    IN_HELD = LAST * HOST_WINDOW + IN_FLOWS
    PAIR_HELD = LAST * PAIR_WINDOW + FLOWS
    SERVICE_HELD = LAST * SERVICE_WINDOW + FLOWS

    SMALL_MOST = 255
    NONE = -1

    # states of a cell: where the number leads to
    RECORD_OF = 1
    SMALL_ROW = 2
    LARGE_ROW = 3

    # flags of a record; the lowest bits are the size of the answer
    ANSWER_SIZES = 256
    # whether it and the record of the pair before, which is held, are one contact
    SAME_CONTACT = 256
    FAILED_FLAG = 512
    LOOKUP_FLAG = 1024
    MISDATED_FLAG = 2048  # its time is far from the clock: no interval rests on it
    # whether a newer record is held that has the same answer size in the same pair, the same
    # source and port, the same contact
    NEWER_ANSWER = 4096
    NEWER_SOURCE_PORT = 8192
    NEWER_CONTACT = 16384
    # whether that newer one and this are one contact
    CONTINUED = 32768

    PORTS_PER_PROTO = 65536
    UNKNOWN_PORT_INDEX = 4 * PORTS_PER_PROTO

    # compact hash tables, see `_table`
    LANES = 16  # entries of a bucket; the first counts the keys that passed it
    STATES = 2  # bits

    # series, see `_series`
    SERIES_WIDTH = 11  # columns
    MOST_COUNTED = 255
    REGULAR_FROM = 4
    MOST_SERIES = 32

    LEAD_SHIFT = 9
    PORT_SHIFT = 27
    NOTHING_SHIFT = 31

cdef extern from *:
    """
    /* A record of the hour, packed: what counters and series need of it, and links. Links are the
       low half of a record number, or less where that is enough to find it in the ring. Records
       held arrived within the hour, so the low half of the time of arrival in microseconds tells
       all of it to whoever knows the last one's. */
    typedef struct {
        /* what series walk through comes first */
        uint32_t lead_low; /* microseconds from start to arrival; nothing if misdated */
        uint32_t arrival;
        float orig_log;
        float resp_log;
        /* last record of the previous contact of the same source, destination and port; previous
           DNS record of the source. And how many records of that series back the request's size was
           last seen, 0 if not within its length */
        uint32_t prev_contact : 27, contact_request : 5;
        uint32_t prev_lookup : 27, lookup_request : 5;
        uint16_t flags;
        uint16_t port_low;
        uint32_t high; /* from the top: if it is no contact; of the port, the lead, the payload */
        uint32_t payload_low;
        uint32_t source : 27, contact_answer : 5; /* host; as for the request */
        uint32_t target : 27, lookup_answer : 5;
        uint32_t next_in; /* next record to the same destination */
        uint32_t next_pair; /* next record of the same pair */
    } zeekml_record;
    """
    ctypedef struct Record "zeekml_record":
        uint32_t lead_low
        uint32_t arrival
        float orig_log
        float resp_log
        uint32_t prev_contact
        uint32_t contact_request
        uint32_t prev_lookup
        uint32_t lookup_request
        uint16_t flags
        uint16_t port_low
        uint32_t high
        uint32_t payload_low
        uint32_t source
        uint32_t contact_answer
        uint32_t target
        uint32_t lookup_answer
        uint32_t next_in
        uint32_t next_pair

cdef struct Host:
    uint64_t key
    uint32_t bytes[WINDOW_COUNT]
    uint32_t first_in  # the oldest record held and the newest to the host
    uint32_t last_in
    uint32_t last_lookup
    int32_t large  # row in which it is counted instead, or NONE
    uint8_t n[HOST_COUNTS]

cdef struct LargeHost:
    int64_t bytes[WINDOW_COUNT]
    uint32_t n[HOST_COUNTS]

cdef struct Pair:
    uint32_t latest
    uint32_t first
    uint8_t n[PAIR_COUNTS]

cdef struct LargePair:
    uint32_t latest
    uint32_t first
    uint32_t n[PAIR_COUNTS]

cdef struct Service:
    uint32_t latest
    uint8_t n[SERVICE_COUNTS]

cdef struct LargeService:
    uint32_t latest
    uint32_t n[SERVICE_COUNTS]

cdef struct Contact:
    uint32_t latest
    uint32_t count

cdef struct Slots:
    # which places of an array are in use; places given back are used again first
    int32_t* free  # stack of places given back
    int64_t* counts  # its height, and how many places were ever used

cdef struct Table:
    # a compact hash table, see `compact_hash_table`
    uint32_t* cells
    int64_t length
    int64_t* counts  # keys in it, and bits of a number

cdef struct State:
    int64_t* clock
    Record* ring  # indexed by record number modulo capacity
    int64_t mask  # capacity less one
    uint32_t* port_flows
    Table hosts
    Table pairs
    Table services
    Table contacts
    Table source_ports
    Table answers
    Host* host
    LargeHost* large_host
    Pair* pair
    LargePair* large_pair
    Service* service
    LargeService* large_service
    Contact* contact
    Slots host_slots
    Slots large_host_slots
    Slots pair_slots
    Slots large_pair_slots
    Slots service_slots
    Slots large_service_slots
    Slots contact_slots


cdef inline int32_t take_slot(Slots* slots) noexcept nogil:
    """A place that is not in use; what it held last is still there."""
    if slots.counts[0] > 0:
        slots.counts[0] -= 1
        return slots.free[slots.counts[0]]
    slots.counts[1] += 1
    return <int32_t>(slots.counts[1] - 1)


cdef inline void give_slot(Slots* slots, int64_t place) noexcept nogil:
    """Give a place back."""
    slots.free[slots.counts[0]] = <int32_t>place
    slots.counts[0] += 1


cdef inline void pack(Record* r, int64_t lead, int64_t payload, int64_t port) noexcept nogil:
    """Put in what is spread over several fields.

    The lead has at most 50 bits: the longest flow and the hour. The payload is at most
    2^40, the port an index of at most 19 bits.
    """
    r.lead_low = <uint32_t>lead
    r.payload_low = <uint32_t>payload
    r.port_low = <uint16_t>port
    r.high = <uint32_t>(
        (payload >> 32) | ((lead >> 32) << LEAD_SHIFT) | ((port >> 16) << PORT_SHIFT)
    )


cdef inline void pack_nothing(Record* r) noexcept nogil:
    """Make it the record of a flow that is no contact: it takes a place, and is counted nowhere."""
    r.high = <uint32_t>1 << NOTHING_SHIFT


cdef inline bint is_nothing(const Record* r) noexcept nogil:
    return r.high >> NOTHING_SHIFT != 0


cdef inline int64_t lead_of(const Record* r) noexcept nogil:
    cdef int64_t high = (r.high >> LEAD_SHIFT) & ((1 << (PORT_SHIFT - LEAD_SHIFT)) - 1)
    return r.lead_low | (high << 32)


cdef inline int64_t payload_of(const Record* r) noexcept nogil:
    cdef int64_t high = r.high & ((1 << LEAD_SHIFT) - 1)
    return r.payload_low | (high << 32)


cdef inline int64_t port_of(const Record* r) noexcept nogil:
    return <int64_t>r.port_low | (<int64_t>(r.high >> PORT_SHIFT) << 16)


cdef inline int64_t answer_of(const Record* r) noexcept nogil:
    return r.flags & (ANSWER_SIZES - 1)


cdef inline bint is_set(const Record* r, int flag) noexcept nogil:
    return (r.flags & flag) != 0


cdef inline int64_t arrival_of(const Record* r, int64_t last) noexcept nogil:
    """Microseconds; `last` is when the newest record arrived."""
    return last - <int64_t><uint32_t>(<uint32_t>last - r.arrival)


cdef inline int64_t second_of(const State* c, const Record* r) noexcept nogil:
    """The whole second in which a flow started, or came to be known if its time is wrong."""
    return (arrival_of(r, c.clock[ARRIVED]) - lead_of(r)) // SECOND


cdef inline int64_t age_of(const State* c, int64_t number) noexcept nogil:
    """How many records before the next one the record held with this number, or link, came."""
    return (c.clock[HEAD] - number) & c.mask


cdef inline bint inside(const State* c, int window, int64_t age) noexcept nogil:
    """Whether the record that came so many before the next one is in a window."""
    return age <= c.clock[HEAD] - c.clock[TAIL + window]
