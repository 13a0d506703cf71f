"""Training rows of all environments and of their synthetic copies, and their sample weights.

Every environment counts the same, however big it is; within it repeats count little, and classes
and benign rows are in balance. Beside each environment stands its synthetic copy with half its
weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.data_report import features_of
from zeekml.datasets.environment import Environment, Labels, Matrix
from zeekml.datasets.equal_rows import Weights, duplicate_weights
from zeekml.features.extractor import feature_matrix
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.synthetic.inject import KINDS, synthetic_copy
from zeekml.training.synthetic.traffic_context import TrafficKind
from zeekml.training.tasks import both_sides, host_groups
from zeekml.training.trained_ensemble import FEATURE_SET

# what an environment counts that has only benign or only malicious rows
ONE_SIDED_WEIGHT: Final = 0.35
BENIGN_SHARE: Final = 0.5
CLASS_EXPONENT: Final = 0.5
DUPLICATE_EXPONENT: Final = 0.5


def row_weights(matrix: Matrix, labels: Labels) -> Weights:
    """What each row of one environment counts; they add up to one.

    An environment without benign or without malicious rows adds up to ``ONE_SIDED_WEIGHT``, one
    without any labelled row to zero.
    """
    repeated = duplicate_weights(matrix, labels) ** DUPLICATE_EXPONENT
    weights = np.zeros(len(labels))
    for label in np.unique(labels[labels > 0]):
        chosen = labels == label
        mass = repeated[chosen].sum()
        weights[chosen] = repeated[chosen] / mass * mass**CLASS_EXPONENT
    benign = labels == 0
    malicious = weights.sum()
    if benign.any() and malicious > 0:
        weights *= (1 - BENIGN_SHARE) / malicious
        weights[benign] = repeated[benign] / repeated[benign].sum() * BENIGN_SHARE
    elif benign.any():
        weights[benign] = repeated[benign] / repeated[benign].sum() * ONE_SIDED_WEIGHT
    elif malicious > 0:
        weights *= ONE_SIDED_WEIGHT / malicious
    return weights


MAX_SOURCE_ROWS: Final = 20_000
SYNTHETIC_WEIGHT: Final = 0.5
LEFT_OUT_SHARE: Final = 0.2
FEWEST_FOR_SUBSETS: Final = 4


@dataclass(frozen=True)
class Prepared:
    """An environment with its features, and its synthetic copy."""

    environment: Environment
    matrix: Matrix  # (rows, all features of the schema)
    synthetic: Matrix
    synthetic_labels: Labels

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.environment.name

    @cached_property
    def weights(self) -> Weights:
        """What each row counts."""
        return row_weights(self.matrix, self.environment.labels)

    @cached_property
    def hosts(self) -> npt.NDArray[np.int64]:
        """Which rows must not be parted, see `tasks.host_groups`."""
        return host_groups(self.environment)


def prepare(environment: Environment, *, seed: int) -> Prepared:
    """The features of an environment, capture by capture, and of its synthetic copy."""
    return Prepared(environment, features_of(environment), *synthetic_rows(environment, seed=seed))


def prepare_all(
    environments: Sequence[Environment], seed: int, tell: Callable[[str, int, int], None]
) -> list[Prepared]:
    """Prepare every environment, and say so."""
    prepared = []
    for done, environment in enumerate(environments):
        tell(f"features of {environment.name}", done, len(environments))
        prepared.append(prepare(environment, seed=seed))
    return prepared


def synthetic_rows(
    environment: Environment, *, seed: int, kinds: Sequence[TrafficKind] = KINDS
) -> tuple[Matrix, Labels]:
    """Features and labels of an environment's synthetic copy."""
    parts: list[Matrix] = [np.empty((0, len(FEATURES)), dtype=np.float32)]
    labels: list[Labels] = [np.empty(0, dtype=np.int8)]
    for stretch in synthetic_copy(environment, seed=seed, kinds=kinds):
        parts.append(feature_matrix(stretch.flows)[stretch.train])
        labels.append(stretch.labels[stretch.train])
    return np.concatenate(parts), np.concatenate(labels)


@dataclass(frozen=True)
class TrainingRows:
    """Training rows of all sources, and which environment each comes from."""

    # (rows, features of FEATURE_SET): not yet standardised; NaN where missing
    x: Matrix
    labels: Labels  # (rows,)
    weights: Weights  # (rows,): they add up to one
    environment: npt.NDArray[np.int32]  # (rows,): index into names
    names: list[str] = field(default_factory=list)


def pool_of(prepared: Sequence[Prepared], seed: int) -> TrainingRows:
    """Gather what an ensemble with this seed learns from: environments and synthetic copies."""
    columns = [FEATURE_INDEX[name] for name in FEATURE_SET]
    parts: list[tuple[Matrix, Labels, Weights, npt.NDArray[np.int32]]] = []
    for number, item in enumerate(prepared):
        rng = np.random.default_rng([seed, len(item.environment), number, 1])
        synthetic = row_weights(item.synthetic, item.synthetic_labels) * SYNTHETIC_WEIGHT
        for matrix, rows, counted in (
            (item.matrix, item.environment.labels, item.weights),
            (item.synthetic, item.synthetic_labels, synthetic),
        ):
            chosen = np.flatnonzero(counted > 0)
            mass = counted[chosen]
            if len(chosen) > MAX_SOURCE_ROWS:
                # the chosen ones carry the weight of all
                total = mass.sum()
                drawn = rng.choice(chosen, MAX_SOURCE_ROWS, p=mass / total)
                chosen, times = np.unique(drawn, return_counts=True)
                mass = times * (total / MAX_SOURCE_ROWS)
            owner = np.full(len(chosen), number, dtype=np.int32)
            parts.append((matrix[chosen][:, columns], rows[chosen], mass, owner))
    x, labels, weights, environment = map(np.concatenate, zip(*parts, strict=True))
    weights = weights / max(weights.sum(), 1e-12)
    return TrainingRows(x, labels, weights, environment, [item.name for item in prepared])


def draw_left_out(pool: TrainingRows, rng: np.random.Generator) -> frozenset[int]:
    """Draw the environments that a member does not see; the others must teach both sides."""
    count = len(pool.names)
    if count < FEWEST_FOR_SUBSETS:
        return frozenset()
    order = rng.permutation(count)
    left_out = frozenset(int(i) for i in order[: max(1, round(LEFT_OUT_SHARE * count))])
    seen = pool.labels[~np.isin(pool.environment, list(left_out))]
    return left_out if both_sides(seen) else frozenset()
