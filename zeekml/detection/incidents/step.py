"""The step of a candidate through its groups, with the opening rule, up to where a line may be due.

Nearly all candidates of a dense log only join an incident. Compiled code takes them in and comes
back for what needs texts: an incident to open, a line to write, a new signature.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from zeekml.detection.incidents import open_incidents, sliding_windows
from zeekml.detection.incidents._incidents import MAX_KINDS, MAX_ROWS, QUOTED_ROWS
from zeekml.detection.incidents.compiled_policy import CompiledPolicy, Records, alike
from zeekml.detection.incidents.open_incidents import OpenIncidents
from zeekml.detection.incidents.sliding_windows import Links, Windows
from zeekml.detection.rules import Limits

POSITION: Final = np.dtype(
    [
        ("clock", np.float64),  # stream clock
        ("strength", np.float64),  # what speaks for the incident that the row opens
        ("number", np.int64),  # of the row in the batch
        ("step", np.int64),  # how many kinds of groups the row has been through
        ("row", np.int32),  # its place in `Windows.rows`
        *alike(np.int64, "kind", "threat", "count"),
        ("incident", np.int32),
        ("suppressed", np.int64),  # rows that belonged to an incident without any line
        *alike(np.bool_, "begun", "belongs", "written", "line_due", "told_due"),
        ("alone", np.bool_),  # whether the row that opens an incident is enough by itself
    ],
    align=True,
)


class TrackerState(NamedTuple):
    """All that compiled code works on between two batches of one stream."""

    position: Records  # POSITION (1,)
    windows: Windows
    incidents: OpenIncidents
    here: Links  # the groups of a row
    rows: Links  # those that open an incident


def new_state(policy: CompiledPolicy, limits: Limits) -> TrackerState:
    """Before the first row of a stream."""
    position = np.zeros(1, POSITION)
    position["clock"] = -np.inf
    held = QUOTED_ROWS * (limits.incidents + 1) + MAX_ROWS + 1
    return TrackerState(
        position,
        sliding_windows.new_windows(policy, limits.groups, limits.rows, held),
        open_incidents.new_open_incidents(limits.incidents, limits.values),
        np.zeros(MAX_KINDS, np.int32),
        np.zeros(MAX_ROWS, np.int32),
    )
