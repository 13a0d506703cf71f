"""Whether the traffic is still what the bundle was calibrated on.

The ordinary flows of the last day of record time are counted into the intervals of the bundle's
traffic profile, hour by hour, over all streams. It is a statistic, not an account: after a kill,
flows of the last hour may be missing.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from zeekml.core.units import counted
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.explanation import amount
from zeekml.ensemble.scoring import Scores
from zeekml.ensemble.traffic_profile import INTERVALS, LARGE, Counts, Spread, TrafficProfile
from zeekml.errors import InputError
from zeekml.features.extractor import FeatureBatch
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.live.health.problems import HealthFinding

HOUR: Final = 3600.0
DAY: Final = 24  # hours

LEAST_FLOWS: Final = 1000
"""Flows of a day below which nothing is said."""

_AGAIN: Final = 0.8  # of what may have moved, below which the traffic is as it was
_NAMED: Final = 3  # inputs that a notice names
# of a large batch one row in so many is counted, as if it were so many
_STRIDE: Final = 8
_LARGE_BATCH: Final = 256


class _Stored(msgspec.Struct):
    profile: TrafficProfile
    begun: int
    moved: bool
    hours: dict[int, list[list[int]]]


class TrafficDrift:
    """Counts the flows of a day, and compares them with the profile of a bundle.

    `finding` is what there is to tell, and changes when an hour of record time is over. `due` says
    that there is something to store.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._take_up(bundle.manifest.profile)
        self._candidate_score = bundle.manifest.candidate_score

    def go_by(self, bundle: Bundle) -> None:
        """Compare with another bundle's profile; begins anew unless that is the same."""
        self._candidate_score = bundle.manifest.candidate_score
        if bundle.manifest.profile != self.profile:
            self._take_up(bundle.manifest.profile)

    def _take_up(self, profile: TrafficProfile | None) -> None:
        self.profile = profile
        self.finding: HealthFinding | None = None
        self.due = profile is not None
        self._begun: int | None = None  # the first hour
        self._hours: dict[int, Counts] = {}  # of the last day

    def add(self, features: FeatureBatch, scores: Scores) -> None:
        """Count the flows of a batch that no threshold looks at."""
        if self.profile is None or not len(scores.score):
            return
        stride = _STRIDE if len(scores.score) >= _LARGE_BATCH else 1
        score = scores.score[::stride]
        quiet = score < self._candidate_score
        if not quiet.any():
            return
        hour = int(features.clock[-1] // HOUR)
        columns = self.profile.columns(features.matrix[::stride][quiet], score[quiet])
        if self._begun is None:
            self._begun = hour
        if hour not in self._hours:
            self._end_of_hour(hour)
        self._hours[hour] = self._hours.get(hour, 0) + stride * self.profile.counts(columns)

    def save(self) -> str:
        """What is to be known after a restart; some 50 kB."""
        self.due = False
        if self.profile is None or self._begun is None:
            return ""
        hours = {hour: counts.tolist() for hour, counts in self._hours.items()}
        stored = _Stored(self.profile, self._begun, self.finding is not None, hours)
        return msgspec.json.encode(stored).decode()

    def load(self, stored: str) -> None:
        """Go on from what `save` gave, if that was under the same profile."""
        try:
            known = msgspec.json.decode(stored, type=_Stored) if stored else None
            if known is None or self.profile is None or known.profile != self.profile:
                return
            wanted = (len(INTERVALS), len(self.profile.inputs) + 1)
            hours = {hour: np.array(counts, np.int64) for hour, counts in known.hours.items()}
            if any(counts.shape != wanted for counts in hours.values()):
                raise ValueError("counts have another shape")
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            raise InputError(f"stored counts of the traffic are damaged: {error}") from error
        self._hours, self._begun = hours, known.begun
        if known.moved:
            self._judge(_AGAIN)

    def _end_of_hour(self, hour: int) -> None:
        """Judge what there is before the first flow of another hour is counted."""
        self._hours = {at: counts for at, counts in self._hours.items() if at > hour - DAY}
        self.due = True
        if self._begun is not None and hour - self._begun >= DAY - 1:
            self._judge(1.0 if self.finding is None else _AGAIN)

    def _judge(self, share: float) -> None:
        """See whether more moved than so much of what may."""
        profile = self.profile
        counts = sum(self._hours.values(), np.zeros((), np.int64))
        if profile is None or not counts.ndim or counts[:, 0].sum() < LEAST_FLOWS:
            return
        psi = profile.psi(counts)
        moved = profile.moved(psi)
        self.finding = None
        if moved < share * profile.most_moved:
            return
        now = counts / counts.sum(axis=0)
        most = np.argsort(psi[:-1])[::-1][:_NAMED]
        names = list(profile.inputs)
        told = [_moved(names[at], profile.inputs[names[at]], now[:, at]) for at in most]
        scores = "scores have moved, too" if psi[-1] > LARGE else "scores have not"
        self.finding = HealthFinding(
            f"the traffic of the last day is not what the bundle was calibrated on: "
            f"{(psi[:-1] > LARGE).sum()} of {counted(len(names), 'input')} have moved",
            f"most of all: {'; '.join(told)}; {scores}. Thresholds and what is told as usual fit "
            "worse than they did. If hosts, services or the sensor's place changed for good, "
            "calibrate again on logs of the days since (zeekml calibrate); if nothing was meant "
            "to change, look into these",
            details={
                "moved": round(moved, 3),
                "allowed": round(profile.most_moved, 3),
                "score_psi": round(float(psi[-1]), 3),
                "flows": int(counts[:, 0].sum()),
            },
        )


def _moved(name: str, spread: Spread, now: np.ndarray) -> str:
    """In which interval an input is more or less often than it was, in words."""
    feature = FEATURES[FEATURE_INDEX[name]]
    if feature.transform == "flag":
        # an interval is as its upper end
        values = (0.0, 0.0, *spread.edges, 1.0)
        yes = [value > 0 for value in values]
        before, after = (float(np.asarray(of)[yes].sum()) for of in (spread.shares, now))
        return f"{feature.description}: {after:.0%} of flows ({before:.0%})"
    at = int(np.argmax(np.abs(now - np.array(spread.shares))))
    edges = [amount(name, feature.natural(edge)) for edge in spread.edges]
    where = INTERVALS[at].format(*edges)
    return f"{feature.description}: {where} in {now[at]:.0%} of flows ({spread.shares[at]:.0%})"
