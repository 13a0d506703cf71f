"""The groups of a stream and their rankings, see `sliding_windows`."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint64_t

from zeekml.core._hash_table cimport find, find_or_add, remove
from zeekml.detection.incidents._incidents cimport (
    MAX_KINDS, MAX_RANKINGS, MAX_ROWS, NONE, THREAT_COUNT, Group, Link, PairCounts, Row, Windows,
    WindowTally,
)
from zeekml.features._hashes cimport mix


cdef inline int32_t place_row(Windows* w, const Row* new) noexcept nogil:
    """Give a row of a batch a place in `rows`, held by the caller."""
    cdef int32_t row
    cdef Link* link
    cdef int i
    w.tally.unused -= 1
    row = w.free[w.tally.unused]
    w.rows[row] = new[0]
    link = &w.links[row]
    link.held = 1
    for i in range(MAX_KINDS):
        link.group[i] = NONE
    for i in range(MAX_RANKINGS):
        link.beaten[i] = NONE
    return row


cdef inline void hold(Windows* w, int32_t row) noexcept nogil:
    """Keep a row until it is released as often."""
    w.links[row].held += 1


cdef inline void release(Windows* w, int32_t row) noexcept nogil:
    """Give up a row held before."""
    w.links[row].held -= 1
    if w.links[row].held == 0:
        w.free[w.tally.unused] = row
        w.tally.unused += 1


cdef inline uint64_t lane_key(uint64_t key, int64_t lane) noexcept nogil:
    """Key of the group of a lane, from the key for the lane's kind."""
    return mix(key + <uint64_t>lane)


cdef inline int32_t enter_group(Windows* w, int64_t lane, uint64_t key, int32_t row) noexcept nogil:
    """Put the newest row into its group of a lane, which is made if need be; return the group."""
    cdef WindowTally* tally = w.tally
    cdef Group* group
    cdef int32_t g
    cdef int64_t ranking
    cdef int i
    cdef double horizon
    key = lane_key(key, lane)
    g = find(&w.table, key)
    if g == NONE:
        g = find_or_add(&w.table, key)
        tally.groups += 1
        group = &w.groups[g]
        group.key = key
        group.lane = <int32_t>lane
        group.size = 0
        group.uncontested = 0
        for i in range(THREAT_COUNT):
            group.own[i] = 0
        for i in range(MAX_RANKINGS):
            group.highest[i] = NONE
            group.lowest[i] = NONE
    else:
        group = &w.groups[g]
        unlink_group(w, group)
    group.before = tally.freshest
    group.after = NONE
    if tally.freshest == NONE:
        tally.stalest = g
    else:
        w.groups[tally.freshest].after = g
    tally.freshest = g
    w.links[row].newer[lane] = NONE
    if group.size == 0:
        group.oldest = row
    else:
        w.links[group.newest].newer[lane] = row
    group.newest = row
    group.size += 1
    tally.rows += 1
    hold(w, row)
    w.links[row].group[lane] = g
    count_row(w, g, row, 1)
    horizon = w.rows[row].clock - w.layout.window[lane]
    while w.rows[group.oldest].clock <= horizon:
        drop_row(w, g)
    while group.size > MAX_ROWS:
        drop_row(w, g)
        tally.dropped += 1
    for ranking in range(w.layout.first_ranking[lane], w.layout.first_ranking[lane + 1]):
        enter_ranking(w, ranking, group, row)
    return g


cdef inline void make_room(Windows* w, int64_t entered) noexcept nogil:
    """Keep to the bounds, sparing the `entered` groups that got a row last."""
    cdef WindowTally* tally = w.tally
    while tally.groups > entered and (
        tally.groups > tally.max_groups or tally.rows > tally.max_rows
    ):
        drop_group(w, tally.stalest)
        tally.evicted += 1


cdef inline void drop_stale(Windows* w, double clock) noexcept nogil:
    """Drop the groups whose windows are over: all, if `clock` is infinite."""
    # groups stand in the order of their newest rows, so the stale ones come first
    while w.tally.stalest != NONE:
        if w.rows[w.groups[w.tally.stalest].newest].clock > clock - w.layout.span:
            return
        drop_group(w, w.tally.stalest)


cdef inline void forget(Windows* w, uint64_t key, int64_t kind) noexcept nogil:
    """Drop the groups of a key and their rows."""
    cdef int64_t lane
    cdef int32_t g
    for lane in range(w.layout.first_lane[kind], w.layout.first_lane[kind + 1]):
        g = find(&w.table, lane_key(key, lane))
        if g != NONE:
            drop_group(w, g)


cdef inline void claim(Windows* w, int32_t row) noexcept nogil:
    """Mark a row as belonging to an incident of its own most likely threat."""
    cdef int change
    cdef int64_t lane
    cdef int32_t g
    if w.rows[row].claimed:
        return
    for change in range(-1, 2, 2):
        for lane in range(w.layout.lanes):
            g = w.links[row].group[lane]
            if g != NONE:
                count_row(w, g, row, change)
        w.rows[row].claimed = True


cdef inline int64_t own_rows(
    Windows* w, int32_t g, int threat, int32_t opener, int32_t* out
) noexcept nogil:
    """Write the rows that may belong to an incident into `out`, oldest first; return how many.

    Rows of another kind's incident may not, nor those that speak for benign. With `threat`, only
    those for which it is the most likely; `NONE` takes all. The opener always does. Each is held
    once more.
    """
    cdef int64_t found = 0
    cdef int32_t lane = w.groups[g].lane, row = w.groups[g].oldest
    cdef const Row* entry
    while row != NONE:
        entry = &w.rows[row]
        if row == opener or (
            entry.even and not entry.claimed and (threat == NONE or entry.threat == threat)
        ):
            hold(w, row)
            out[found] = row
            found += 1
        row = w.links[row].newer[lane]
    return found


cdef inline void drop_row(Windows* w, int32_t g) noexcept nogil:
    """Drop the oldest row of a group."""
    cdef Group* group = &w.groups[g]
    cdef int32_t lane = group.lane, row = group.oldest
    cdef int64_t ranking
    group.oldest = w.links[row].newer[lane]
    group.size -= 1
    w.tally.rows -= 1
    for ranking in range(w.layout.first_ranking[lane], w.layout.first_ranking[lane + 1]):
        leave_ranking(w, ranking, group, row)
    count_row(w, g, row, -1)
    w.links[row].group[lane] = NONE
    release(w, row)


cdef inline void drop_group(Windows* w, int32_t g) noexcept nogil:
    while w.groups[g].size:
        drop_row(w, g)
    unlink_group(w, &w.groups[g])
    remove(&w.table, g)
    w.tally.groups -= 1


cdef inline void unlink_group(Windows* w, const Group* group) noexcept nogil:
    if group.before == NONE:
        w.tally.stalest = group.after
    else:
        w.groups[group.before].after = group.after
    if group.after == NONE:
        w.tally.freshest = group.before
    else:
        w.groups[group.after].before = group.before


cdef inline void count_row(Windows* w, int32_t g, int32_t row, int32_t change) noexcept nogil:
    """Count a row in or out of its group.

    A row that may belong to an incident is contested where most rows between the same two hosts
    belong to one of another kind: they are of one piece, and a flood whose flows waver would
    otherwise, if it is only long enough, once win the vote for something else in its source's
    group.
    """
    cdef const Row* entry = &w.rows[row]
    cdef PairCounts* counts
    cdef int32_t pair, before
    if not entry.claimed:
        if not entry.even:
            return
        w.groups[g].own[entry.threat] += change
    pair = find_or_add(&w.pairs, mix(entry.hosts + <uint64_t>g))
    counts = &w.of_pair[pair]
    before = uncontested(counts)
    if entry.claimed:
        counts.claimed += change
    else:
        counts.free += change
    w.groups[g].uncontested += uncontested(counts) - before
    if counts.free == 0 and counts.claimed == 0:
        remove(&w.pairs, pair)


cdef inline int32_t uncontested(const PairCounts* counts) noexcept nogil:
    return counts.free if counts.free > counts.claimed else 0


cdef inline void enter_ranking(
    Windows* w, int64_t ranking, Group* group, int32_t row
) noexcept nogil:
    """Take in the newest row of a group; of equals it is the higher one."""
    cdef int64_t measure = w.layout.measure[ranking], top = w.layout.top[ranking]
    cdef int64_t value = w.rows[row].values[measure]
    cdef int32_t below = NONE, at = group.lowest[ranking], above
    cdef Link* link
    while at != NONE and w.rows[at].values[measure] <= value:
        link = &w.links[at]
        above = link.higher[ranking]
        link.beaten[ranking] += 1
        if link.beaten[ranking] >= top:
            leave_ranking(w, ranking, group, at)
        else:
            below = at
        at = above
    link = &w.links[row]
    link.beaten[ranking] = 0
    link.higher[ranking] = at
    link.lower[ranking] = below
    if at == NONE:
        group.highest[ranking] = row
    else:
        w.links[at].lower[ranking] = row
    if below == NONE:
        group.lowest[ranking] = row
    else:
        w.links[below].higher[ranking] = row


cdef inline void leave_ranking(
    Windows* w, int64_t ranking, Group* group, int32_t row
) noexcept nogil:
    """Take a row out, if it is in."""
    cdef Link* link = &w.links[row]
    cdef int32_t above, below
    if link.beaten[ranking] == NONE:
        return
    link.beaten[ranking] = NONE
    above, below = link.higher[ranking], link.lower[ranking]
    if above == NONE:
        group.highest[ranking] = below
    else:
        w.links[above].lower[ranking] = below
    if below == NONE:
        group.lowest[ranking] = above
    else:
        w.links[below].higher[ranking] = above
