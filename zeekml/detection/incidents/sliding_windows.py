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

from zeekml.core.hash_table import HashTable, new_table
from zeekml.detection.incidents._incidents import MAX_KINDS, MAX_RANKINGS, MAX_ROWS, NONE
from zeekml.detection.incidents.candidate_rows import ROW
from zeekml.detection.incidents.compiled_policy import CompiledPolicy, Records, alike
from zeekml.ensemble.classes import THREATS

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
        ("uncontested", np.int32),  # how many of those are not contested, see `count_row`
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
