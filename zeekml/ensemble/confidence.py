"""How sure an incident is, in percent, and how rare such evidence is in benign traffic.

Scores are of flows, and small where attacks are rare. An incident rests on many flows, and on a
threshold: what counts is by how much its evidence exceeds that, on the scale of log-odds. Held-out
networks tell how many of the incidents so strong are attacks, and how often benign traffic comes
as far.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np

from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.pair_models import PAIR_THREATS
from zeekml.ensemble.probability import apply_platt, log_odds

_LEAST, _MOST = 1, 99  # percent: nothing is certain
_NEVER: Final = 1e-9


class Certainty(NamedTuple):
    """What is said of an incident."""

    percent: int
    rarity: str  # in words; empty if benign traffic tells nothing of it


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Certainty and rarity of evidence by how far it exceeds a bar, in log-odds."""

    bars: dict[str, float]  # by threat, as log-odds
    slope: float
    intercept: float
    # of benign traffic: how far the strongest exceeded its bar, in ascending order, and in how
    # many windows or pairs there was one at least so strong
    benign: tuple[tuple[float, float], ...]
    looked_at: int  # benign windows or pairs in all

    def excess(self, threat: str, strength: float) -> float:
        """How far evidence, or the score of a pair, exceeds the bar."""
        return finite_log_odds(strength) - self.bars[threat]

    def probability(self, excess: float) -> float:
        """That an incident is an attack."""
        return float(apply_platt(np.array([excess]), self.slope, self.intercept)[0])

    def rarity(self, excess: float, what: str) -> str:
        """How rare evidence so strong is, in words; empty if it does not reach the bar."""
        if excess < 0.0 or not self.looked_at:
            return ""
        as_strong = [number for at, number in self.benign if at >= excess]
        if not as_strong:
            return f"stronger than any in {_round(self.looked_at):,} benign {what}"
        return f"as strong as 1 in {_round(as_strong[0]):,} benign {what}"

    def reasons_against(self, threats: tuple[str, ...]) -> Iterator[str]:
        """What is wrong with it."""
        numbers = (self.slope, self.intercept, *self.bars.values())
        numbers += tuple(value for point in self.benign for value in point)
        if set(self.bars) != set(threats):
            yield f"bars of a confidence must be given for {', '.join(threats)}"
        if not all(map(math.isfinite, numbers)):
            yield "a number of a confidence is not finite"
        if self.slope < 0:
            yield "the slope of a confidence is below 0"
        if list(self.benign) != sorted(self.benign):
            yield "benign evidence of a confidence is not in ascending order"


class Confidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the incidents of a bundle."""

    base_rate: float  # share of incidents that are attacks, for which percentages hold
    flows: Curve
    floor: float  # probability for what met a floor, which asks no model
    pairs: Curve | None = None

    def of_flows(self, threat: str, strength: float, *, floor: bool) -> Certainty:
        """Of an incident that flows opened.

        Parameters
        ----------
        threat
            One of THREATS.
        strength
            The most evidence for it so far, see `zeekml.ensemble.probability.evidence`.
        floor
            Whether a flow that met a floor opened it.
        """
        excess = self.flows.excess(threat, strength)
        probability = self.flows.probability(excess)
        if floor:
            probability = max(probability, self.floor)
        return Certainty(percent(probability), self.flows.rarity(excess, "five-minute windows"))

    def of_pair(self, threat: str, score: float) -> Certainty | None:
        """Of an incident in which a pair of hosts was found, with this score; None: unknown."""
        if self.pairs is None or threat not in self.pairs.bars:
            return None
        excess = self.pairs.excess(threat, score)
        told = self.pairs.rarity(excess, "pairs of hosts that keep in touch")
        return Certainty(percent(self.pairs.probability(excess)), told)

    def reasons_against(self) -> Iterator[str]:
        """What is wrong with it."""
        if not 0 < self.base_rate < 1 or not 0 <= self.floor <= 1:
            yield "a probability of a confidence is not between 0 and 1"
        yield from self.flows.reasons_against(THREATS)
        if self.pairs is not None:
            yield from self.pairs.reasons_against(PAIR_THREATS)


def finite_log_odds(probability: float) -> float:
    """Log-odds of a probability that may be 0 or 1."""
    return log_odds(min(max(probability, _NEVER), 1.0 - _NEVER))


def bars_of(probabilities: Mapping[str, float]) -> dict[str, float]:
    """The bars of thresholds."""
    return {threat: round(finite_log_odds(value), 6) for threat, value in probabilities.items()}


def percent(probability: float) -> int:
    """A probability as a percentage, never 0 or 100."""
    return min(max(round(100.0 * probability), _LEAST), _MOST)


def _round(number: float) -> int:
    """Two significant digits."""
    digits = max(len(str(int(number))) - 2, 0)
    return int(round(number, -digits))
