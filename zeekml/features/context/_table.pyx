"""Compact hash tables and slots one step at a time, for whoever looks at them from Python."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from zeekml.features.context._context cimport Slots, Table, give_slot, take_slot


cdef Table _table(table) except *:
    cdef Table view
    cdef uint32_t[::1] cells = table.cells
    cdef int64_t[::1] counts = table.counts
    view.cells, view.length, view.counts = &cells[0], cells.shape[0], &counts[0]
    return view


cdef Slots _slots(slots) except *:
    cdef Slots view
    cdef int32_t[::1] free = slots.free
    cdef int64_t[::1] counts = slots.counts
    view.free, view.counts = &free[0], &counts[0]
    return view


def alike(table, uint64_t key_hash):
    """All cells that may be the key's."""
    cdef Table view = _table(table)
    cdef Search s = search(&view, key_hash)
    cdef int64_t at = next_alike(&s)
    cells = []
    while at >= 0:
        cells.append(at)
        at = next_alike(&s)
    return cells


def cell(table, int64_t at):
    """State and number of a cell."""
    cdef Table view = _table(table)
    return state_at(&view, at), number_at(&view, at)


def change(table, int64_t at, int state, int64_t number):
    """Give a key's cell another state and number."""
    cdef Table view = _table(table)
    set_cell(&view, at, state, number)


def add(table, uint64_t key_hash, int state, int64_t number):
    """Add a key that is not in the table, which has room; return its cell."""
    cdef Table view = _table(table)
    return insert(&view, key_hash, state, number)


def remove(table, uint64_t key_hash, int64_t at):
    """Remove the key in a cell."""
    cdef Table view = _table(table)
    erase(&view, key_hash, at)


def take(slots):
    """A place that is not in use."""
    cdef Slots view = _slots(slots)
    return take_slot(&view)


def give(slots, int64_t place):
    """Give a place back."""
    cdef Slots view = _slots(slots)
    give_slot(&view, place)
