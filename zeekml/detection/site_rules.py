"""Which flows the bundle's site rules cover; see `zeekml.ensemble.site_rule`.

A flow that meets a floor of the policy is never covered: what no model undercuts, no label does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from zeekml.detection.flow_conditions import Condition
from zeekml.detection.policy import Policy
from zeekml.detection.single_flows import Judged, SingleFlows
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.site_rule import CONDITION, SiteRule

Matrix = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


def conditions_of(rule: SiteRule) -> tuple[Condition, ...]:
    """A rule's conditions, which are well-formed in any bundle."""
    parts = (CONDITION.fullmatch(text) for text in rule.conditions)
    return tuple(Condition(told[1], told[2], float(told[3])) for told in parts if told is not None)


def words(rule: SiteRule) -> str:
    """What a rule asks for, for people."""
    return " and ".join(condition.text() for condition in conditions_of(rule))


def meeting(conditions: Sequence[Condition], matrix: Matrix) -> Flags:
    """Which rows, (n, all features of the schema), meet all conditions."""
    every = np.ones(len(matrix), bool)
    return reduce(lambda met, c: met & c.met(matrix[:, c.column]), conditions, every)


class SiteRules:
    """Knows the flows that rules cover, under a policy."""

    def __init__(self, rules: Sequence[SiteRule], policy: Policy) -> None:
        self.rules = tuple(rules)
        self._conditions = [conditions_of(rule) for rule in rules]
        self._places = [THREATS.index(rule.threat) for rule in rules]
        floors = tuple(replace(detector, alone=()) for detector in policy.detectors)
        self._floors = SingleFlows(replace(policy, detectors=floors))

    def covered(self, matrix: Matrix) -> Flags:
        """Which rule covers which row: (rules, n), of rows (n, all features of the schema)."""
        rows = len(matrix)
        if not self.rules:
            return np.zeros((0, rows), bool)
        unscored = np.zeros(rows), np.zeros(rows, np.int8), np.zeros((rows, 1), np.float32)
        kept = self._floors.enough(Judged(matrix, *unscored))
        return np.stack(
            [
                meeting(conditions, matrix) & (kept >> np.uint8(place) & np.uint8(1) == 0)
                for conditions, place in zip(self._conditions, self._places, strict=True)
            ]
        )
