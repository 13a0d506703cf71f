"""The ensemble that scores pairs of hosts over days, beside the one that scores flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.ensemble.interpreter import MAX_BATCH, Member
from zeekml.ensemble.probability import softmax
from zeekml.ensemble.scaler import Scaler
from zeekml.pairs.layout import Records
from zeekml.pairs.pair_features import PAIR_FEATURES, pair_matrix, span

PAIR_THREATS: Final = ("c2", "exfil")
PAIR_CLASSES: Final = ("benign", *PAIR_THREATS)

LEAST_SPAN: Final = 600.0
LEAST_CONTACTS: Final = 12
LEAST_STRENGTH: Final = 1.5
LEAST_CARRIED: Final = 4  # contacts
LEAST_SENT: Final = 4_000_000
"""What a pair must show to be one of `PAIR_THREATS` whatever the models say: over ten minutes at
least, c2 keeps time, and exfiltration carries something away more than once."""

MOST_UNANSWERED: Final = 0.9
"""Share of datagrams that may stay without an answer: who is never answered gets no orders. (A
server of TCP that is gone is no less of a server.)"""

_STRENGTH, _FAILED, _IS_UDP = (
    tuple(PAIR_FEATURES).index(name) for name in ("gap_strength", "failed_share", "is_udp")
)


@dataclass(frozen=True, slots=True, eq=False)
class PairModels:
    """The pair ensemble of a bundle."""

    models: tuple[bytes, ...]  # .tflite files, from `PAIR_FEATURES` to `PAIR_CLASSES`
    scaler: Scaler
    thresholds: Mapping[str, float]  # by threat, the score from which something is told


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """What the pair ensemble says about n pairs."""

    score: npt.NDArray[np.float64]  # (n,): mean probability of being a threat at all
    threat: npt.NDArray[np.int8]  # (n,): place in `PAIR_THREATS` of the likelier one
    members: npt.NDArray[np.float32]  # (n, members): each member's probability


class PairEnsemble:
    """The members, ready to score; not thread-safe, see `Member`."""

    def __init__(self, models: PairModels) -> None:
        self._scaler = models.scaler
        self._members = [Member(model) for model in models.models]

    def score(self, looks: Records) -> PairScores:
        """Score pairs as they were looked at, `pairs.layout.LOOK` (n,).

        A pair's score does not depend on the others. Members are not asked about a pair that is
        none of `PAIR_THREATS` whatever they say: it counts as benign.
        """
        matrix = pair_matrix(looks)
        shares = np.zeros((len(looks), len(self._members), len(PAIR_CLASSES)))
        shares[:, :, 0] = 1.0
        asked = np.flatnonzero(possible_threats(looks, matrix).any(axis=1))
        for start in range(0, len(asked), MAX_BATCH):
            rows = asked[start : start + MAX_BATCH]
            inputs = scaled(matrix[rows], self._scaler)
            for place, member in enumerate(self._members):
                shares[rows, place] = softmax(member.scores(inputs).astype(np.float64))
        return pair_scores(looks, matrix, shares)


def pair_scores(
    looks: Records, matrix: npt.NDArray[np.float32], shares: npt.NDArray[np.float64]
) -> PairScores:
    """The scores of pairs, from what each member gives each class (n, members, classes)."""
    mean = shares.mean(axis=1)
    possible = possible_threats(looks, matrix)
    malicious = np.minimum(mean[:, 1:].sum(axis=1), 1.0)
    return PairScores(
        score=np.where(possible.any(axis=1), malicious, 0.0),
        threat=np.where(possible, mean[:, 1:], -1.0).argmax(axis=1).astype(np.int8),
        members=(1.0 - shares[:, :, 0]).astype(np.float32),
    )


def scaled(matrix: npt.NDArray[np.float32], scaler: Scaler) -> npt.NDArray[np.float32]:
    """Features (n, `PAIR_FEATURES`) as the members take them."""
    scaled = np.clip((matrix - scaler.mean) / scaler.scale, -scaler.clip, scaler.clip)
    filled: npt.NDArray[np.float32] = np.where(np.isnan(matrix), scaler.fill, scaled)
    return filled.astype(np.float32)


def possible_threats(looks: Records, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which of `PAIR_THREATS` a pair (n, threats) can be at all."""
    pair = looks["pair"]
    keeps_time = (pair["contacts"] >= LEAST_CONTACTS) & (matrix[:, _STRENGTH] >= LEAST_STRENGTH)
    keeps_time &= (matrix[:, _IS_UDP] == 0) | (matrix[:, _FAILED] <= MOST_UNANSWERED)
    carries = (pair["sent"] >= LEAST_SENT) & (pair["sent"] > pair["received"])
    carries &= pair["contacts"] >= LEAST_CARRIED
    lasts = span(looks) >= LEAST_SPAN
    return np.stack([keeps_time & lasts, carries & lasts], axis=1)
