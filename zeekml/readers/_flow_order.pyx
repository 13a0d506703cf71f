"""Flows held in a heap by their end, and which of them may go on."""

from libc.stdint cimport int64_t, uint8_t

from zeekml.readers._flow_order cimport EXITING, HELD
from zeekml.readers._stream_clock cimport NOW, tick


cdef struct Heap:
    int64_t* ends
    int64_t* numbers
    int64_t* state


cdef void push(Heap heap, int64_t end, int64_t number) noexcept nogil:
    cdef int64_t at = heap.state[HELD], above
    heap.state[HELD] += 1
    while at > 0:
        above = (at - 1) // 2
        # numbers grow, so among equal ends the newcomer stays below
        if heap.ends[above] <= end:
            break
        heap.ends[at], heap.numbers[at] = heap.ends[above], heap.numbers[above]
        at = above
    heap.ends[at], heap.numbers[at] = end, number


cdef inline bint precedes(Heap heap, int64_t one, int64_t other) noexcept nogil:
    if heap.ends[one] != heap.ends[other]:
        return heap.ends[one] < heap.ends[other]
    return heap.numbers[one] < heap.numbers[other]


cdef int64_t pop(Heap heap) noexcept nogil:
    """Take out the number of the flow that ended first."""
    cdef int64_t first = heap.numbers[0], n = heap.state[HELD] - 1, at = 0, below
    heap.state[HELD] = n
    # the last one stays where it is until there is a place for it
    while True:
        below = 2 * at + 1
        if below >= n:
            break
        if below + 1 < n and precedes(heap, below + 1, below):
            below += 1
        if precedes(heap, n, below):
            break
        heap.ends[at], heap.numbers[at] = heap.ends[below], heap.numbers[below]
        at = below
    heap.ends[at], heap.numbers[at] = heap.ends[n], heap.numbers[n]
    return first


cdef inline int64_t pop_all(Heap heap, int64_t* sent) noexcept nogil:
    """Empty the heap; give how many flows were in it."""
    cdef int64_t count = heap.state[HELD], i
    for i in range(count):
        sent[i] = pop(heap)
    return count


def take(
    int64_t[::1] clock,
    int64_t[::1] heap_ends,
    int64_t[::1] heap_numbers,
    int64_t[::1] state,
    const int64_t[::1] ends,
    const uint8_t[::1] at_exit,
    int64_t first,
    int64_t hold,
    int64_t max_held,
    int64_t[::1] sent,
):
    """Take rows numbered from `first`; put out the numbers of those that go on, and give how many.

    The heap has room for `max_held` rows and one more, or for all there are; `sent` for all.
    """
    cdef Heap heap = Heap(&heap_ends[0], &heap_numbers[0], &state[0])
    cdef int64_t count = 0, end, i, rows = ends.shape[0]
    cdef bint anew
    with nogil:
        for i in range(rows):
            end = ends[i]
            if at_exit[i]:
                state[EXITING] = 1
                push(heap, end, first + i)
                if state[HELD] > max_held:
                    sent[count] = pop(heap)
                    count += 1
                continue
            anew = tick(&clock[0], end)
            if anew or state[EXITING]:
                # what was held is of another time, or of another run of the sensor
                state[EXITING] = 0
                count += pop_all(heap, &sent[count])
            if end > clock[NOW]:
                # too far ahead to be believed: nothing can be said of its place
                sent[count] = first + i
                count += 1
            else:
                push(heap, end, first + i)
            while state[HELD] > 0 and (
                heap_ends[0] <= clock[NOW] - hold or state[HELD] > max_held
            ):
                sent[count] = pop(heap)
                count += 1
    return count


def flush(
    int64_t[::1] heap_ends, int64_t[::1] heap_numbers, int64_t[::1] state, int64_t[::1] sent
):
    """Put out the numbers of all flows that are held, in order."""
    cdef Heap heap = Heap(&heap_ends[0], &heap_numbers[0], &state[0])
    with nogil:
        pop_all(heap, &sent[0])
