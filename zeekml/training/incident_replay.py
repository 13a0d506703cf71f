"""The evidence of incidents, followed over held-out environments.

This is the policy's rule for opening an incident, without the bookkeeping of incidents: per group
of flows (say, of one originator) the evidence at each flow is the mean of the strongest in the
window, missing ones counting zero, and the threat is the one most of those flows speak for.
It is computed for any threshold at once, which is what choosing thresholds needs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.core.jit import njit
from zeekml.datasets.environment import Environment, Labels
from zeekml.detection.policy import Detector, Policy
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import EVEN
from zeekml.training.leave_one_out import Fold

FloatArray = npt.NDArray[np.float64]
RowNumbers = npt.NDArray[np.intp]

_ORIGINATOR: Final = "id.orig_h"


@dataclass(frozen=True)
class ScoredFlows:
    """One held-out environment as the incident logic sees it, in order of arrival.

    Attributes
    ----------
    clock : float64 array
        Flow end, never going back within a capture (epoch seconds).
    keys : dict of tuple of str to list
        Group key of each row, for each way of grouping.
    evidence : float64 array
        Of each flow by itself: its score with the base rate taken out.
    shares : float64 array (rows, threats)
        P(threat | malicious).
    labels : int8 array
    captures : int32 array
    """

    name: str
    clock: FloatArray
    keys: Mapping[tuple[str, ...], list[tuple[Any, ...]]]
    evidence: FloatArray
    shares: FloatArray
    labels: Labels
    captures: npt.NDArray[np.int32]


def scored_flows(fold: Fold, evidence: FloatArray, policy: Policy) -> ScoredFlows:
    """Bring a fold into the form that evidence is followed on.

    Parameters
    ----------
    fold : Fold
    evidence : float64 array
        Of each of its rows by itself.
    policy : Policy

    Raises
    ------
    ValueError
        No member of the ensemble tells threats apart.
    """
    shares = fold.prediction.threat_shares()
    if shares is None:
        raise ValueError("incident thresholds need members that tell threats apart")
    environment = fold.prepared.environment
    groups = dict.fromkeys(d.group_by for d in policy.detectors if d.enabled)
    return ScoredFlows(
        name=environment.name,
        clock=_clock(environment),
        keys={group: _keys(environment, group) for group in groups},
        evidence=evidence,
        shares=np.ascontiguousarray(shares),
        labels=fold.labels,
        captures=environment.captures,
    )


def _clock(environment: Environment) -> FloatArray:
    end = environment.ends()
    clock = np.empty(len(end))
    for rows in environment.capture_slices():
        clock[rows] = np.maximum.accumulate(end[rows])
    return clock


def _keys(environment: Environment, group: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return list(zip(*(environment.flows[name].to_pylist() for name in group), strict=True))


@dataclass(frozen=True)
class Activity:
    """What one group does until it rests: it can give at most one incident.

    Attributes
    ----------
    rows : int array
        Numbers of its flows, in order.
    readings : float64 array (flows, threats)
        Evidence at each flow where the threat was the likeliest and the window held enough flows;
        zero where it was not, and for threats that group flows in another way.
    """

    rows: RowNumbers
    readings: FloatArray

    @property
    def peaks(self) -> FloatArray:
        """Highest reading of each threat, shape (threats,)."""
        peaks: FloatArray = self.readings.max(axis=0, initial=0.0)
        return peaks


def activities(flows: ScoredFlows, chosen: npt.NDArray[np.bool_], policy: Policy) -> list[Activity]:
    """Follow the evidence of every group.

    Parameters
    ----------
    flows : ScoredFlows
    chosen : bool array
        Rows that exist: the benign ones alone to count false incidents, all to see what is found.
    policy : Policy
    """
    found = []
    visible = chosen & (flows.evidence >= EVEN)
    rows = np.flatnonzero(visible)
    for group, keys in flows.keys.items():
        detectors = {d.threat: d for d in policy.detectors if d.enabled and d.group_by == group}
        own: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
        for row in rows.tolist():
            own[(flows.captures[row], *keys[row])].append(row)
        rest = max(d.suppress_for for d in detectors.values())
        for numbers in own.values():
            of_group = np.array(numbers, dtype=np.intp)
            pauses = np.flatnonzero(np.diff(flows.clock[of_group]) > rest) + 1
            for active in np.split(of_group, pauses):
                found.append(Activity(active, _readings(flows, active, detectors)))
    return found


def _readings(
    flows: ScoredFlows, rows: RowNumbers, detectors: Mapping[str, Detector]
) -> FloatArray:
    readings = np.zeros((len(rows), len(THREATS)))
    clock, scores, shares = flows.clock[rows], flows.evidence[rows], flows.shares[rows]
    likeliest = shares.argmax(axis=1)
    # detectors of one grouping mostly share window and top: evidence is computed once for each
    for window, top in sorted({(d.window, d.top) for d in detectors.values()}):
        evidence, threat = follow(clock, scores, shares, window, top)
        count = _recent(clock, np.ones(len(rows), dtype=bool), window)
        for code, name in enumerate(THREATS):
            detector = detectors.get(name)
            if detector is None or (detector.window, detector.top) != (window, top):
                continue
            enough = count >= detector.minimum_flows
            readings[:, code] = np.where((threat == code) & enough, evidence, 0.0)
            if _ORIGINATOR not in detector.group_by:
                # several hosts' flows: a threat may open on evidence of its own, whoever won
                own, _ = follow(clock, scores * shares[:, code], shares, window, top)
                of_threat = likeliest == code
                enough = _recent(clock, of_threat, window) >= detector.minimum_flows
                alone = np.where(enough & of_threat, own, 0.0)
                readings[:, code] = np.maximum(readings[:, code], alone)
    return readings


def _recent(
    clock: FloatArray, chosen: npt.NDArray[np.bool_], window: float
) -> npt.NDArray[np.int64]:
    """Return how many of the chosen flows lie in the window that ends at each flow."""
    upto = np.concatenate([[0], np.cumsum(chosen)])
    oldest = np.searchsorted(clock, clock - window, side="right")
    count: npt.NDArray[np.int64] = upto[1:] - upto[oldest]
    return count


@njit(cache=True)
def follow(
    clock: FloatArray, scores: FloatArray, shares: FloatArray, window: float, top: int
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Compute the evidence at each flow of one group.

    Parameters
    ----------
    clock : float64 array (n,)
        Never decreasing, seconds.
    scores : float64 array (n,)
    shares : float64 array (n, threats)
    window : float
        Seconds; a flow exactly that old has left.
    top : int
        How many of the highest scores make the evidence.

    Returns
    -------
    evidence : float64 array (n,)
    threat : int64 array (n,)
        The likeliest: largest sum of score times share over the rows that make the evidence.
    """
    n = len(clock)
    evidence = np.empty(n, np.float64)
    threat = np.empty(n, np.int64)
    # numbers of the rows in the window, by ascending score
    ranked = np.empty(n, np.int64)
    size = 0
    oldest = 0
    votes = np.empty(shares.shape[1], np.float64)
    for i in range(n):
        while clock[oldest] <= clock[i] - window:
            at = 0
            while ranked[at] != oldest:
                at += 1
            for j in range(at, size - 1):
                ranked[j] = ranked[j + 1]
            size -= 1
            oldest += 1
        at = size
        while at > 0 and scores[ranked[at - 1]] > scores[i]:
            ranked[at] = ranked[at - 1]
            at -= 1
        ranked[at] = i
        size += 1
        total = 0.0
        votes[:] = 0.0
        for j in range(max(size - top, 0), size):
            row = ranked[j]
            total += scores[row]
            for k in range(len(votes)):
                votes[k] += scores[row] * shares[row, k]
        evidence[i] = total / top
        threat[i] = np.argmax(votes)
    return evidence, threat
