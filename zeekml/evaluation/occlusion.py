"""What a bundle loses where it is not told a feature, or a family of features.

A feature is hidden by setting it to missing in every row: the bundle then fills in what it always
fills in. Nothing is fitted anew, so a feature that others could stand in for may matter less than
it seems here; one whose loss changes nothing decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from zeekml.datasets.environment import MIN_BENIGN_ROWS, Environment, Labels
from zeekml.detection.candidates import candidate_flows
from zeekml.detection.incidents.replay import Replay
from zeekml.ensemble.scoring import Scores
from zeekml.evaluation.judge import (
    Judge,
    Numbers,
    candidates_of,
    clocks_of_recordings,
)
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.incident_replay import one_after_the_other
from zeekml.training.ranking import RATES, ROWS_PER_RATE, Ranking
from zeekml.training.training_rows import Prepared

MOST_BENIGN: Final = 10_000
MOST_MALICIOUS: Final = 4_000
"""Rows of an environment that are scored once for each feature."""

PER_FLOWS: Final = 10_000


@dataclass(frozen=True)
class Outcome:
    """Figures of one environment's sample."""

    recall: float | None  # at the first of `RATES`; None where the sample does not resolve it
    false: int  # incidents on its benign rows alone


@dataclass(frozen=True)
class Change:
    """What hiding something changes."""

    hidden: str  # a feature, or a family
    recall: float | None
    false: int
    # points of recall and false incidents per 10,000 benign flows, both without their signs
    effect: float


@dataclass(frozen=True)
class Occlusions:
    """One environment with everything hidden in turn, the largest effect first."""

    name: str
    benign: int  # rows of the sample
    malicious: int
    whole: Outcome
    features: Sequence[Change]
    families: Sequence[Change]


def occlusions(item: Prepared, judge: Judge) -> Occlusions | None:
    """Hide every feature and every family that a bundle takes, one at a time.

    None if there are too few benign rows to count what is false.
    """
    sample = _Sample(item, judge)
    if sample.benign < MIN_BENIGN_ROWS:
        return None
    whole = sample.outcome()
    features = judge.bundle.manifest.features
    family = {name: FEATURES[FEATURE_INDEX[name]].family for name in features}

    def change(hidden: str, names: Sequence[str]) -> Change:
        outcome = sample.outcome([FEATURE_INDEX[name] for name in names])
        recall = None
        if outcome.recall is not None and whole.recall is not None:
            recall = outcome.recall - whole.recall
        false = outcome.false - whole.false
        effect = 100 * abs(recall or 0.0) + PER_FLOWS * abs(false) / max(sample.benign, 1)
        return Change(hidden, recall, false, effect)

    alone = [change(name, [name]) for name in features]
    together = [
        change(one, [name for name in features if family[name] == one])
        for one in dict.fromkeys(family.values())
    ]
    order = {one.hidden: -one.effect for one in (*alone, *together)}
    return Occlusions(
        item.name,
        sample.benign,
        sample.malicious,
        whole,
        sorted(alone, key=lambda one: (order[one.hidden], one.hidden)),
        sorted(together, key=lambda one: (order[one.hidden], one.hidden)),
    )


class _Sample:
    """Rows of an environment that a bundle scores again and again."""

    def __init__(self, item: Prepared, judge: Judge) -> None:
        environment, self._judge = item.environment, judge
        labels = environment.evaluation_labels()
        rng = np.random.default_rng(23)
        benign = _benign_rows(environment, labels, rng)
        malicious = np.flatnonzero(labels > 0)
        if len(malicious) > MOST_MALICIOUS:
            malicious = np.sort(rng.choice(malicious, MOST_MALICIOUS, replace=False))
        self.benign, self.malicious = len(benign), len(malicious)
        rows = np.concatenate([benign, malicious])
        self._matrix = item.matrix[rows]
        self._is_malicious = np.arange(len(rows)) >= self.benign
        clock, end = (times[benign] for times in clocks_of_recordings(environment))
        recordings = environment.captures[benign]
        self._clock, self._end = one_after_the_other(clock, recordings), end
        self._flows = candidate_flows(environment.flows, benign)

    def outcome(self, hidden: Sequence[int] = ()) -> Outcome:
        """The figures with some columns hidden."""
        columns = list(hidden)
        kept = self._matrix[:, columns].copy()
        self._matrix[:, columns] = np.nan
        scores = self._judge.ensemble.score(self._matrix)
        self._matrix[:, columns] = kept
        return Outcome(self._recall(scores), self._false(scores))

    def _recall(self, scores: Scores) -> float | None:
        if not self.malicious or self.benign < ROWS_PER_RATE / RATES[0]:
            return None
        ranking = Ranking(scores.log_odds, self._is_malicious)
        return float(ranking.figures(np.ones(len(scores.log_odds)))[1])

    def _false(self, scores: Scores) -> int:
        manifest, policy = self._judge.bundle.manifest, self._judge.policy
        rows: Numbers = np.flatnonzero(scores.score[: self.benign] >= manifest.candidate_score)
        flows = self._flows.take(pa.array(rows))
        # what one flow alone is enough for by a floor is none of the models' doing
        alone = np.zeros(len(self._matrix), np.uint8)
        of = flows, self._clock, self._end, scores, self._matrix, alone, rows
        replay = Replay(candidates_of(*of), policy, base_rate=manifest.calibration.base_rate)
        return len(replay.incidents(policy.thresholds(manifest.thresholds)))


def _benign_rows(environment: Environment, labels: Labels, rng: np.random.Generator) -> Numbers:
    """Benign rows of whole recordings, drawn until there are enough; the last one is cut short."""
    slices = list(environment.capture_slices())
    chosen, count = [], 0
    for number in rng.permutation(len(slices)).tolist():
        own = slices[number]
        rows = own.start + np.flatnonzero(labels[own] == 0)
        chosen.append(rows[: MOST_BENIGN - count])
        count += len(chosen[-1])
        if count >= MOST_BENIGN:
            break
    return np.sort(np.concatenate([np.empty(0, np.intp), *chosen]))
