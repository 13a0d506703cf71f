"""Sliding windows over the candidates of a group, with their highest rows, in bounded memory.

A window at stream clock c and of length w holds the rows whose clock lies in (c - w, c]. The ends
are chosen so that the rows of an incident have all left the window when the incident closes, w
after its last row at the earliest. All functions are compiled.
"""

from __future__ import annotations

import numpy as np

from zeekml.core.hash_table import find, find_or_add, remove
from zeekml.detection.incidents.candidate_rows import Batch
from zeekml.detection.incidents.compile import compiled
from zeekml.detection.incidents.top_k import enter_ranking, leave_ranking
from zeekml.detection.incidents.window_arrays import MAX_ROWS, NONE, Links, Windows
from zeekml.features.addresses import mix


@compiled
def place_row(w: Windows, batch: Batch, number: int) -> int:
    """Give a row of the batch a place in `rows`, held by the caller."""
    w.tally[0].unused -= 1
    row = w.free[w.tally[0].unused]
    w.rows[row] = batch.rows[number]
    link = w.links[row]
    link.held = 1
    link.group[:] = NONE
    link.beaten[:] = NONE
    return row


@compiled
def hold(w: Windows, row: int) -> None:
    """Keep a row until it is let go as often."""
    w.links[row].held += 1


@compiled
def let_go(w: Windows, row: int) -> None:
    """Give up a row held before."""
    w.links[row].held -= 1
    if w.links[row].held == 0:
        w.free[w.tally[0].unused] = row
        w.tally[0].unused += 1


@compiled
def lane_key(key: np.uint64, lane: int) -> np.uint64:
    """Key of the group of a lane, from the key for the lane's kind."""
    return mix(key + np.uint64(lane))


@compiled
def enter_group(w: Windows, lane: int, key: np.uint64, row: int) -> int:
    """Put the newest row into its group of a lane, which is made if need be; return the group."""
    key = lane_key(key, lane)
    g = find(w.table, key)
    if g == NONE:
        g = find_or_add(w.table, key)
        w.tally[0].groups += 1
        group = w.groups[g]
        group.key = key
        group.lane = lane
        group.size = 0
        group.uncontested = 0
        group.own[:] = 0
        group.highest[:] = NONE
        group.lowest[:] = NONE
    else:
        _unlink_group(w, g)
    group = w.groups[g]
    _link_group(w, g)
    w.links[row].newer[lane] = NONE
    if group.size == 0:
        group.oldest = row
    else:
        w.links[group.newest].newer[lane] = row
    group.newest = row
    group.size += 1
    w.tally[0].rows += 1
    hold(w, row)
    w.links[row].group[lane] = g
    _count(w, g, row, 1)
    horizon = w.rows[row].clock - w.layout[0].window[lane]
    while w.rows[group.oldest].clock <= horizon:
        _drop_row(w, g)
    while group.size > MAX_ROWS:
        _drop_row(w, g)
        w.tally[0].dropped += 1
    first, end = w.layout[0].first_ranking[lane], w.layout[0].first_ranking[lane + 1]
    for ranking in range(first, end):
        enter_ranking(w, ranking, g, row)
    return g


@compiled
def make_room(w: Windows, entered: int) -> None:
    """Keep to the bounds, sparing the `entered` groups that got a row last."""
    tally = w.tally[0]
    while True:
        if tally.groups <= entered or (
            tally.groups <= tally.max_groups and tally.rows <= tally.max_rows
        ):
            return
        _drop_group(w, tally.stalest)
        tally.evicted += 1


@compiled
def drop_stale(w: Windows, clock: float) -> None:
    """Drop the groups whose windows are over."""
    # groups stand in the order of their newest rows, so the stale ones come first
    tally = w.tally[0]
    while tally.stalest != NONE:
        if w.rows[w.groups[tally.stalest].newest].clock > clock - w.layout[0].span:
            return
        _drop_group(w, tally.stalest)


@compiled
def forget(w: Windows, key: np.uint64, kind: int) -> None:
    """Drop the groups of a key and their rows."""
    first, end = w.layout[0].first_lane[kind], w.layout[0].first_lane[kind + 1]
    for lane in range(first, end):
        g = find(w.table, lane_key(key, lane))
        if g != NONE:
            _drop_group(w, g)


@compiled
def clear(w: Windows) -> None:
    """Drop all groups."""
    while w.tally[0].stalest != NONE:
        _drop_group(w, w.tally[0].stalest)


@compiled
def claim(w: Windows, row: int) -> None:
    """Mark a row as belonging to an incident of its own most likely threat."""
    if w.rows[row].claimed:
        return
    _count_everywhere(w, row, -1)
    w.rows[row].claimed = True
    _count_everywhere(w, row, 1)


@compiled
def _count_everywhere(w: Windows, row: int, change: int) -> None:
    for lane in range(w.layout[0].lanes):
        g = w.links[row].group[lane]
        if g != NONE:
            _count(w, g, row, change)


@compiled
def own_rows(w: Windows, g: int, threat: int, out: Links) -> int:
    """Write the rows that may belong to an incident into `out`, oldest first; return how many.

    Rows of another kind's incident may not, nor those that speak for benign. With `threat`, only
    those for which it is the most likely; `NONE` takes all. Each is held once more.
    """
    found = 0
    lane = w.groups[g].lane
    row = w.groups[g].oldest
    while row != NONE:
        entry = w.rows[row]
        if entry.even and not entry.claimed and (threat == NONE or entry.threat == threat):
            hold(w, row)
            out[found] = row
            found += 1
        row = w.links[row].newer[lane]
    return found


@compiled
def _drop_row(w: Windows, g: int) -> None:
    """Drop the oldest row of a group."""
    group = w.groups[g]
    lane, row = group.lane, group.oldest
    group.oldest = w.links[row].newer[lane]
    group.size -= 1
    w.tally[0].rows -= 1
    first, end = w.layout[0].first_ranking[lane], w.layout[0].first_ranking[lane + 1]
    for ranking in range(first, end):
        leave_ranking(w, ranking, g, row)
    _count(w, g, row, -1)
    w.links[row].group[lane] = NONE
    let_go(w, row)


@compiled
def _drop_group(w: Windows, g: int) -> None:
    while w.groups[g].size:
        _drop_row(w, g)
    _unlink_group(w, g)
    remove(w.table, g)
    w.tally[0].groups -= 1


@compiled
def _link_group(w: Windows, g: int) -> None:
    tally, group = w.tally[0], w.groups[g]
    group.before, group.after = tally.freshest, NONE
    if tally.freshest == NONE:
        tally.stalest = g
    else:
        w.groups[tally.freshest].after = g
    tally.freshest = g


@compiled
def _unlink_group(w: Windows, g: int) -> None:
    tally, group = w.tally[0], w.groups[g]
    if group.before == NONE:
        tally.stalest = group.after
    else:
        w.groups[group.before].after = group.after
    if group.after == NONE:
        tally.freshest = group.before
    else:
        w.groups[group.after].before = group.before


@compiled
def _count(w: Windows, g: int, row: int, change: int) -> None:
    """Count a row in or out of its group.

    A row that may belong to an incident is contested where most rows between the same two hosts
    belong to one of another kind: they are of one piece, and a flood whose flows waver would
    otherwise, if it is only long enough, once win the vote for something else in its source's
    group.
    """
    entry = w.rows[row]
    if not entry.claimed:
        if not entry.even:
            return
        w.groups[g].own[entry.threat] += change
    pair = find_or_add(w.pairs, mix(entry.hosts + np.uint64(g)))
    counts = w.of_pair[pair]
    before = counts[0] if counts[0] > counts[1] else 0
    counts[1 if entry.claimed else 0] += change
    after = counts[0] if counts[0] > counts[1] else 0
    w.groups[g].uncontested += after - before
    if counts[0] == 0 and counts[1] == 0:
        remove(w.pairs, pair)
