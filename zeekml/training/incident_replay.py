"""Held-out scores as candidates of the incident tracker, for thresholds and evaluation.

`zeekml.detection.incidents` is the one rule of what becomes an incident: grouping, windows, votes,
agreement of members, suppression. Thresholds are chosen by what it opens, and evaluations count
what it opens; nothing is followed here by another rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.datasets.environment import Labels
from zeekml.detection.candidates import Candidates, candidate_flows, joined
from zeekml.detection.incidents.replay import Replay
from zeekml.detection.policy import Policy
from zeekml.detection.single_flows import Judged, SingleFlows
from zeekml.training.leave_one_out import Fold
from zeekml.training.platt_fit import PlattFit
from zeekml.training.ranking import Flags, Floats, Numbers
from zeekml.training.tasks import numbered

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
    rows: Numbers  # row of each candidate, in order of arrival
    captures: npt.NDArray[np.int32]  # of each candidate
    candidates: Candidates
    base_rate: float

    @classmethod
    def of(cls, fold: Fold, fit: PlattFit, policy: Policy | None = None) -> HeldOutStream:
        """The rows that a bundle with this calibration would take for candidates.

        With a policy, also those that are enough by themselves by its floors and rules for single
        flows; without one none is, whatever policy is replayed later. Raises ValueError if no
        member of the ensemble tells threats apart.
        """
        shares = fold.prediction.threat_shares
        if shares is None:
            raise ValueError("incident thresholds need members that tell threats apart")
        environment = fold.prepared.environment
        scores = fit.scores(fold.prediction.log_odds)
        members = fit.scores(fold.prediction.member_log_odds)
        # flow end, never going back within a capture; one capture after the other
        end = environment.ends()
        latest = [np.maximum.accumulate(end[own]) for own in environment.capture_slices()]
        clock = one_after_the_other(np.concatenate(latest), environment.captures)
        likeliest = shares.argmax(axis=1).astype(np.int8)
        told = members.astype(np.float32)
        judged = Judged(fold.prepared.matrix, scores, likeliest, told)
        rows, enough = SingleFlows(policy).worth(judged, fit.base_rate)
        candidates = Candidates(
            flows=candidate_flows(environment.flows, rows),
            row=rows.astype(np.int64),
            clock=clock[rows],
            end=end[rows],
            score=scores[rows],
            spread=members[rows].std(axis=1),
            threat=likeliest[rows],
            classes=shares[rows].astype(np.float32),
            members=told[rows],
            # nothing is explained here
            matrix=np.empty((len(rows), 1), np.float32),
            enough=enough[rows],
        )
        captures = environment.captures[rows]
        return cls(fold.prepared.name, fold.labels, rows, captures, candidates, fit.base_rate)

    def only(self, visible: Flags) -> HeldOutStream:
        """The same stream with some rows of the environment alone (bool, one per row)."""
        return self.take(np.flatnonzero(visible[self.rows]))

    def take(self, places: Numbers) -> HeldOutStream:
        """The same stream with some candidates alone, by their places."""
        candidates = self.candidates.take(places)
        rows, captures = self.rows[places], self.captures[places]
        return replace(self, rows=rows, captures=captures, candidates=candidates)

    def replay(self, policy: Policy) -> Replay:
        """The incidents at any thresholds."""
        return Replay(self.candidates, policy, base_rate=self.base_rate)

    def one_by_one(self, parts: Sequence[Numbers]) -> tuple[HeldOutStream, Numbers]:
        """Each part of the malicious rows as if there were no others, one after the other.

        With it come the benign candidates of its recording that share a host with it, since no
        others meet it in a group. Returns the stream, and the part that each candidate is of.
        """
        number = np.full(len(self.labels), NONE, np.intp)
        number[self.rows] = np.arange(len(self.rows))
        benign = self.labels[self.rows] == 0
        hosts = [self._groups(name) for name in ("id.orig_h", "id.resp_h")]
        taken, owners, later = [], [], []
        for part, rows in enumerate(parts):
            own = number[rows]
            own = own[own != NONE]
            beside = [group[code] for of, group in hosts for code in set(of[own].tolist())]
            met = np.unique(np.concatenate([own[:0], *beside]))
            places = np.sort(np.concatenate([own, met[benign[met]]]))
            taken.append(places)
            owners.append(np.where(np.isin(places, own), part, NONE))
            later.append(np.full(len(places), float(part)))
        places = np.concatenate(taken)
        stream = self.take(places)
        span = self.candidates.clock.max(initial=0.0) + _APART
        clock = stream.candidates.clock + np.concatenate(later) * span
        candidates = replace(stream.candidates, clock=clock)
        return replace(stream, candidates=candidates), np.concatenate(owners)

    def _groups(self, column: str) -> tuple[Numbers, list[Numbers]]:
        """Number of each candidate's group by recording and host, and each group's candidates."""
        hosts = self.candidates.flows.column(column).to_pylist()
        group = numbered(zip(self.captures.tolist(), hosts, strict=True))
        order = np.argsort(group, kind="stable")
        return group, np.split(order, np.cumsum(np.bincount(group))[:-1])


def one_after_the_other(clock: Floats, captures: npt.NDArray[np.int32]) -> Floats:
    """The clocks of captures, which never go back, on one clock; both one value per row."""
    found, now = np.empty(len(clock)), 0.0
    for part in np.split(np.arange(len(clock)), np.flatnonzero(np.diff(captures)) + 1):
        if len(part):
            found[part] = clock[part] - clock[part[0]] + now
            now = found[part[-1]] + _APART
    return found


def in_turn(streams: Sequence[HeldOutStream]) -> tuple[Candidates, Numbers]:
    """The candidates of streams that never meet, in one; and the stream that each is of."""
    parts = [stream.candidates for stream in streams]
    flows = pa.concat_batches([part.flows for part in parts])
    clocks, now = [], 0.0
    for part in parts:
        clocks.append(part.clock + now)
        now = clocks[-1].max(initial=now) + _APART
    together = joined(flows, parts, clock=np.concatenate(clocks))
    return together, np.repeat(np.arange(len(parts)), [len(part) for part in parts])
