"""Compact hash tables: four bytes per key, without the keys.

A cell holds a number, by which the caller finds what the key is, a state, and a few bits of the
key's hash, which spare nearly all comparisons with another key. Cells lie in buckets of a cache
line. A key goes into the first bucket from its own on that has room, and each full bucket that it
passed counts it: so a search knows where to end, and keys can be removed without moving others.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from zeekml.features.context._context cimport LANES, STATES, Table


cdef inline int64_t home(const Table* table, uint64_t key_hash) noexcept nogil:
    """First entry of the key's own bucket."""
    return <int64_t>(((key_hash >> 32) * <uint64_t>(table.length // LANES)) >> 32) * LANES


cdef inline int64_t next_alike(const Table* table, uint64_t key_hash, int64_t at) noexcept nogil:
    """The next cell behind `at`, at first `home`, that may be the key's; -1 if there is none."""
    cdef int64_t shift = table.counts[1]
    cdef int64_t first = home(table, key_hash)
    cdef uint32_t wanted = <uint32_t>key_hash >> (shift + STATES), cell
    while True:
        at += 1
        if at % LANES == 0:
            if table.cells[at - LANES] == 0:
                return -1
            if at == table.length:
                at = 0
            if at == first:
                return -1
            continue
        cell = table.cells[at]
        if cell >> (shift + STATES) == wanted and (cell >> shift) & ((1 << STATES) - 1) != 0:
            return at


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
