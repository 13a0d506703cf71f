"""What Python calls of the hash tables: finding keys anew, and single steps for tests."""


def reinsert(int32_t[::1] cells, const uint64_t[::1] keys, const int32_t[::1] slots):
    """Let empty cells find the keys of these slots, all different."""
    cdef int64_t mask = cells.shape[0] - 1, at
    cdef Py_ssize_t i
    with nogil:
        for i in range(slots.shape[0]):
            at = <int64_t>keys[slots[i]] & mask
            while cells[at] >= 0:
                at = (at + 1) & mask
            cells[at] = slots[i]


def slot_of(arrays, uint64_t key):
    """Slot of the key, or -1."""
    cdef HashTable table = table_of(arrays)
    return find(&table, key)


def slot_for(arrays, uint64_t key):
    """Slot of the key, newly taken if need be, which takes a free one."""
    cdef HashTable table = table_of(arrays)
    return find_or_add(&table, key)


def give_back(arrays, int32_t slot):
    """Remove the key of the slot."""
    cdef HashTable table = table_of(arrays)
    remove(&table, slot)
