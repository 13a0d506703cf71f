"""The memory behind the windows: rows, groups, and what links them.

Rows live in one array and are known by their place in it, which is used again once nobody holds
the row. A group is a list of rows, linked from the oldest to the newest, and what is asked of it
at every candidate is kept count of rather than counted.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.core.hash_table import HashTable, new_table
from zeekml.detection.incidents.candidate_rows import ROW
from zeekml.detection.incidents.compiled_policy import (
    MAX_KINDS,
    MAX_RANKINGS,
    CompiledPolicy,
    Records,
)
from zeekml.ensemble.classes import THREATS

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
        ("oldest", np.int32),  # rows
        ("newest", np.int32),
        ("before", np.int32),  # groups, by when they last got a row
        ("after", np.int32),
        ("lane", np.int32),
        ("size", np.int32),
        ("own", np.int32, (len(THREATS),)),  # rows that may belong to an incident, by threat
        ("uncontested", np.int32),  # how many of those are not contested, see `_count`
        ("highest", np.int32, (MAX_RANKINGS,)),  # ends of the rankings
        ("lowest", np.int32, (MAX_RANKINGS,)),
    ],
    align=True,
)

TALLY: Final = np.dtype(
    [
        ("max_groups", np.int64),
        ("max_rows", np.int64),
        ("rows", np.int64),  # in all windows; a row counts once for each
        ("unused", np.int64),  # places for rows
        ("groups", np.int64),
        ("evicted", np.int64),
        ("dropped", np.int64),
        ("stalest", np.int32),  # the groups least and most recently active
        ("freshest", np.int32),
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


def new_windows(plan: CompiledPolicy, max_groups: int, max_rows: int, more_rows: int) -> Windows:
    """Empty windows."""
    lanes = int(plan.layout["lanes"][0])
    # the groups of the row at hand stay, whatever the bounds
    in_windows = max(max_rows, lanes * MAX_ROWS) + lanes
    table = new_table(_power_of_two(max(max_groups, lanes) + lanes))
    pairs = new_table(_power_of_two(in_windows))
    rows = in_windows + more_rows
    tally = np.zeros(1, TALLY)
    tally["max_groups"], tally["max_rows"], tally["unused"] = max_groups, max_rows, rows
    tally["stalest"] = tally["freshest"] = NONE
    return Windows(
        layout=plan.layout,
        detectors=plan.detectors,
        tally=tally,
        rows=np.zeros(rows, ROW),
        links=np.zeros(rows, LINK),
        free=np.arange(rows - 1, -1, -1, dtype=np.int32),
        table=table,
        groups=np.zeros(table.slots, GROUP),
        pairs=pairs,
        of_pair=np.zeros((pairs.slots, 2), np.int32),
    )


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 1).bit_length()
