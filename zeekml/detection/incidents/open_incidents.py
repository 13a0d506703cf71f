"""The numbers of all open incidents: how many of everything, and what their flows share.

They hold rows of `Windows` for what a line may have to quote: the last flow, and the flows of the
hosts and ports that matter most. What counts is compiled, in `_open_incidents.pxd`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from zeekml.core.hash_table import HashTable, new_table
from zeekml.detection.incidents._incidents import MAX_TOLD_SETS
from zeekml.detection.incidents.compiled_policy import Records, alike
from zeekml.detection.incidents.sliding_windows import Links
from zeekml.ensemble.classes import THREATS

INCIDENT: Final = np.dtype(
    [
        ("key", np.uint64),  # of its group
        ("order", np.int64),  # incidents opened before
        ("activity", np.int64),  # grows with each row of any incident
        ("flows", np.int64),
        ("suppress_for", np.float64),
        ("last_clock", np.float64),  # stream clock at the last flow and at the last line
        ("line_clock", np.float64),
        *alike(np.float64, "first_ts", "last_ts", "end", "score", "spread"),
        ("strength", np.float64),  # the most evidence for its threat so far
        *alike(np.int64, "sent", "received"),
        *alike(np.uint64, "orig", "resp", "proto", "service"),  # of the first flow, as the port
        ("port", np.int32),
        ("last", np.int32),  # row
        ("threat", np.int8),
        *alike(np.bool_, "open", "named"),
        # whether all flows share it
        *alike(np.bool_, "same_orig", "same_resp", "same_port", "same_proto", "same_service"),
        # originators, responders, and pairs of protocol and responder's port
        ("total", np.float64, (3,)),  # weight of all flows
        ("count", np.int32, (3,)),
        ("newest", np.int32, (3,)),  # value, the others are linked from there
        ("main", np.int32, (3,)),  # value with the largest weight
        ("main_row", np.int32, (3,)),  # a row that has it
        ("more", np.int8, (3,)),  # whether there were values that are not remembered
        ("told_sets", np.uint64, (MAX_TOLD_SETS,)),  # keys of sets that were seen
        ("told_seen", np.int64),  # how often a set was new
    ],
    align=True,
)

# how much a value's flows speak for the incident's threat, and the value remembered before, of the
# same incident and sort
VALUE: Final = np.dtype([("weight", np.float64), ("older", np.int32)], align=True)

# the incident of each threat, and how many there are
OF_GROUP: Final = np.dtype(
    [("incident", np.int32, (len(THREATS),)), ("count", np.int32)], align=True
)

ACCOUNT: Final = np.dtype(
    [
        ("values_left", np.int64),  # how many values all incidents together may still remember
        *alike(np.int64, "opened", "open", "activity"),
        ("next_due", np.float64),  # no incident is due before this stream clock
    ],
    align=True,
)


class OpenIncidents(NamedTuple):
    """Open incidents, known by their place in `entries`."""

    account: Records  # ACCOUNT (1,)
    entries: Records  # INCIDENT (incidents,)
    # int32 (incidents,): Stack of unused places, of which there are incidents − account.open
    free: Links
    table: HashTable  # key of an incident and a value → place in values
    values: Records  # VALUE (values,)
    groups: HashTable  # key of a group → place in of_group
    of_group: Records  # OF_GROUP (groups,): The group's open incidents


def new_open_incidents(max_incidents: int, max_values: int) -> OpenIncidents:
    """Room for so many open incidents, and for so many values remembered by all of them."""
    places = max_incidents + 1
    groups = new_table(1 << places.bit_length())
    table = new_table(1 << max_values.bit_length())
    account = np.zeros(1, ACCOUNT)
    account["values_left"] = max_values
    account["next_due"] = np.inf
    return OpenIncidents(
        account=account,
        entries=np.zeros(places, INCIDENT),
        free=np.arange(places - 1, -1, -1, dtype=np.int32),
        table=table,
        values=np.zeros(table.slots, VALUE),
        groups=groups,
        of_group=np.zeros(groups.slots, OF_GROUP),
    )
