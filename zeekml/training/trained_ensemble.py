"""A trained ensemble: its members, the scaler before them, and what they say about rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from zeekml.datasets.environment import Matrix
from zeekml.datasets.equal_rows import Weights
from zeekml.ensemble.classes import CLASSES
from zeekml.ensemble.scaler import Scaler
from zeekml.ensemble.scoring import averaged_log_odds, member_log_odds, standardise, threat_shares
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.mlp import Mlp

# how much of a window was observed tells captures apart, not attacks
LEFT_OUT_FAMILIES: Final = ("coverage",)

CLIP: Final = 5.0
SCALE_FLOOR: Final = 1e-2

FEATURE_SET: Final = tuple(f.name for f in FEATURES if f.family not in LEFT_OUT_FAMILIES)
"""The features that members take, in their order."""

_COLUMNS: Final = np.array([FEATURE_INDEX[name] for name in FEATURE_SET], np.int64)

Floats = npt.NDArray[np.float64]


def fit_scaler(x: Matrix, weights: Weights) -> Scaler:
    """Fit the standardisation: weighted mean and standard deviation per column, ignoring NaN."""
    known = ~np.isnan(x)
    values = np.where(known, x, 0).astype(np.float64)
    mass = np.maximum(weights @ known, 1e-12)
    mean = (weights @ values) / mass
    variance = (weights @ (np.where(known, values - mean, 0.0) ** 2)) / mass
    return Scaler(
        mean=mean.astype(np.float32),
        scale=(np.sqrt(variance) + SCALE_FLOOR).astype(np.float32),
        fill=np.zeros(x.shape[1], dtype=np.float32),
        clip=CLIP,
    )


def member_inputs(scaler: Scaler, matrix: Matrix) -> Matrix:
    """Rows of all features of the schema as members take them: `FEATURE_SET`, standardised."""
    return standardise(scaler, matrix, _COLUMNS)


def standardised(scaler: Scaler, x: Matrix) -> Matrix:
    """Rows of `FEATURE_SET` as members take them."""
    return standardise(scaler, x, np.arange(x.shape[1]))


def network_log_odds(network: Mlp, x: Matrix) -> Floats:
    """One network's log-odds of malicious (rows,) for standardised rows."""
    logits = network.logits(x)[:, np.newaxis]
    return member_log_odds(logits, np.array([logits.shape[2] == len(CLASSES)]))[:, 0]


@dataclass(frozen=True)
class TrainedMember:
    """One trained network and the names of what it scores."""

    network: Mlp
    outputs: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def knows_threats(self) -> bool:
        """Whether it tells threats apart."""
        return self.outputs == CLASSES


def member_logits(members: Sequence[TrainedMember], x: Matrix) -> Matrix:
    """What members say of standardised rows: (rows, members, classes), binary ones fill two."""
    logits = np.zeros((len(x), len(members), len(CLASSES)), np.float32)
    for number, member in enumerate(members):
        logits[:, number, : len(member.outputs)] = member.network.logits(x)
    return logits


@dataclass(frozen=True)
class TrainedEnsemble:
    """Members, the scaler before them, and the features they take in order."""

    members: tuple[TrainedMember, ...]
    scaler: Scaler
    features: tuple[str, ...] = FEATURE_SET

    def predict(self, matrix: Matrix) -> Prediction:
        """Score rows of all features of the schema, as a bundle of these members will."""
        x = member_inputs(self.scaler, matrix)
        with threadpool_limits(limits=1):
            logits = member_logits(self.members, x)
        return Prediction.of(logits, [member.knows_threats for member in self.members], matrix)


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says about rows."""

    log_odds: Floats  # (rows,): uncalibrated log-odds of malicious, mean over the members
    member_log_odds: Floats  # (rows, members)
    # P(threat | malicious) (rows, threats); None if no member tells threats apart
    threat_shares: Floats | None

    @classmethod
    def of(cls, logits: Matrix, knows_threats: Sequence[bool], matrix: Matrix) -> Prediction:
        """From members' logits (rows, members, classes), binary ones filling the first two.

        And the rows' features, all of the schema.
        """
        knows = np.array(knows_threats)
        odds = member_log_odds(logits, knows)
        shares, _ = threat_shares(logits, knows, False, matrix)
        mean = averaged_log_odds(odds, probability=False)
        return cls(mean, odds, shares if knows.any() else None)

    def take(self, rows: npt.NDArray[np.intp]) -> Prediction:
        """Some of the rows, by their numbers."""
        shares = None if self.threat_shares is None else self.threat_shares[rows]
        return Prediction(self.log_odds[rows], self.member_log_odds[rows], shares)
