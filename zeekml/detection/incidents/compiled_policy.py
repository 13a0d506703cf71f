"""The policy as arrays, the way compiled code follows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.detection.incidents._incidents import GROUP_WIDTH, MAX_KINDS, MAX_RANKINGS, NONE, SCORE
from zeekml.detection.policy import GROUP_COLUMNS
from zeekml.detection.rules import DetectionRules
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import evidence

ORIGINATOR, RESPONDER, PORT = GROUP_COLUMNS

Records = npt.NDArray[Any]
"""An array of one of the record types of this package, such as `DETECTOR`."""


def alike(kind: Any, *names: str) -> list[tuple[str, Any]]:
    """Fields of one type, for a record type."""
    return [(name, kind) for name in names]


DETECTOR: Final = np.dtype(
    [
        ("threshold", np.float64),  # as evidence
        ("suppress_for", np.float64),
        ("minimum_flows", np.int64),
        ("kind", np.int64),  # -1 if the detector is disabled
        ("lane", np.int64),
        ("by_score", np.int64),  # ranking of the group's rows by score
        ("by_share", np.int64),  # and by their share for the detector's threat
        ("members", np.int64),  # how many members must reach the threshold by themselves
        ("score", np.float32),  # the threshold as a score; infinite if the detector is disabled
    ],
    align=True,
)


LAYOUT: Final = np.dtype(
    [
        ("kinds", np.int64),
        ("lanes", np.int64),
        ("span", np.float64),  # longest window, seconds
        # of each kind, as places in GROUP_COLUMNS; NONE behind the last
        ("columns", np.int8, (MAX_KINDS, GROUP_WIDTH)),
        # per threat, the kinds in the order in which a row enters them: first where its threat
        # is reported
        ("order", np.int64, (MAX_KINDS, MAX_KINDS)),
        ("shared", np.int8, (MAX_KINDS,)),  # whether many originators meet in one group
        ("first_lane", np.int64, (MAX_KINDS + 1,)),  # of each kind, and the end
        ("window", np.float64, (MAX_KINDS,)),  # of each lane, seconds
        ("first_ranking", np.int64, (MAX_KINDS + 1,)),  # of each lane, and the end
        ("measure", np.int64, (MAX_RANKINGS,)),  # of each ranking, a column of a row's values
        ("top", np.int64, (MAX_RANKINGS,)),  # how many of the highest rows are of interest
    ],
    align=True,
)
"""How candidates are grouped and ranked.

A kind is a way of grouping (`group_by`), a lane a kind with a length of window: a candidate enters
one group in each lane. A ranking keeps the `top` highest rows of each of its lane's groups by one
measure.
"""


@dataclass(frozen=True)
class CompiledPolicy:
    """The policy of one tracker."""

    base_rate: float  # of the scores, see zeekml.ensemble.probability.evidence
    detectors: Records  # DETECTOR (threats,)
    layout: Records  # LAYOUT (1,)


def compile_policy(rules: DetectionRules) -> CompiledPolicy:
    """Lay a policy out in arrays."""
    policy, base_rate = rules.policy, rules.base_rate
    enabled = [d for d in policy.detectors if d.enabled]
    kinds = tuple(dict.fromkeys(d.group_by for d in enabled))
    # all lanes of a kind together, all rankings of a lane together
    lanes = sorted({(kinds.index(d.group_by), d.window) for d in enabled})
    rankings_of_all = {
        (lanes.index((kinds.index(d.group_by), d.window)), measure, d.top)
        for d in enabled
        for measure in (SCORE, THREATS.index(d.threat))
    }
    rankings = sorted(rankings_of_all)
    layout = np.zeros(1, LAYOUT)
    whole = layout[0]
    whole["kinds"], whole["lanes"] = len(kinds), len(lanes)
    whole["span"] = max((window for _, window in lanes), default=0.0)
    whole["columns"] = NONE
    for number, kind in enumerate(kinds):
        whole["columns"][number, : len(kind)] = [GROUP_COLUMNS.index(column) for column in kind]
    whole["shared"][: len(kinds)] = [ORIGINATOR not in kind for kind in kinds]
    whole["first_lane"] = _starts([kind for kind, _ in lanes])
    whole["window"][: len(lanes)] = [window for _, window in lanes]
    whole["first_ranking"] = _starts([lane for lane, _, _ in rankings])
    whole["measure"][: len(rankings)] = [measure for _, measure, _ in rankings]
    whole["top"][: len(rankings)] = [top for _, _, top in rankings]
    detectors = np.zeros(len(THREATS), DETECTOR)
    for threat, detector in enumerate(policy.detectors):
        home = kinds.index(detector.group_by) if detector.enabled else -1
        others = [kind for kind in range(len(kinds)) if kind != home]
        whole["order"][threat, : len(kinds)] = others if home < 0 else [home, *others]
        entry = detectors[threat]
        asked = rules.thresholds.get(detector.threat, math.inf)
        entry["kind"] = home
        entry["score"] = asked
        entry["members"] = detector.minimum_members
        if home < 0:
            continue
        lane = lanes.index((home, detector.window))
        entry["threshold"] = evidence(asked, base_rate) if asked <= 1.0 else math.inf
        entry["suppress_for"] = detector.suppress_for
        entry["minimum_flows"] = detector.minimum_flows
        entry["lane"] = lane
        entry["by_score"] = rankings.index((lane, SCORE, detector.top))
        entry["by_share"] = rankings.index((lane, threat, detector.top))
    return CompiledPolicy(base_rate, detectors, layout)


def _starts(owners: list[int]) -> npt.NDArray[np.int64]:
    """Where the run of each owner begins in a sorted list of owners, up to `MAX_KINDS`."""
    return np.searchsorted(np.array(owners, np.int64), np.arange(MAX_KINDS + 1)).astype(np.int64)
