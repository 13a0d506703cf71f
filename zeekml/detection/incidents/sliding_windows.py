"""Sliding windows over the candidates of a group, with their highest rows, in bounded memory.

A window at stream clock c and of length w holds the rows whose clock lies in (c - w, c]. The ends
are chosen so that the rows of an incident have all left the window when the incident closes, w
after its last row at the earliest.

Rows live in one array and are known by their place in it, which is used again once nobody holds
the row. A group is a list of rows, linked from the oldest to the newest, and what is asked of it
at every candidate is kept count of rather than counted.

A ranking keeps the top k rows of a group without looking at its window: a row that k newer rows
equal or exceed can never again be among the highest, since those outlive it, and leaves. What
remains is about k * ln(rows / k) long when values come in any order. Each row is overtaken at most
k times, which bounds the work.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.core.hash_table import HashTable, find, find_or_add, new_table, remove
from zeekml.detection.incidents.candidate_rows import ROW, Batch
from zeekml.detection.incidents.compiled_policy import (
    MAX_KINDS,
    MAX_RANKINGS,
    CompiledPolicy,
    Records,
    alike,
    compiled,
)
from zeekml.ensemble.classes import THREATS
from zeekml.features.addresses import mix

NONE: Final = -1
"""Where a number of a row or group is expected: there is none."""

MAX_ROWS: Final = 4096
"""Rows one group remembers; older ones are dropped and counted."""

Links = npt.NDArray[np.int32]

LINK: Final = np.dtype(
    [
        ("held", np.int32),  # by how many the row is still needed
        ("group", np.int32, (MAX_KINDS,)),  # the row's group in each lane
        ("newer", np.int32, (MAX_KINDS,)),  # the next newer row there
        ("higher", np.int32, (MAX_RANKINGS,)),  # neighbours in each ranking
        ("lower", np.int32, (MAX_RANKINGS,)),
        # how many newer rows have at least the row's value; NONE if it is not in the ranking
        ("beaten", np.int16, (MAX_RANKINGS,)),
    ],
    align=True,
)

GROUP: Final = np.dtype(
    [
        ("key", np.uint64),
        *alike(np.int32, "oldest", "newest"),  # rows
        *alike(np.int32, "before", "after"),  # groups, by when they last got a row
        *alike(np.int32, "lane", "size"),
        ("own", np.int32, (len(THREATS),)),  # rows that may belong to an incident, by threat
        ("uncontested", np.int32),  # how many of those are not contested, see `_count`
        ("highest", np.int32, (MAX_RANKINGS,)),  # ends of the rankings
        ("lowest", np.int32, (MAX_RANKINGS,)),
    ],
    align=True,
)

TALLY: Final = np.dtype(
    [
        *alike(np.int64, "max_groups", "max_rows"),
        ("rows", np.int64),  # in all windows; a row counts once for each
        ("unused", np.int64),  # places for rows
        *alike(np.int64, "groups", "evicted", "dropped"),
        *alike(np.int32, "stalest", "freshest"),  # the groups least and most recently active
    ],
    align=True,
)


class Windows(NamedTuple):
    """All groups of a stream; the least recently active are dropped first when memory is short."""

    layout: Records  # as in CompiledPolicy
    detectors: Records
    tally: Records  # TALLY (1,): Counts of everything together
    rows: Records  # ROW (rows,)
    links: Records  # LINK (rows,): Where each row is
    # int32 (rows,): The first tally.unused of these are places in rows that nobody holds
    free: Links
    table: HashTable  # key → group
    groups: Records  # GROUP (groups,)
    pairs: HashTable  # key of a group and two hosts → place in of_pair
    # int32 (pairs, 2): Rows between the hosts that may belong to an incident, and that are
    # claimed
    of_pair: Links


def new_windows(policy: CompiledPolicy, max_groups: int, max_rows: int, more_rows: int) -> Windows:
    """Empty windows; others may hold `more_rows` that are in none."""
    lanes = int(policy.layout["lanes"][0])
    # the groups of the row at hand stay, whatever the bounds
    in_windows = max(max_rows, lanes * MAX_ROWS) + lanes
    in_groups = max(max_groups, lanes) + lanes
    # the next power of two of each
    table, pairs = (new_table(1 << max(n - 1, 1).bit_length()) for n in (in_groups, in_windows))
    rows = in_windows + more_rows
    tally = np.zeros(1, TALLY)
    tally["max_groups"], tally["max_rows"], tally["unused"] = max_groups, max_rows, rows
    tally["stalest"] = tally["freshest"] = NONE
    return Windows(
        layout=policy.layout,
        detectors=policy.detectors,
        tally=tally,
        rows=np.zeros(rows, ROW),
        links=np.zeros(rows, LINK),
        free=np.arange(rows - 1, -1, -1, dtype=np.int32),
        table=table,
        groups=np.zeros(table.slots, GROUP),
        pairs=pairs,
        of_pair=np.zeros((pairs.slots, 2), np.int32),
    )


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
    """Keep a row until it is released as often."""
    w.links[row].held += 1


@compiled
def release(w: Windows, row: int) -> None:
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
    tally, group = w.tally[0], w.groups[g]
    group.before, group.after = tally.freshest, NONE
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
    _count(w, g, row, 1)
    horizon = w.rows[row].clock - w.layout[0].window[lane]
    while w.rows[group.oldest].clock <= horizon:
        _drop_row(w, g)
    while group.size > MAX_ROWS:
        _drop_row(w, g)
        tally.dropped += 1
    for ranking in range(w.layout[0].first_ranking[lane], w.layout[0].first_ranking[lane + 1]):
        enter_ranking(w, ranking, g, row)
    return g


@compiled
def make_room(w: Windows, entered: int) -> None:
    """Keep to the bounds, sparing the `entered` groups that got a row last."""
    tally = w.tally[0]
    while tally.groups > entered and (
        tally.groups > tally.max_groups or tally.rows > tally.max_rows
    ):
        _drop_group(w, tally.stalest)
        tally.evicted += 1


@compiled
def drop_stale(w: Windows, clock: float) -> None:
    """Drop the groups whose windows are over: all, if `clock` is infinite."""
    # groups stand in the order of their newest rows, so the stale ones come first
    tally = w.tally[0]
    while tally.stalest != NONE:
        if w.rows[w.groups[tally.stalest].newest].clock > clock - w.layout[0].span:
            return
        _drop_group(w, tally.stalest)


@compiled
def forget(w: Windows, key: np.uint64, kind: int) -> None:
    """Drop the groups of a key and their rows."""
    for lane in range(w.layout[0].first_lane[kind], w.layout[0].first_lane[kind + 1]):
        g = find(w.table, lane_key(key, lane))
        if g != NONE:
            _drop_group(w, g)


@compiled
def claim(w: Windows, row: int) -> None:
    """Mark a row as belonging to an incident of its own most likely threat."""
    if w.rows[row].claimed:
        return
    for change in (-1, 1):
        for lane in range(w.layout[0].lanes):
            g = w.links[row].group[lane]
            if g != NONE:
                _count(w, g, row, change)
        w.rows[row].claimed = True


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
    for ranking in range(w.layout[0].first_ranking[lane], w.layout[0].first_ranking[lane + 1]):
        leave_ranking(w, ranking, g, row)
    _count(w, g, row, -1)
    w.links[row].group[lane] = NONE
    release(w, row)


@compiled
def _drop_group(w: Windows, g: int) -> None:
    while w.groups[g].size:
        _drop_row(w, g)
    _unlink_group(w, g)
    remove(w.table, g)
    w.tally[0].groups -= 1


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


@compiled
def enter_ranking(w: Windows, ranking: int, g: int, row: int) -> None:
    """Take in the newest row of a group; of equals it is the higher one."""
    measure, top = w.layout[0].measure[ranking], w.layout[0].top[ranking]
    value = w.rows[row].values[measure]
    below = NONE
    at = w.groups[g].lowest[ranking]
    while at != NONE and w.rows[at].values[measure] <= value:
        link = w.links[at]
        above = link.higher[ranking]
        link.beaten[ranking] += 1
        if link.beaten[ranking] >= top:
            leave_ranking(w, ranking, g, at)
        else:
            below = at
        at = above
    link = w.links[row]
    link.beaten[ranking] = 0
    link.higher[ranking] = at
    link.lower[ranking] = below
    if at == NONE:
        w.groups[g].highest[ranking] = row
    else:
        w.links[at].lower[ranking] = row
    if below == NONE:
        w.groups[g].lowest[ranking] = row
    else:
        w.links[below].higher[ranking] = row


@compiled
def leave_ranking(w: Windows, ranking: int, g: int, row: int) -> None:
    """Take a row out, if it is in."""
    link = w.links[row]
    if link.beaten[ranking] == NONE:
        return
    link.beaten[ranking] = NONE
    above, below = link.higher[ranking], link.lower[ranking]
    if above == NONE:
        w.groups[g].highest[ranking] = below
    else:
        w.links[above].lower[ranking] = below
    if below == NONE:
        w.groups[g].lowest[ranking] = above
    else:
        w.links[below].higher[ranking] = above


@compiled
def sum_of_best(w: Windows, ranking: int, g: int, measure: int) -> int:
    """The sum of a measure over the `top` highest rows of a group."""
    total = 0
    row = w.groups[g].highest[ranking]
    for _ in range(w.layout[0].top[ranking]):
        if row == NONE:
            break
        total += w.rows[row].values[measure]
        row = w.links[row].lower[ranking]
    return total
