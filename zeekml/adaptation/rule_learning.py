"""Site rules learned from false alarms: boxes around them that no attack of the reference meets.

Sequential covering: from one false alarm a rule is grown condition by condition, each a bound of
what the false alarms show, a little wider. The condition is taken that leaves fewest attacks within
(those of the reference set and the site's true incidents) and least of the site's other traffic; so
a rule names a kind of traffic, not just what attacks are not. Then further false alarms join as
long as such a rule can be found for all of them together; what is left starts the next rule.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.adaptation.examples import Example, some_of
from zeekml.detection.flow_conditions import Condition
from zeekml.detection.site_rules import meeting
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.site_rule import SiteRule
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES

MARGIN: Final = 0.25
"""How much wider than the false alarms a bound is, in standard deviations of the feature."""

MOST_MET: Final = 0.002
"""Share of the attacks that may meet a rule."""

MOST_CONDITIONS: Final = 8
_GAIN: Final = 0.15  # by which share a condition must leave less within
_ATTACKS: Final = 20.0  # what an attack weighs against other traffic
_ROWS: Final = 4_000  # of each side that a rule is grown on
_DIGITS: Final = 4
_FINEST: Final = 1e-3

Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Others:
    """What a rule is to leave alone."""

    attacks: Matrix  # (n, all features of the schema)
    traffic: Matrix  # other traffic of the site, or benign traffic of the reference

    @classmethod
    def of(cls, attacks: Matrix, traffic: Matrix, seed: int = 0) -> Others:
        """Some rows of each."""
        rng = np.random.default_rng(seed)
        kept = (rows[some_of(len(rows), _ROWS, rng)] for rows in (attacks, traffic))
        return cls(*kept)


def learn_rules(
    examples: Sequence[Example], others: Others, bundle: Bundle, *, taken: Sequence[str] = ()
) -> tuple[SiteRule, ...]:
    """Rules for the false alarms among examples, threat by threat.

    `taken` are names that rules have already. True ones are to be left alone, beside `others`.
    """
    true = [e.matrix for e in examples if e.truth and e.known]
    own_attacks = np.concatenate([others.attacks[:0], *true])
    learner = _Learner(bundle, others, own_attacks)
    names = set(taken)
    found: list[SiteRule] = []
    false = [e for e in examples if not e.truth and e.known and not e.of_flow]
    for threat in dict.fromkeys(example.threat for example in false):
        own = [example.matrix for example in false if example.threat == threat]
        for conditions, labels in learner.cover(own):
            told = tuple(map(str, conditions))
            digest = hashlib.sha256("\n".join(told).encode()).hexdigest()
            name = f"{threat}-{digest[:6]}"
            if name not in names:
                names.add(name)
                found.append(SiteRule(name=name, threat=threat, conditions=told, labels=labels))
    return tuple(found)


class _Learner:
    """Grows rules from the false alarms of one threat."""

    def __init__(self, bundle: Bundle, others: Others, own_attacks: Matrix) -> None:
        self._columns = [FEATURE_INDEX[name] for name in bundle.manifest.features]
        self._margin = MARGIN * bundle.scaler.scale
        self._attacks = np.concatenate([others.attacks, own_attacks])
        self._traffic = others.traffic
        self._most, self._own = int(MOST_MET * len(others.attacks)), len(others.attacks)

    def cover(self, alarms: Sequence[Matrix]) -> list[tuple[list[Condition], int]]:
        """Rules, and from how many of the alarms (n, features) each was made."""
        found = []
        todo = list(range(len(alarms)))
        while todo:
            rule = self.grow([alarms[todo[0]]])
            if rule is None:
                del todo[0]
                continue
            joined = [todo[0]]
            for number in todo[1:]:
                wider = self.grow([alarms[i] for i in (*joined, number)])
                if wider is not None:
                    joined.append(number)
                    rule = wider
            found.append((rule, len(joined)))
            todo = [number for number in todo if number not in joined]
        return found

    def grow(self, alarms: Sequence[Matrix]) -> list[Condition] | None:
        """Conditions that all rows meet, and hardly an attack; None if there are none."""
        bounds = self._bounds(np.concatenate(alarms))
        attacks, traffic = (np.arange(len(rows)) for rows in (self._attacks, self._traffic))
        chosen: list[Condition] = []
        met = [self._met(condition) for condition in bounds]
        while len(chosen) < MOST_CONDITIONS:
            now = self._weight(len(attacks), len(traffic))
            left = [self._weight(a[attacks].sum(), t[traffic].sum()) for a, t in met]
            best = int(np.argmin(left)) if left else -1
            if best < 0 or now == 0 or left[best] > (1 - _GAIN) * now:
                break
            chosen.append(bounds[best])
            attacks, traffic = attacks[met[best][0][attacks]], traffic[met[best][1][traffic]]
        # of the site's own attacks, not one may be met
        spared = len(attacks) <= self._most and not (attacks >= self._own).any()
        return chosen if chosen and spared else None

    def _weight(self, attacks: int, traffic: int) -> float:
        share = traffic / max(len(self._traffic), 1)
        return _ATTACKS * attacks / max(len(self._attacks), 1) + share

    def _met(self, condition: Condition) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        return meeting([condition], self._attacks), meeting([condition], self._traffic)

    def _bounds(self, rows: Matrix) -> list[Condition]:
        """Two conditions for each feature that all rows have, as far as they say anything."""
        found = []
        for place, column in enumerate(self._columns):
            values = rows[:, column]
            if np.isnan(values).any():
                continue
            feature = FEATURES[column]
            margin = float(self._margin[place])
            ends = ((">=", values.min() - margin, -1), ("<=", values.max() + margin, 1))
            for sign, stored, away in ends:
                natural = feature.natural(float(stored))
                if sign == ">=" and natural <= 0 and feature.transform != "identity":
                    continue  # all values are above
                bound = _rounded(natural, away)
                condition = Condition(feature.name, sign, bound)
                if math.isfinite(bound) and abs(bound) < 1e15 and condition.met(values).all():
                    found.append(condition)
        return found


def _rounded(value: float, away: int) -> float:
    """To some digits, upwards (1) or downwards (-1); nothing is finer than `_FINEST`."""
    if not math.isfinite(value):
        return value
    if abs(value) < _FINEST:
        return 0.0 if value * away <= 0 else away * _FINEST
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - _DIGITS + 1)
    steps = math.ceil(value / unit) if away > 0 else math.floor(value / unit)
    return float(f"{steps * unit:.{_DIGITS}g}")
