"""Which flows of a batch are enough by themselves, by the floors and rules of a policy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.detection.flow_rules import FlowRule
from zeekml.detection.policy import Policy
from zeekml.features.feature_schema import FEATURES

Enough = npt.NDArray[np.uint8]
"""uint8 (rows,): Bit t says that the row alone is enough for the threat at place t of THREATS."""


class Judged(NamedTuple):
    """Rows as features and ensemble have them; as in `Candidates`."""

    matrix: npt.NDArray[np.float32]
    score: npt.NDArray[np.float64]
    threat: npt.NDArray[np.int8]
    members: npt.NDArray[np.float32]

    def only(self, row: int) -> Judged:
        """One of the rows."""
        at = slice(row, row + 1)
        return Judged(self.matrix[at], self.score[at], self.threat[at], self.members[at])


class SingleFlows:
    """The floors, and the rules for single flows, of all enabled detectors of a policy.

    Without a policy there are none.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        detectors = () if policy is None else policy.detectors
        self._rules = [
            (place, rule, detector.minimum_members)
            for place, detector in enumerate(detectors)
            if detector.enabled
            for rule in (*detector.floor, *detector.alone)
        ]

    def enough(self, rows: Judged) -> Enough:
        """For which threats each row alone is enough."""
        found = np.zeros(len(rows.matrix), np.uint8)
        for place, rule, members in self._rules:
            found[_meeting(rows, place, rule, members)] |= np.uint8(1 << place)
        return found

    def worth(self, rows: Judged, least: float) -> tuple[npt.NDArray[np.intp], Enough]:
        """The rows that are candidates, by their score or by themselves; and `enough` of all."""
        enough = self.enough(rows)
        return np.flatnonzero((rows.score >= least) | (enough != 0)), enough

    def met_by(self, rows: Judged, row: int, place: int) -> FlowRule | None:
        """The first rule for a threat that one of the rows meets.

        None if it meets none, or the features are not at hand.
        """
        if rows.matrix.shape[1] != len(FEATURES):
            return None
        one = rows.only(row)
        met = (r for of, r, n in self._rules if of == place and len(_meeting(one, of, r, n)))
        return next(met, None)


def _meeting(rows: Judged, place: int, rule: FlowRule, minimum: int) -> npt.NDArray[np.intp]:
    """The rows that meet a rule; the next condition is asked of those alone that met all before."""
    first, *others = rule.conditions
    met = np.flatnonzero(first.met(rows.matrix[:, first.column]))
    for condition in others:
        if not len(met):
            return met
        met = met[condition.met(rows.matrix[met, condition.column])]
    if rule.threshold is not None:
        met = met[(rows.score[met] >= rule.threshold) & (rows.threat[met] == place)]
        members = rows.members[met]
        agreeing = (members >= np.float32(rule.threshold)).sum(axis=1)
        met = met[agreeing >= min(minimum, members.shape[1])]
    return met
