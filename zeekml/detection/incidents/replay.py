"""Replay of a stream's candidates under any thresholds: incidents as numbers, without notices.

For choosing thresholds and for evaluation. The step, the opening rule and the bounds are those of
`IncidentTracker`; what is left out is the text of lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.detection.candidates import Candidates
from zeekml.detection.incidents import step
from zeekml.detection.incidents.candidate_rows import Batch, new_secret, number_rows, set_agreement
from zeekml.detection.incidents.compiled_policy import Records, compile_policy, compiled
from zeekml.detection.incidents.open_incidents import OpenIncidents, close_incident, open_incident
from zeekml.detection.incidents.sliding_windows import MAX_ROWS, NONE, Windows, forget
from zeekml.detection.incidents.step import TrackerState
from zeekml.detection.policy import Policy
from zeekml.detection.rules import DetectionRules, Limits, Origin
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import EVEN

_NEVER: Final = 2.0
"""A threshold above all scores."""

MEMBERSHIP: Final = np.dtype(
    [
        ("row", np.int64),
        ("incident", np.int64),  # how many were opened before it
        ("evidence", np.float64),  # of the group for the incident's threat; NaN before it opened
        ("threat", np.int8),
        ("opens", np.bool_),
    ],
    align=True,
)


@dataclass(frozen=True, slots=True)
class ReplayedIncident:
    """An incident, by the numbers of the candidates that belong to it."""

    threat: str
    opener: int  # the row at which the evidence reached the threshold
    rows: npt.NDArray[np.intp]  # in order of arrival; those before the opener are its evidence
    # float64 (rows,): what the opening rule finds in the group for this threat at each row, as
    # evidence with the base rate taken out; NaN at rows before the opener
    evidence: npt.NDArray[np.float64]

    @property
    def peak(self) -> float:
        """The highest evidence: no threshold above it would have found the incident."""
        return float(np.nanmax(self.evidence))


class Replay:
    """The candidates of one stream in order, numbered once, to be replayed at many thresholds.

    Thresholds in the policy are of no account. With only some rows of a stream (the benign ones),
    incidents are those of a stream that has no others: `candidates.take(rows)`.
    """

    def __init__(
        self,
        candidates: Candidates,
        policy: Policy,
        *,
        base_rate: float = EVEN,
        limits: Limits | None = None,
    ) -> None:
        candidates.check()
        self._candidates = candidates
        detectors = tuple(replace(detector, threshold=None) for detector in policy.detectors)
        self._rules = DetectionRules(
            replace(policy, detectors=detectors),
            dict.fromkeys(THREATS, _NEVER),
            Origin("", "", "", ""),
            base_rate,
            limits or Limits(),
        )
        self._batch: Batch | None = None

    def incidents(self, thresholds: Mapping[str, float]) -> list[ReplayedIncident]:
        """The incidents at these thresholds, in the order of their opening.

        Thresholds are on the scale of scores, as in a bundle; a threat without one is never
        reported, but has its share in the vote.
        """
        if not len(self._candidates):
            return []
        policy = compile_policy(
            replace(self._rules, thresholds=dict.fromkeys(THREATS, _NEVER) | dict(thresholds))
        )
        if self._batch is None:
            self._batch = number_rows(self._candidates, policy, -np.inf, 0, new_secret())
        set_agreement(self._batch.rows, self._candidates.members, policy)
        state = step.new_state(policy, self._rules.limits)
        found = np.zeros(4 * max(len(self._batch.rows), MAX_ROWS), MEMBERSHIP)
        count = np.zeros(1, np.int64)
        while not _replay(state, self._batch, found, count, self._rules.limits.incidents):
            found = np.concatenate([found, np.zeros_like(found)])
        found = found[: count[0]]
        # the rows of an incident stand in their order already
        found = found[np.argsort(found["incident"], kind="stable")]
        starts = np.flatnonzero(np.diff(found["incident"], prepend=-1))
        return [
            ReplayedIncident(
                THREATS[int(part["threat"][0])],
                int(part["row"][part["opens"]][0]),
                part["row"].astype(np.intp),
                part["evidence"].copy(),
            )
            for part in np.split(found, starts[1:])
            if len(part)
        ]


@compiled
def _replay(
    state: TrackerState, batch: Batch, found: Records, count: npt.NDArray[np.int64], most_open: int
) -> bool:
    """Note which rows belong to which incidents; False when there is no room for more notes."""
    p, w, incidents = state.position[0], state.windows, state.incidents
    while count[0] + MAX_ROWS < len(found):
        todo = step.advance_rows(state, batch)
        if todo == step.DONE:
            return True
        if todo == step.DUE:
            _close_due(w, incidents, p.clock)
            continue
        if todo == step.OPENS:
            if incidents.account[0].open >= most_open:
                _cut_short(w, incidents)
            order, threat = incidents.account[0].opened, p.threat
            for k in range(p.count):
                _note(found, count, w.rows[state.rows[k]].place, order, threat, np.nan)
            key = batch.keys[p.number, p.kind]
            place = open_incident(incidents, w, key, threat, state.rows[: p.count])
            # so that `advance_rows` comes back for every row that joins
            incidents.entries[place].line_clock = -np.inf
            note = found[count[0] - 1]
            note.opens = True
            note.evidence = step.evidence_for(w, state.here, threat)
        else:
            incident = incidents.entries[p.incident]
            threat = incident.threat
            evidence = step.evidence_for(w, state.here, threat)
            _note(found, count, p.number, incident.order, threat, evidence)
    return False


@compiled
def _note(
    found: Records, count: npt.NDArray[np.int64], row: int, order: int, threat: int, evidence: float
) -> None:
    note = found[count[0]]
    note.row, note.incident, note.threat, note.evidence = row, order, threat, evidence
    note.opens = False
    count[0] += 1


@compiled
def _close_due(w: Windows, incidents: OpenIncidents, clock: float) -> None:
    next_due = np.inf
    for place in range(len(incidents.entries)):
        incident = incidents.entries[place]
        if not incident.open:
            continue
        due = incident.last_clock + incident.suppress_for
        if due <= clock:
            close_incident(incidents, w, place)
        else:
            next_due = min(next_due, due)
    incidents.account[0].next_due = next_due


@compiled
def _cut_short(w: Windows, incidents: OpenIncidents) -> None:
    """Close the incident heard of least recently, as `IncidentTracker` does."""
    oldest = NONE
    for place in range(len(incidents.entries)):
        incident = incidents.entries[place]
        if incident.open and (
            oldest == NONE or incident.activity < incidents.entries[oldest].activity
        ):
            oldest = place
    incident = incidents.entries[oldest]
    forget(w, incident.key, w.detectors[incident.threat].kind)
    close_incident(incidents, w, oldest)
