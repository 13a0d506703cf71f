"""Hash tables for compiled code: 64-bit key → slot number, with deletion; see `hash_table`.

A slot number stays the same while its key lives, so other arrays can hold counters per slot.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

cdef struct HashTable:
    int32_t* cells  # probe position → slot, or -1
    uint64_t* keys  # of each slot
    int32_t* free  # stack of unused slots, its height at the end
    int64_t mask  # makes a hash a probe position
    int64_t slots


cdef inline HashTable table_of(object arrays):
    """The table in the arrays of a `hash_table.HashTable`, which must outlive it."""
    cdef int32_t[::1] cells = arrays.cells
    cdef uint64_t[::1] keys = arrays.keys
    cdef int32_t[::1] free = arrays.free
    return HashTable(&cells[0], &keys[0], &free[0], cells.shape[0] - 1, keys.shape[0])


cdef inline int32_t find(const HashTable* table, uint64_t key) noexcept nogil:
    """Slot of the key, or -1."""
    cdef int64_t at = <int64_t>key & table.mask
    cdef int32_t slot = table.cells[at]
    while slot >= 0 and table.keys[slot] != key:
        at = (at + 1) & table.mask
        slot = table.cells[at]
    return slot


cdef inline int32_t find_or_add(HashTable* table, uint64_t key) noexcept nogil:
    """Slot of the key, newly taken if need be; the caller has made sure that one is free."""
    cdef int64_t at = <int64_t>key & table.mask
    cdef int32_t slot = table.cells[at], height
    while slot >= 0:
        if table.keys[slot] == key:
            return slot
        at = (at + 1) & table.mask
        slot = table.cells[at]
    height = table.free[table.slots] - 1
    table.free[table.slots] = height
    slot = table.free[height]
    table.cells[at] = slot
    table.keys[slot] = key
    return slot


cdef inline void remove(HashTable* table, int32_t slot) noexcept nogil:
    """Give the slot back, closing the gap it leaves in its probe sequence."""
    cdef int64_t mask = table.mask, gap = <int64_t>table.keys[slot] & mask, at, home
    cdef int32_t other, height
    while table.cells[gap] != slot:
        gap = (gap + 1) & mask
    at = gap
    while True:
        at = (at + 1) & mask
        other = table.cells[at]
        if other < 0:
            break
        home = <int64_t>table.keys[other] & mask
        # `other` may move back to the gap unless its home lies between the two (cyclically)
        if ((at - home) & mask) >= ((at - gap) & mask):
            table.cells[gap] = other
            gap = at
    table.cells[gap] = -1
    height = table.free[table.slots]
    table.free[height] = slot
    table.free[table.slots] = height + 1
