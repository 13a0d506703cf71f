"""Replay of held-out scores through the incident tracker, for thresholds and evaluation.

`zeekml.detection.incidents` is the one rule of what becomes an incident: grouping, windows, votes,
agreement of members, suppression. Thresholds are chosen by what it opens, and evaluations count
what it opens; nothing is followed here by another rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.datasets.environment import Environment, Labels
from zeekml.detection.candidates import CANDIDATE_COLUMNS, Candidates
from zeekml.detection.incidents.tracker import IncidentTracker
from zeekml.detection.policy import Policy
from zeekml.ensemble.classes import THREATS
from zeekml.training.leave_one_out import Fold
from zeekml.training.platt_fit import PlattFit

Floats = npt.NDArray[np.float64]
RowNumbers = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

NONE: Final = -1

# Captures follow one another on one clock, this far apart (seconds): more than the longest window
# and the longest `suppress_for` that a policy may have, so that no incident goes from one to the
# next.
_APART: Final = 8 * 86_400.0


@dataclass(frozen=True, eq=False)
class HeldOutStream:
    """The candidates of a held-out environment, as the tracker takes them in."""

    name: str
    labels: Labels  # of all rows of the environment
    rows: RowNumbers  # row of each candidate, in order of arrival
    captures: npt.NDArray[np.int32]  # of each candidate
    candidates: Candidates
    base_rate: float

    @classmethod
    def of(cls, fold: Fold, fit: PlattFit) -> HeldOutStream:
        """The rows that a bundle with this calibration would take for candidates.

        Raises ValueError if no member of the ensemble tells threats apart.
        """
        shares = fold.prediction.threat_shares()
        if shares is None:
            raise ValueError("incident thresholds need members that tell threats apart")
        environment = fold.prepared.environment
        scores = fit.scores(fold.prediction.log_odds)
        members = fit.scores(fold.prediction.member_log_odds)
        rows = np.flatnonzero(scores >= fit.base_rate)
        flows = environment.flows.select(CANDIDATE_COLUMNS).take(pa.array(rows)).combine_chunks()
        candidates = Candidates(
            flows=pa.RecordBatch.from_arrays(
                [_whole(flows.column(name)) for name in CANDIDATE_COLUMNS], schema=flows.schema
            ),
            clock=_clock(environment)[rows],
            end=environment.ends()[rows],
            score=scores[rows],
            spread=members[rows].std(axis=1),
            threat=shares[rows].argmax(axis=1).astype(np.int8),
            classes=shares[rows].astype(np.float32),
            members=members[rows].astype(np.float32),
            # nothing is explained here
            matrix=np.empty((len(rows), 1), np.float32),
        )
        captures = environment.captures[rows]
        return cls(fold.name, fold.labels, rows, captures, candidates, fit.base_rate)

    def only(self, visible: Flags) -> HeldOutStream:
        """The same stream with some rows of the environment alone (bool, one per row)."""
        kept = np.flatnonzero(visible[self.rows])
        return replace(
            self,
            rows=self.rows[kept],
            captures=self.captures[kept],
            candidates=self.candidates.take(kept),
        )

    def openers(self, policy: Policy, thresholds: Mapping[str, float]) -> RowNumbers:
        """For each incident that opens, the number of the candidate that opens it."""
        return openers(self.candidates, policy, thresholds, self.base_rate)

    def in_incidents(self, policy: Policy, thresholds: Mapping[str, float]) -> Flags:
        """Whether each row of the environment is in an incident, when all rows are there."""
        tracker = new_tracker(policy, thresholds, self.base_rate)
        notices = tracker.add(self.candidates)
        causes = tracker.caused_by
        lines = [*notices, *tracker.advance(np.inf)]
        closed = {line.id: line.ts for line in lines if line.state == "closed"}
        groups = {d.group_by: self._groups(d.group_by) for d in policy.detectors if d.enabled}
        clock, threats = self.candidates.clock, self.candidates.threat
        inside, claimed = np.zeros((2, len(self.rows)), np.bool_)
        for notice, opener in zip(notices, causes, strict=True):
            if notice.state != "open":
                continue
            threat = THREATS.index(notice.threat)
            detector = policy.detectors[threat]
            number, rows = groups[detector.group_by]
            own = rows[number[opener]]
            upto = int(np.searchsorted(own, opener)) + 1
            first = np.searchsorted(clock[own], clock[opener] - detector.window, side="right")
            earlier = own[first:upto]
            earlier = earlier[~claimed[earlier]]
            of_threat = earlier[threats[earlier] == threat]
            # it opened with all rows of the window, or with those of its threat alone
            opening = (of_threat if notice.flows <= len(of_threat) else earlier)[-notice.flows :]
            later = own[upto:]
            members = np.concatenate([opening, later[clock[later] < closed[notice.id]]])
            inside[members] = True
            # no incident of another group opens with these
            claimed[members[threats[members] == threat]] = True
        out = np.zeros(len(self.labels), np.bool_)
        out[self.rows[inside]] = True
        return out

    def one_by_one(self, parts: Sequence[RowNumbers]) -> tuple[HeldOutStream, RowNumbers]:
        """Each part of the malicious rows as if there were no others, one after the other.

        With it come the benign candidates of its recording that share a host with it, since no
        others meet it in a group. Returns the stream, and the part that each candidate is of.
        """
        number = np.full(len(self.labels), NONE, np.intp)
        number[self.rows] = np.arange(len(self.rows))
        benign = self.labels[self.rows] == 0
        hosts = {name: self._groups((name,)) for name in ("id.orig_h", "id.resp_h")}
        taken, owners, later = [], [], []
        for part, rows in enumerate(parts):
            own = number[rows]
            own = own[own != NONE]
            beside = [group[code] for of, group in hosts.values() for code in set(of[own].tolist())]
            met = np.unique(np.concatenate([own[:0], *beside]))
            places = np.sort(np.concatenate([own, met[benign[met]]]))
            taken.append(places)
            owners.append(np.where(np.isin(places, own), part, NONE))
            later.append(np.full(len(places), float(part)))
        places = np.concatenate(taken)
        candidates = self.candidates.take(places)
        span = self.candidates.clock.max(initial=0.0) + _APART
        clock = candidates.clock + np.concatenate(later) * span
        stream = replace(
            self,
            rows=self.rows[places],
            captures=self.captures[places],
            candidates=replace(candidates, clock=clock),
        )
        return stream, np.concatenate(owners)

    def _groups(self, columns: tuple[str, ...]) -> tuple[RowNumbers, list[RowNumbers]]:
        """Number of each candidate's group, and the candidates of each group in order."""
        values = [self.candidates.flows.column(name).to_pylist() for name in columns]
        numbers: dict[tuple[Any, ...], int] = {}
        keys = zip(self.captures.tolist(), *values, strict=True)
        group = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)
        order = np.argsort(group, kind="stable")
        return group, np.split(order, np.cumsum(np.bincount(group))[:-1])


def new_tracker(
    policy: Policy, thresholds: Mapping[str, float], base_rate: float
) -> IncidentTracker:
    """A tracker as a sensor has it, for scores at a base rate."""
    return IncidentTracker(
        policy,
        thresholds,
        sensor="held-out",
        stream="held-out",
        bundle="",
        features="",
        base_rate=base_rate,
    )


def openers(
    candidates: Candidates, policy: Policy, thresholds: Mapping[str, float], base_rate: float
) -> RowNumbers:
    """For each incident that opens, the number of the candidate that opens it.

    Thresholds are scores, by threat.
    """
    tracker = new_tracker(policy, thresholds, base_rate)
    causes = zip(tracker.add(candidates), tracker.caused_by, strict=True)
    return np.array([by for line, by in causes if line.state == "open"], np.intp)


def automatic(policy: Policy) -> Policy:
    """The policy with all thresholds left to the bundle."""
    return replace(policy, detectors=tuple(replace(d, threshold=None) for d in policy.detectors))


def in_turn(streams: Sequence[HeldOutStream]) -> tuple[Candidates, RowNumbers]:
    """The candidates of streams that never meet, in one; and the stream that each is of."""
    parts = [stream.candidates for stream in streams]
    flows = pa.concat_batches([part.flows for part in parts])
    clocks, now = [], 0.0
    for part in parts:
        clocks.append(part.clock + now)
        now = clocks[-1].max(initial=now) + _APART
    together = Candidates(
        flows=flows,
        clock=np.concatenate(clocks),
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("end", "score", "spread", "threat", "classes", "members", "matrix")
        },
    )
    return together, np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _clock(environment: Environment) -> Floats:
    """Flow end, never going back within a capture; one capture after the other, `_APART`."""
    end = environment.ends()
    clock = np.empty(len(end))
    now = 0.0
    for rows in environment.capture_slices():
        own = np.maximum.accumulate(end[rows])
        clock[rows] = own - own[0] + now
        now = clock[rows.stop - 1] + _APART
    return clock
