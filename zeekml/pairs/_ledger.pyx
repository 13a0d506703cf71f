"""The pair ledger at work: contacts in, and which pairs are to be looked at."""

from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from zeekml.core._hash_table cimport HashTable, find, find_or_add, remove, table_of
from zeekml.features._hashes cimport mix

from zeekml.pairs import layout

DEF GAPS = 112
DEF SIZES = 40
DEF WINDOW = 6
DEF THREATS = 2
DEF NONE = -1
DEF NO_PERIOD = 255
DEF MOST_OF_A_LIST = 512  # pairs of a host that one is compared with
DEF LEAST_CONTACTS = 8  # of a pair that one is compared with

FULL = _FULL
SWEEP = _SWEEP
CROWDED = _CROWDED

cdef enum:
    _DONE = 0  # all contacts are taken in
    _FULL = 1  # room is needed for another pair
    _SWEEP = 2  # what is old is to be forgotten first
    _CROWDED = 3  # no room for another look

cdef struct Contact:
    int64_t start
    int64_t end
    int64_t clock
    uint64_t source
    uint64_t destination
    int64_t sent
    int64_t received
    int32_t row
    uint16_t port
    uint8_t proto
    uint8_t direction
    uint8_t failed
    uint8_t open
    uint8_t counted
    uint8_t counted_failed
    uint8_t padding[4]
    uint64_t session
    int64_t counted_sent
    int64_t counted_received
    int64_t counted_lasted

cdef struct Pair:
    uint64_t key
    uint64_t source
    uint64_t destination
    int64_t first
    int64_t last
    int64_t halved
    int64_t sent
    int64_t received
    int64_t contact_sent
    int64_t contact_received
    int64_t duration
    int64_t longest
    int64_t due_sent
    int64_t due_longest
    int64_t hour
    int64_t told[THREATS]
    uint64_t hours[3]
    uint32_t contacts
    uint32_t flows
    uint32_t failed
    uint32_t due_contacts
    int32_t source_place
    int32_t destination_place
    int32_t of_source[2]
    int32_t of_destination[2]
    uint8_t gaps[GAPS]
    uint8_t sent_sizes[SIZES]
    uint8_t received_sizes[SIZES]
    uint16_t port
    uint8_t proto
    uint8_t direction
    uint8_t period
    uint8_t size
    uint8_t regular
    uint8_t padding

cdef struct Host:
    uint64_t key
    int64_t sent
    uint64_t seen
    int32_t pairs
    int32_t latest

cdef struct Look:
    Pair pair
    int64_t number
    int64_t place
    int64_t now
    int64_t source_sent
    int64_t source_pairs
    int64_t sources
    int64_t regular_to_others
    uint64_t seen
    int64_t same_to_others
    int64_t same_from_others
    int64_t in_period
    int64_t time_in_period
    int64_t gap_count
    int64_t gap_time

cdef struct Position:
    int64_t number
    int64_t now
    int64_t sweep
    int64_t looks
    int64_t sources

cdef int64_t[GAPS] gap_edges
cdef int64_t[GAPS] gap_centres
cdef int64_t[SIZES - 1] size_edges
cdef int64_t burst = layout.BURST * layout.MICROS
cdef int64_t horizon = <int64_t>layout.HORIZON * layout.MICROS
cdef int64_t hour = 3600 * <int64_t>layout.MICROS
cdef int64_t first_due = layout.FIRST_DUE
cdef int64_t first_due_sent = layout.FIRST_DUE_SENT
cdef double chance = layout.CHANCE
cdef double regular = layout.REGULAR
cdef int32_t several = layout.SEVERAL
cdef uint8_t inbound = layout.INBOUND

if (
    layout.GAPS, layout.SIZES, layout.WINDOW, layout.HOURS, layout.THREATS
) != (GAPS, SIZES, WINDOW, 168, THREATS):
    raise ImportError("the compiled ledger is of another layout")
for _i in range(GAPS):
    gap_edges[_i] = layout.GAP_EDGES[_i]
    gap_centres[_i] = layout.GAP_CENTRES[_i]
for _i in range(SIZES - 1):
    size_edges[_i] = layout.SIZE_EDGES[_i]


cdef inline int bin_of(const int64_t* edges, int count, int64_t value) noexcept nogil:
    """How many edges are at or below a value."""
    cdef int low = 0, high = count, middle
    while low < high:
        middle = (low + high) >> 1
        if edges[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline void count(uint8_t* bins, int number, int at) noexcept nogil:
    """Count in a histogram; what is newer weighs more once a bin is full."""
    cdef int i
    if bins[at] == 255:
        for i in range(number):
            bins[i] >>= 1
    bins[at] += 1


cdef inline void mark_hour(Pair* p, int64_t at) noexcept nogil:
    """Note that there was a contact in an hour since 1970."""
    cdef int64_t shift = at - p.hour, words, bits
    cdef int i
    if shift > 0:
        p.hour = at
        words, bits = shift >> 6, shift & 63
        for i in range(2, -1, -1):
            if i - words < 0:
                p.hours[i] = 0
                continue
            p.hours[i] = p.hours[i - words] << bits
            if bits and i - words - 1 >= 0:
                p.hours[i] |= p.hours[i - words - 1] >> (64 - bits)
        p.hours[2] &= (<uint64_t>1 << 40) - 1  # 168 of 192
        shift = 0
    shift = -shift
    if shift < 168:
        p.hours[shift >> 6] |= <uint64_t>1 << (shift & 63)


cdef void halve(Pair* p) noexcept nogil:
    """Let what came so far weigh half as much."""
    cdef int i
    for i in range(GAPS):
        p.gaps[i] >>= 1
    for i in range(SIZES):
        p.sent_sizes[i] >>= 1
        p.received_sizes[i] >>= 1
    p.sent >>= 1
    p.received >>= 1
    p.duration >>= 1
    p.longest >>= 1
    p.contacts = (p.contacts >> 1) + 1
    p.flows = (p.flows >> 1) + 1
    p.failed >>= 1
    p.due_sent >>= 1
    p.due_longest >>= 1
    p.due_contacts >>= 1


cdef inline int64_t next_contacts(int64_t contacts) noexcept nogil:
    """12, 16, 24, 32, 48, …: at how many contacts a pair is looked at after so many."""
    cdef int64_t due = first_due
    while due <= contacts:
        due += due // 3 if due % 3 == 0 else due // 2
    return due


cdef class Store:
    """The ledger's arrays, see `ledger`; records of another layout are a ValueError."""

    cdef Position* position
    cdef Pair* pairs
    cdef Host* sources
    cdef Host* destinations
    cdef HashTable pair_table
    cdef HashTable source_table
    cdef HashTable destination_table
    cdef uint8_t* changed
    cdef uint8_t* changed_sources
    cdef uint8_t* changed_destinations
    cdef object arrays

    def __init__(
        self, position, pairs, pair_table, sources, source_table, destinations, destination_table,
        changed,
    ):
        cdef Position[::1] at = position
        cdef Pair[::1] of_pairs = pairs
        cdef Host[::1] of_sources = sources
        cdef Host[::1] of_destinations = destinations
        cdef uint8_t[:, ::1] marks = changed
        self.arrays = (
            position, pairs, pair_table, sources, source_table, destinations, destination_table,
            changed,
        )
        self.position = &at[0]
        self.pairs = &of_pairs[0]
        self.sources = &of_sources[0]
        self.destinations = &of_destinations[0]
        self.pair_table = table_of(pair_table)
        self.source_table = table_of(source_table)
        self.destination_table = table_of(destination_table)
        self.changed = &marks[0, 0]
        self.changed_sources = &marks[1, 0]
        self.changed_destinations = &marks[2, 0]

    def take(self, const Contact[::1] contacts, Look[::1] looks):
        """Take in contacts from the position on, until something is to be done first; what."""
        cdef int64_t count = contacts.shape[0]
        cdef int todo = _DONE
        with nogil:
            while self.position.number < count:
                if self.position.looks == looks.shape[0]:
                    todo = _CROWDED
                    break
                todo = self.advance(&contacts[self.position.number], &looks[0])
                if todo != _DONE:
                    break
                self.position.number += 1
        return todo

    def remove(self, int32_t place):
        """Forget a pair."""
        cdef Pair* p = &self.pairs[place]
        self.leave(&self.source_table, self.sources, p.source_place, p, True)
        self.leave(&self.destination_table, self.destinations, p.destination_place, p, False)
        self.changed_sources[p.source_place] = 1
        self.changed_destinations[p.destination_place] = 1
        remove(&self.pair_table, place)
        memset(p, 0, sizeof(Pair))
        self.changed[place] = 1

    cdef int advance(self, const Contact* c, Look* looks) noexcept nogil:
        """Take in one contact."""
        cdef Position* at = self.position
        cdef Pair* p
        cdef int32_t place
        cdef int64_t gap, sent, received
        cdef uint64_t key
        cdef bint again
        if at.now < c.clock:
            at.now = c.clock
        if at.sweep == 0:
            at.sweep = at.now + hour
        if at.now >= at.sweep:
            return _SWEEP
        key = mix(c.source ^ mix(c.destination + (<uint64_t>c.port << 8 | c.proto)))
        place = find(&self.pair_table, key)
        # of a flow that was open before, only what it has more; all of it if the pair is forgotten
        again = c.counted and place != NONE
        if place == NONE:
            if self.pair_table.free[self.pair_table.slots] == 0:
                return _FULL
            place = self.begin(c, key)
        p = &self.pairs[place]
        self.changed[place] = 1
        gap = c.start - p.last
        sent = c.sent - c.counted_sent if again else c.sent
        received = c.received - c.counted_received if again else c.received
        if again:
            pass  # it was a contact when it was heard of first
        elif p.flows == 0:
            p.contacts = 1
        elif gap < burst:
            pass  # of the contact that is under way, or one that ended late
        else:
            if c.start - p.halved >= horizon:
                halve(p)
                p.halved = c.start
            count(p.sent_sizes, SIZES, bin_of(size_edges, SIZES - 1, p.contact_sent))
            count(p.received_sizes, SIZES, bin_of(size_edges, SIZES - 1, p.contact_received))
            p.contact_sent = p.contact_received = 0
            count(p.gaps, GAPS, bin_of(gap_edges, GAPS, gap) - 1)
            p.contacts += 1
            p.last = c.start
        mark_hour(p, c.start // hour)
        if again:
            if c.failed != c.counted_failed:
                p.failed += 1 if c.failed else -1 if p.failed else 0
            p.duration += c.end - c.start - c.counted_lasted
        else:
            p.flows += 1
            p.failed += c.failed
            p.duration += c.end - c.start
        if not again or gap > -burst:
            # what goes on beside later contacts is none of theirs
            p.contact_sent += sent
            p.contact_received += received
        p.sent += sent
        p.received += received
        if p.longest < c.end - c.start:
            p.longest = c.end - c.start
        self.sources[p.source_place].sent += sent
        self.changed_sources[p.source_place] = 1
        if p.contacts >= p.due_contacts or p.sent >= p.due_sent or p.longest >= p.due_longest:
            while p.sent >= p.due_sent:
                p.due_sent *= 2
            while p.longest >= p.due_longest:
                p.due_longest *= 2
            p.due_contacts = <uint32_t>next_contacts(p.contacts)
            self.note(place, &looks[at.looks])
            looks[at.looks].number = at.number
            at.looks += 1
        return _DONE

    cdef int32_t begin(self, const Contact* c, uint64_t key) noexcept nogil:
        """Make a new pair; there is room for it."""
        cdef int32_t place = find_or_add(&self.pair_table, key)
        cdef Pair* p = &self.pairs[place]
        memset(p, 0, sizeof(Pair))
        p.key = key
        p.source = c.source
        p.destination = c.destination
        p.port = c.port
        p.proto = c.proto
        p.direction = c.direction
        p.first = p.last = p.halved = c.start
        p.hour = c.start // hour
        p.due_contacts = <uint32_t>first_due
        p.due_sent = first_due_sent
        p.due_longest = hour
        p.period = p.size = NO_PERIOD
        p.source_place = self.enter(&self.source_table, self.sources, c.source, c, place, True)
        p.destination_place = self.enter(
            &self.destination_table, self.destinations, c.destination, c, place, False
        )
        self.changed_destinations[p.destination_place] = 1
        return place

    cdef int32_t enter(
        self, HashTable* table, Host* hosts, uint64_t key, const Contact* c, int32_t place,
        bint as_source,
    ) noexcept nogil:
        """Put a pair at the head of its host's list; the host's place."""
        cdef int32_t at = find(table, key), other
        cdef int32_t* links = links_of(&self.pairs[place], as_source)
        cdef Host* host
        if at == NONE:
            at = find_or_add(table, key)
            host = &hosts[at]
            memset(host, 0, sizeof(Host))
            host.key = key
            host.latest = NONE
        host = &hosts[at]
        other = host.latest
        links[0] = NONE
        links[1] = other
        if other != NONE:
            links_of(&self.pairs[other], as_source)[0] = place
            self.changed[other] = 1
        host.latest = place
        host.pairs += 1
        if as_source and c.direction != inbound and host.pairs == several:
            self.position.sources += 1
        host.seen |= <uint64_t>1 << (mix(c.source) & 63)
        return at

    cdef void leave(
        self, HashTable* table, Host* hosts, int32_t at, Pair* p, bint as_source
    ) noexcept:
        """Take a pair out of its host's list, and forget a host that has no other."""
        cdef int32_t* links = links_of(p, as_source)
        cdef int32_t before = links[0], after = links[1]
        cdef Host* host = &hosts[at]
        if after != NONE:
            links_of(&self.pairs[after], as_source)[0] = before
            self.changed[after] = 1
        if before == NONE:
            host.latest = after
        else:
            links_of(&self.pairs[before], as_source)[1] = after
            self.changed[before] = 1
        host.pairs -= 1
        if as_source and p.direction != inbound and host.pairs == several - 1:
            self.position.sources -= 1
        if host.pairs == 0:
            remove(table, at)
            memset(host, 0, sizeof(Host))

    cdef void note(self, int32_t place, Look* look) noexcept nogil:
        """Write down a pair and what is known of its hosts, and what is its period."""
        cdef Pair* p = &self.pairs[place]
        cdef Pair* other
        cdef Host* source = &self.sources[p.source_place]
        cdef Host* destination = &self.destinations[p.destination_place]
        cdef int64_t counts[GAPS + 1]
        cdef int64_t times[GAPS + 1]
        cdef int64_t in_period, time_in_period
        cdef double best = -1.0, product
        cdef double statistic = 0.0
        cdef int i, _, period = NO_PERIOD, most = 0
        cdef int32_t at
        counts[0] = times[0] = 0
        for i in range(GAPS):
            counts[i + 1] = counts[i] + p.gaps[i]
            times[i + 1] = times[i] + p.gaps[i] * gap_centres[i]
        memset(look, 0, sizeof(Look))
        look.gap_count = counts[GAPS]
        look.gap_time = times[GAPS]
        for i in range(GAPS - WINDOW + 1):
            in_period = counts[i + WINDOW] - counts[i]
            time_in_period = times[i + WINDOW] - times[i]
            product = <double>in_period * <double>time_in_period
            if in_period and product > best:
                best = product
                period = i
                look.in_period = in_period
                look.time_in_period = time_in_period
        if look.gap_time:
            statistic = sqrt(best / <double>look.gap_count / <double>look.gap_time)
        p.regular = (statistic - chance) * sqrt(<double>p.contacts - 1) >= regular
        p.period = <uint8_t>period
        p.size = NO_PERIOD
        for i in range(SIZES):
            if p.sent_sizes[i] > most:
                most = p.sent_sizes[i]
                p.size = <uint8_t>i
        look.pair = p[0]
        look.place = place
        look.now = self.position.now
        look.source_sent = source.sent
        look.source_pairs = source.pairs
        look.sources = self.position.sources
        look.seen = destination.seen
        at = source.latest
        for _ in range(MOST_OF_A_LIST):
            if at == NONE:
                break
            other = &self.pairs[at]
            if other.destination != p.destination:
                look.regular_to_others += other.regular
                look.same_to_others += (
                    other.contacts >= LEAST_CONTACTS
                    and near(other.period, p.period, 2)
                    and near(other.size, p.size, 1)
                )
            at = other.of_source[1]
        at = destination.latest
        for _ in range(MOST_OF_A_LIST):
            if at == NONE:
                break
            other = &self.pairs[at]
            if (
                other.source != p.source
                and other.port == p.port
                and other.contacts >= LEAST_CONTACTS
                and near(other.period, p.period, 2)
            ):
                look.same_from_others += 1
            at = other.of_destination[1]


cdef inline int32_t* links_of(Pair* p, bint as_source) noexcept nogil:
    """The places of the pairs before and after one in the list of its source or destination."""
    return &p.of_source[0] if as_source else &p.of_destination[0]


cdef inline bint near(int one, int other, int by) noexcept nogil:
    """Whether two bins are known and lie within so many of each other."""
    return one != NO_PERIOD and other != NO_PERIOD and one - by <= other <= one + by
