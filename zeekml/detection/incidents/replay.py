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
from zeekml.detection.incidents._incidents import MAX_ROWS, IncidentStore, set_agreement
from zeekml.detection.incidents.candidate_rows import Batch, new_secret, number_rows
from zeekml.detection.incidents.compiled_policy import compile_policy
from zeekml.detection.incidents.step import new_state
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
        ("strength", np.float64),  # the most evidence for the incident so far, see `_step.pxd`
        ("threat", np.int8),
        ("opens", np.bool_),
        ("alone", np.bool_),  # of an incident's first rows: whether one row was enough to open it
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
    # float64 (rows,): the most evidence for the threat up to each row, that of a row which is
    # enough by itself included
    strength: npt.NDArray[np.float64]
    alone: bool = False  # whether the opener was enough by itself, whatever the thresholds

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
        set_agreement(self._batch.rows, self._candidates.members, policy.detectors)
        state = new_state(policy, self._rules.limits)
        found = np.zeros(4 * max(len(self._batch.rows), MAX_ROWS), MEMBERSHIP)
        store, most_open = IncidentStore(state), self._rules.limits.incidents
        count, done = store.replay(*self._batch, found, 0, most_open)
        while not done:
            found = np.concatenate([found, np.zeros_like(found)])
            count, done = store.replay(*self._batch, found, count, most_open)
        found = found[:count]
        # the rows of an incident stand in their order already
        found = found[np.argsort(found["incident"], kind="stable")]
        starts = np.flatnonzero(np.diff(found["incident"], prepend=-1))
        return [
            ReplayedIncident(
                THREATS[int(part["threat"][0])],
                int(part["row"][part["opens"]][0]),
                part["row"].astype(np.intp),
                part["evidence"].copy(),
                part["strength"].copy(),
                bool(part["alone"][0]),
            )
            for part in np.split(found, starts[1:])
            if len(part)
        ]
