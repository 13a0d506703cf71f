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
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.mlp import Mlp

# how much of a window was observed tells captures apart, not attacks
LEFT_OUT_FAMILIES: Final = ("coverage",)

CLIP: Final = 5.0
SCALE_FLOOR: Final = 1e-2

FEATURE_SET: Final = tuple(f.name for f in FEATURES if f.family not in LEFT_OUT_FAMILIES)
"""The features that members take, in their order."""


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


def select(matrix: Matrix, features: Sequence[str]) -> Matrix:
    """Columns of a matrix of all features, by name and in that order."""
    return matrix[:, [FEATURE_INDEX[name] for name in features]]


def standardise(scaler: Scaler, x: Matrix) -> Matrix:
    """The members' inputs: ``(x - mean) / scale``, clipped, missing values filled."""
    scaled = np.clip((x - scaler.mean) / scaler.scale, -scaler.clip, scaler.clip)
    return np.where(np.isnan(scaled), scaler.fill, scaled).astype(np.float32)


def member_log_odds(network: Mlp, x: Matrix) -> npt.NDArray[np.float64]:
    """One network's log-odds of malicious (rows,) for standardised rows."""
    return _log_odds(network.logits(x).astype(np.float64))


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


@dataclass(frozen=True)
class TrainedEnsemble:
    """Members, the scaler before them, and the features they take in order."""

    members: tuple[TrainedMember, ...]
    scaler: Scaler
    features: tuple[str, ...] = FEATURE_SET

    def select(self, matrix: Matrix) -> Matrix:
        """The columns that the members take, in their order."""
        return select(matrix, self.features)

    def predict(self, matrix: Matrix) -> Prediction:
        """Score rows."""
        x = standardise(self.scaler, self.select(matrix))
        log_odds = np.empty((len(x), len(self.members)))
        threats: list[npt.NDArray[np.float64]] = []
        with threadpool_limits(limits=1):
            for index, member in enumerate(self.members):
                logits = member.network.logits(x).astype(np.float64)
                log_odds[:, index] = _log_odds(logits)
                if member.knows_threats:
                    threats.append(logits[:, 1:] - _log_sum_exp(logits[:, 1:])[:, None])
        return Prediction(
            log_odds=log_odds.mean(axis=1) if self.members else np.zeros(len(x)),
            member_log_odds=log_odds,
            threat_logits=np.mean(threats, axis=0) if threats else None,
        )


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says about rows."""

    # float64 array (rows,): Uncalibrated log-odds of malicious, mean over the members
    log_odds: npt.NDArray[np.float64]
    member_log_odds: npt.NDArray[np.float64]  # float64 array (rows, members)
    # float64 array (rows, threats) or None: Mean log-probabilities of the threats given
    # malicious, not normalised; None if no member tells threats apart
    threat_logits: npt.NDArray[np.float64] | None

    def take(self, rows: npt.NDArray[np.intp]) -> Prediction:
        """Some of the rows, by their numbers."""
        votes = self.threat_logits
        return Prediction(
            self.log_odds[rows],
            self.member_log_odds[rows],
            None if votes is None else votes[rows],
        )

    def threat_shares(self) -> npt.NDArray[np.float64] | None:
        """P(threat | malicious), shape (rows, threats); None as for `threat_logits`."""
        if self.threat_logits is None:
            return None
        shifted = self.threat_logits - self.threat_logits.max(axis=1, keepdims=True)
        shares: npt.NDArray[np.float64] = np.exp(shifted)
        return shares / shares.sum(axis=1, keepdims=True)


def _log_odds(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    odds: npt.NDArray[np.float64] = _log_sum_exp(logits[:, 1:]) - logits[:, 0]
    return odds


def _log_sum_exp(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    top = values.max(axis=1)
    total: npt.NDArray[np.float64] = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return total
