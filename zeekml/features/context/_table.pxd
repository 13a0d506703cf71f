"""Compact hash tables: four bytes per key, without the keys.

A cell holds a number, by which the caller finds what the key is, a state, and a few bits of the
key's hash, which spare nearly all comparisons with another key. Cells lie in buckets of a cache
line. A key goes into the first bucket from its own on that has room, and each full bucket that it
passed counts it: so a search knows where to end, and keys can be removed without moving others.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from zeekml.features.context._context cimport LANES, STATES, Table


cdef extern from *:
    """
    /* Which cells of a bucket (bits 1 ... 15) agree with `wanted` where `kept` has ones, and are
       not empty. Without a branch: it becomes a few vector operations. */
    static inline uint32_t zeekml_alike(const uint32_t *bucket, uint32_t wanted, uint32_t kept) {
        uint32_t found = 0;
        for (uint32_t lane = 0; lane < 16; lane++) {
            uint32_t cell = bucket[lane];
            found |= (((cell ^ wanted) & kept) == 0 && cell != 0) ? 1u << lane : 0;
        }
        return found & ~1u;
    }
    static inline int zeekml_lowest(uint32_t bits) { return __builtin_ctz(bits); }
    """
    uint32_t zeekml_alike(const uint32_t* bucket, uint32_t wanted, uint32_t kept) noexcept nogil
    int zeekml_lowest(uint32_t bits) noexcept nogil


cdef struct Search:
    # cells that may be a key's, one after the other
    const uint32_t* cells
    int64_t length
    int64_t home
    int64_t bucket
    uint32_t wanted
    uint32_t kept
    uint32_t found  # those of the bucket that are left


cdef inline int64_t home(const Table* table, uint64_t key_hash) noexcept nogil:
    """First entry of the key's own bucket."""
    return <int64_t>(((key_hash >> 32) * <uint64_t>(table.length // LANES)) >> 32) * LANES


cdef inline Search search(const Table* table, uint64_t key_hash) noexcept nogil:
    cdef Search s
    s.cells, s.length = table.cells, table.length
    s.home = s.bucket = home(table, key_hash)
    s.kept = <uint32_t>0xFFFFFFFF << (table.counts[1] + STATES)
    s.wanted = <uint32_t>key_hash
    s.found = zeekml_alike(s.cells + s.bucket, s.wanted, s.kept)
    return s


cdef inline int64_t next_alike(Search* s) noexcept nogil:
    """The next cell that may be the key's; -1 if there is none."""
    cdef int lane
    while s.found == 0:
        if s.cells[s.bucket] == 0:
            return -1
        s.bucket += LANES
        if s.bucket == s.length:
            s.bucket = 0
        if s.bucket == s.home:
            return -1
        s.found = zeekml_alike(s.cells + s.bucket, s.wanted, s.kept)
    lane = zeekml_lowest(s.found)
    s.found &= s.found - 1
    return s.bucket + lane


cdef inline bint is_last(const Search* s) noexcept nogil:
    """Whether the cell found last is the only one that is left."""
    return s.found == 0 and s.cells[s.bucket] == 0


cdef inline int state_at(const Table* table, int64_t at) noexcept nogil:
    return <int>((table.cells[at] >> table.counts[1]) & ((1 << STATES) - 1))


cdef inline int64_t number_at(const Table* table, int64_t at) noexcept nogil:
    return table.cells[at] & ((<uint32_t>1 << table.counts[1]) - 1)


cdef inline void set_cell(Table* table, int64_t at, int state, int64_t number) noexcept nogil:
    """Give a key's cell another state and number."""
    cdef int64_t shift = table.counts[1]
    cdef uint32_t kept = table.cells[at] >> (shift + STATES) << (shift + STATES)
    table.cells[at] = kept | (<uint32_t>state << shift) | <uint32_t>number


cdef inline int64_t insert(
    Table* table, uint64_t key_hash, int state, int64_t number
) noexcept nogil:
    """Add a key that is not in the table, which has room; return its cell."""
    cdef int64_t shift = table.counts[1] + STATES
    cdef int64_t bucket = home(table, key_hash), at
    while True:
        for at in range(bucket + 1, bucket + LANES):
            if table.cells[at] == 0:
                table.counts[0] += 1
                table.cells[at] = <uint32_t>key_hash >> shift << shift
                set_cell(table, at, state, number)
                return at
        table.cells[bucket] += 1
        bucket += LANES
        if bucket == table.length:
            bucket = 0


cdef inline void erase(Table* table, uint64_t key_hash, int64_t at) noexcept nogil:
    """Remove the key in cell `at`."""
    cdef int64_t bucket = home(table, key_hash)
    table.counts[0] -= 1
    table.cells[at] = 0
    while bucket != at - at % LANES:
        table.cells[bucket] -= 1
        bucket += LANES
        if bucket == table.length:
            bucket = 0
