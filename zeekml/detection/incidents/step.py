"""The step of a candidate through its groups, with the opening rule, up to where a line may be due.

Nearly all candidates of a dense log only join an incident. Compiled code takes them in and comes
back for what needs texts: an incident to open, a line to write, a new signature.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from zeekml.core.hash_table import find
from zeekml.detection.incidents import open_incidents, sliding_windows
from zeekml.detection.incidents.candidate_rows import SCORE, UNIT, Batch
from zeekml.detection.incidents.compiled_policy import (
    MAX_KINDS,
    CompiledPolicy,
    Records,
    alike,
    compiled,
)
from zeekml.detection.incidents.open_incidents import QUOTED_ROWS, OpenIncidents
from zeekml.detection.incidents.sliding_windows import MAX_ROWS, NONE, Links, Windows
from zeekml.detection.rules import Limits
from zeekml.ensemble.classes import THREATS


@compiled
def opening_first(w: Windows, kind: int, here: Links, row: int) -> tuple[int, bool]:
    """What a row opens where no incident of the group is open."""
    voted = NONE
    winner = NONE
    evidence = 0.0
    for threat in range(len(THREATS)):
        detector = w.detectors[threat]
        if detector.kind != kind:
            continue
        g = here[detector.lane]
        if w.groups[g].size < detector.minimum_flows:
            continue
        if voted != detector.by_score:
            voted = detector.by_score
            winner = _vote(w, voted, g)
            evidence = _mean_of_best(w, voted, g, SCORE)
        if winner != threat or evidence < detector.threshold:
            continue
        if w.groups[g].uncontested < detector.minimum_flows:
            return opening_another(w, kind, here, row), False
        if _agreed(w, voted, g, threat):
            return threat, True
    if w.layout[0].shared[kind]:
        # many hosts have flows here, so the vote may have been about somebody else's doings:
        # a flood of a host stays a flood though others scan it meanwhile
        return opening_another(w, kind, here, row), False
    return NONE, False


@compiled
def opening_another(w: Windows, kind: int, here: Links, row: int) -> int:
    """The row's most likely threat, if it opens an incident on evidence of its own; or `NONE`."""
    threat: int = w.rows[row].threat
    detector = w.detectors[threat]
    if detector.kind != kind:
        return NONE
    g = here[detector.lane]
    if w.groups[g].own[threat] < detector.minimum_flows:
        return NONE
    if _mean_of_best(w, detector.by_share, g, threat) < detector.threshold:
        return NONE
    return threat if _agreed(w, detector.by_share, g, threat) else NONE


@compiled
def evidence_for(w: Windows, here: Links, threat: int) -> float:
    """What speaks for a threat in the groups of a row, whatever the detector's threshold.

    The mean of the highest rows if they speak for this threat, or that of its own shares.
    """
    detector = w.detectors[threat]
    g = here[detector.lane]
    own = _mean_of_best(w, detector.by_share, g, threat)
    if _vote(w, detector.by_score, g) != threat:
        return own
    return max(own, _mean_of_best(w, detector.by_score, g, SCORE))


@compiled
def _mean_of_best(w: Windows, ranking: int, g: int, measure: int) -> float:
    """The mean of the `top` highest; those that are not there count as zero."""
    return sliding_windows.sum_of_best(w, ranking, g, measure) * UNIT / w.layout[0].top[ranking]


@compiled
def _vote(w: Windows, ranking: int, g: int) -> int:
    """The threat that the highest rows speak for; of equals the first in the order of THREATS."""
    winner, most = NONE, -1
    for threat in range(len(THREATS)):
        votes = sliding_windows.sum_of_best(w, ranking, g, threat)
        if votes > most:
            winner, most = threat, votes
    return winner


@compiled
def _agreed(w: Windows, ranking: int, g: int, threat: int) -> bool:
    """Whether enough members reach the threshold by themselves, on most of the highest rows."""
    rows = agreeing = 0
    row = w.groups[g].highest[ranking]
    while row != NONE and rows < w.layout[0].top[ranking]:
        rows += 1
        agreeing += (w.rows[row].agrees >> threat) & 1
        row = w.links[row].lower[ranking]
    # the lower median of the members' counts reaches what is asked if so many of them do
    return agreeing > rows // 2


# why `advance_rows` comes back
DONE: Final = 0
DUE: Final = 1  # an incident may have to be closed before the next row
OPENS: Final = 2  # `threat` opens with the first `count` of `TrackerState.rows`, which are held
JOINED: Final = 3  # the row is in `incident`, which has a line due or signatures to look at

POSITION: Final = np.dtype(
    [
        ("clock", np.float64),  # stream clock
        ("number", np.int64),  # of the row in the batch
        ("step", np.int64),  # how many kinds of groups the row has been through
        ("row", np.int32),  # its place in `Windows.rows`
        *alike(np.int64, "kind", "threat", "count"),
        ("incident", np.int32),
        ("suppressed", np.int64),  # rows that belonged to an incident without any line
        *alike(np.bool_, "begun", "belongs", "written", "line_due", "signatures_due"),
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


@compiled
def advance_rows(state: TrackerState, batch: Batch) -> int:
    """Take in the rows of a batch from the position on, until something is to be done first.

    `position.number` is 0 for a new batch.
    """
    p, w, incidents = state.position[0], state.windows, state.incidents
    while p.number < len(batch.rows):
        if not p.begun:
            p.clock = batch.rows[p.number].clock
            if incidents.account[0].next_due <= p.clock:
                return DUE
            sliding_windows.drop_stale(w, p.clock)
            p.row = sliding_windows.place_row(w, batch, p.number)
            p.step = 0
            p.begun = True
            p.belongs = p.written = False
        while p.step < w.layout[0].kinds:
            p.kind = w.layout[0].order[w.rows[p.row].threat, p.step]
            p.step += 1
            todo = _enter_groups(state, batch.keys[p.number, p.kind])
            if todo != DONE:
                p.written |= todo == OPENS or p.line_due
                return todo
        if p.belongs and not p.written:
            p.suppressed += 1
        sliding_windows.release(w, p.row)
        p.begun = False
        p.number += 1
    return DONE


@compiled
def _enter_groups(state: TrackerState, key: np.uint64) -> int:
    """Take a row into its groups of one kind, and into an incident there, if it belongs to one."""
    p, w, incidents, here = state.position[0], state.windows, state.incidents, state.here
    layout = w.layout[0]
    first, end = layout.first_lane[p.kind], layout.first_lane[p.kind + 1]
    for lane in range(first, end):
        here[lane] = sliding_windows.enter_group(w, lane, key, p.row)
    sliding_windows.make_room(w, end - first)
    row = w.rows[p.row]
    if row.claimed or not row.even:
        return DONE
    group = find(incidents.groups, key)
    mixed = False
    if group == NONE:
        threat, mixed = opening_first(w, p.kind, here, p.row)
    elif incidents.of_group[group].incident[row.threat] == NONE:
        threat = opening_another(w, p.kind, here, p.row)
    else:
        threat = NONE
    if threat != NONE:
        g = here[w.detectors[threat].lane]
        p.threat = threat
        p.count = sliding_windows.own_rows(w, g, NONE if mixed else threat, state.rows)
        return OPENS
    if group == NONE:
        return DONE
    p.belongs = True
    p.incident = open_incidents.incident_like(incidents, w, group, p.row)
    open_incidents.take(incidents, w, p.incident, p.row)
    incident = incidents.entries[p.incident]
    p.line_due = p.clock - incident.line_clock >= incident.suppress_for
    p.signatures_due = open_incidents.new_signatures(incidents, w, p.incident, p.row)
    return JOINED if p.line_due or p.signatures_due else DONE
