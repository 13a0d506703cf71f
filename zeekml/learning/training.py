"""Joint training of the ensemble's members on several environments.

Every environment counts the same, however big it is; within it benign rows make up half, classes
count by the square root of their mass, and rows that repeat each other by the square root of their
number. Beside each environment stands its synthetic copy with half its weight. Members differ by
kind (binary, eight-class), seed and the environments they see; their log-odds are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES
from zeekml.ensemble.scaling import Scaler
from zeekml.features.matrix import feature_matrix
from zeekml.features.schema import FEATURE_INDEX, FEATURES
from zeekml.learning.environment import Environment
from zeekml.learning.network import Labels, Matrix, Mlp, Recipe, fit
from zeekml.learning.scene import Kind
from zeekml.learning.synthetic import KINDS, synthetic_copy

Weights = npt.NDArray[np.float64]

# describe one record alone; rows equal in these repeat each other, whatever surrounds them
FLOW_FAMILIES: Final = ("size", "proto", "service", "port", "direction")
# how much of a window was observed tells captures apart, not attacks
LEFT_OUT_FAMILIES: Final = ("coverage",)

MAX_SOURCE_ROWS: Final = 20_000
SYNTHETIC_WEIGHT: Final = 0.5
# what an environment counts that has only benign or only malicious rows
ONE_SIDED_WEIGHT: Final = 0.35
BENIGN_SHARE: Final = 0.5
CLASS_EXPONENT: Final = 0.5
DUPLICATE_EXPONENT: Final = 0.5
LEFT_OUT_SHARE: Final = 0.2
FEWEST_FOR_SUBSETS: Final = 4
CLIP: Final = 5.0
SCALE_FLOOR: Final = 1e-2

FEATURE_SET: Final = tuple(f.name for f in FEATURES if f.family not in LEFT_OUT_FAMILIES)


@dataclass(frozen=True)
class Prepared:
    """An environment with its features, and its synthetic copy.

    Attributes
    ----------
    matrix, synthetic : float32 arrays (rows, all features of the schema)
    synthetic_labels : int8 array
    """

    environment: Environment
    matrix: Matrix
    synthetic: Matrix
    synthetic_labels: Labels

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.environment.name


def prepare(environment: Environment, *, seed: int) -> Prepared:
    """Compute the features of an environment, capture by capture, and of its synthetic copy."""
    parts = [
        feature_matrix(environment.flows.slice(rows.start, rows.stop - rows.start))
        for rows in environment.capture_slices()
    ]
    matrix, labels = synthetic_rows(environment, seed=seed)
    return Prepared(
        environment=environment,
        matrix=np.concatenate(parts),
        synthetic=matrix,
        synthetic_labels=labels,
    )


def synthetic_rows(
    environment: Environment, *, seed: int, kinds: Sequence[Kind] = KINDS
) -> tuple[Matrix, Labels]:
    """Return features and labels of an environment's synthetic copy.

    Parameters
    ----------
    environment : Environment
    seed : int
    kinds : sequence of Kind
        What may be injected.

    Returns
    -------
    matrix : float32 array (rows, all features of the schema)
    labels : int8 array (rows,)
    """
    parts: list[Matrix] = [np.empty((0, len(FEATURES)), dtype=np.float32)]
    labels: list[Labels] = [np.empty(0, dtype=np.int8)]
    for stretch in synthetic_copy(environment, seed=seed, kinds=kinds):
        parts.append(feature_matrix(stretch.flows)[stretch.train])
        labels.append(stretch.labels[stretch.train])
    return np.concatenate(parts), np.concatenate(labels)


def duplicate_weights(matrix: Matrix, labels: Labels) -> Weights:
    """Return one over the number of rows that equal each row.

    Rows are equal if their label is and their flow-level features (``FLOW_FAMILIES``), rounded to
    a tenth, are.

    Parameters
    ----------
    matrix : float32 array (rows, all features of the schema)
    labels : int8 array (rows,)
    """
    if not len(matrix):
        return np.empty(0)
    columns = [i for i, f in enumerate(FEATURES) if f.family in FLOW_FAMILIES]
    rounded = np.round(np.nan_to_num(matrix[:, columns], nan=-9.0), 1)
    keys = np.ascontiguousarray(np.column_stack([rounded, labels]).astype(np.float32))
    keys += np.float32(0)  # minus zero would be a different key
    packed = keys.view(np.dtype((np.void, keys.shape[1] * 4))).ravel()
    _, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    return 1.0 / counts[inverse]


def distinct_records(matrix: Matrix, labels: Labels) -> int:
    """Return the number of rows that differ by label or flow-level features."""
    return round(float(duplicate_weights(matrix, labels).sum()))


def row_weights(matrix: Matrix, labels: Labels) -> Weights:
    """Return what each row of one environment counts; they add up to one.

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


def fit_scaler(x: Matrix, weights: Weights) -> Scaler:
    """Fit the standardisation: weighted mean and standard deviation per column, ignoring NaN.

    Parameters
    ----------
    x : float32 array (rows, features)
    weights : float64 array (rows,)
    """
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
    """Return columns of a matrix of all features, by name and in that order."""
    return matrix[:, [FEATURE_INDEX[name] for name in features]]


def standardise(scaler: Scaler, x: Matrix) -> Matrix:
    """Return the members' inputs: ``(x - mean) / scale``, clipped, missing values filled."""
    scaled = np.clip((x - scaler.mean) / scaler.scale, -scaler.clip, scaler.clip)
    return np.where(np.isnan(scaled), scaler.fill, scaled).astype(np.float32)


@dataclass(frozen=True)
class Member:
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

    members: tuple[Member, ...]
    scaler: Scaler
    features: tuple[str, ...] = FEATURE_SET

    def select(self, matrix: Matrix) -> Matrix:
        """Return the columns that the members take, in their order."""
        return select(matrix, self.features)

    def predict(self, matrix: Matrix) -> Prediction:
        """Score rows.

        Parameters
        ----------
        matrix : float32 array (rows, all features of the schema)
        """
        x = standardise(self.scaler, self.select(matrix))
        log_odds = np.empty((len(x), len(self.members)))
        threats: list[npt.NDArray[np.float64]] = []
        with threadpool_limits(limits=1):
            for index, member in enumerate(self.members):
                logits = member.network.logits(x).astype(np.float64)
                log_odds[:, index] = _log_sum_exp(logits[:, 1:]) - logits[:, 0]
                if member.knows_threats:
                    threats.append(logits[:, 1:] - _log_sum_exp(logits[:, 1:])[:, None])
        return Prediction(
            log_odds=log_odds.mean(axis=1) if self.members else np.zeros(len(x)),
            member_log_odds=log_odds,
            threat_logits=np.mean(threats, axis=0) if threats else None,
        )


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says about rows.

    Attributes
    ----------
    log_odds : float64 array (rows,)
        Uncalibrated log-odds of malicious, mean over the members.
    member_log_odds : float64 array (rows, members)
    threat_logits : float64 array (rows, threats) or None
        Mean log-probabilities of the threats given malicious, not normalised; None if no member
        tells threats apart.
    """

    log_odds: npt.NDArray[np.float64]
    member_log_odds: npt.NDArray[np.float64]
    threat_logits: npt.NDArray[np.float64] | None

    def threat_shares(self) -> npt.NDArray[np.float64] | None:
        """Return P(threat | malicious), shape (rows, threats); None as for `threat_logits`."""
        if self.threat_logits is None:
            return None
        shifted = self.threat_logits - self.threat_logits.max(axis=1, keepdims=True)
        shares: npt.NDArray[np.float64] = np.exp(shifted)
        return shares / shares.sum(axis=1, keepdims=True)


def _log_sum_exp(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    top = values.max(axis=1)
    total: npt.NDArray[np.float64] = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return total


@dataclass(frozen=True)
class MemberPlan:
    """How many members of each kind an ensemble has."""

    binary: int = 5
    eight_class: int = 5
    subsets: bool = True

    def outputs(self) -> list[tuple[str, ...]]:
        """Return what each member scores."""
        return [BINARY_CLASSES] * self.binary + [CLASSES] * self.eight_class


@dataclass
class Pool:
    """Training rows of all sources, and which environment each comes from.

    Attributes
    ----------
    x : float32 array (rows, features of ``FEATURE_SET``)
        Not yet standardised; NaN where missing.
    labels : int8 array (rows,)
    weights : float64 array (rows,)
        They add up to one.
    environment : int32 array (rows,)
        Index into `names`.
    """

    x: Matrix
    labels: Labels
    weights: Weights
    environment: npt.NDArray[np.int32]
    names: list[str] = field(default_factory=list)


def train(
    prepared: Sequence[Prepared],
    *,
    seed: int,
    plan: MemberPlan | None = None,
    recipe: Recipe | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedEnsemble:
    """Train an ensemble on environments and their synthetic copies.

    Parameters
    ----------
    prepared : sequence of Prepared
        At least one, with benign and malicious rows among them.
    seed : int
        Two runs with the same seed, data, processor and BLAS give the same bits.
    plan : MemberPlan, optional
        Members to train; five binary and five eight-class ones by default.
    recipe : Recipe, optional
    progress : callable, optional
        Called with (members done, members in all).

    Raises
    ------
    ValueError
        There is nothing to learn: no benign or no malicious row.
    """
    plan, recipe = plan or MemberPlan(), recipe or Recipe()
    pool = pool_of(prepared, seed)
    if not (pool.labels == 0).any() or not (pool.labels > 0).any():
        raise ValueError("training needs benign and malicious rows")
    scaler = fit_scaler(pool.x, pool.weights)
    x = standardise(scaler, pool.x)
    members: list[Member] = []
    kinds = plan.outputs()
    # one BLAS thread: sums in one order, so that a second run gives the same bits
    with threadpool_limits(limits=1):
        for index, outputs in enumerate(kinds):
            rng = np.random.default_rng([seed, index])
            left_out = _left_out(pool, rng) if plan.subsets else frozenset[int]()
            weights = np.where(np.isin(pool.environment, list(left_out)), 0.0, pool.weights)
            labels = pool.labels
            if outputs == BINARY_CLASSES:
                labels = (labels > 0).astype(np.int8)
            network = fit(x, labels, weights, outputs=len(outputs), recipe=recipe, rng=rng)
            names = tuple(sorted(pool.names[i] for i in left_out))
            members.append(Member(network, outputs, names))
            if progress is not None:
                progress(index + 1, len(kinds))
    return TrainedEnsemble(tuple(members), scaler)


def pool_of(prepared: Sequence[Prepared], seed: int) -> Pool:
    """Gather what an ensemble with this seed learns from: environments and synthetic copies."""
    columns = [FEATURE_INDEX[name] for name in FEATURE_SET]
    xs: list[Matrix] = [np.empty((0, len(columns)), dtype=np.float32)]
    labels: list[Labels] = [np.empty(0, dtype=np.int8)]
    weights: list[Weights] = [np.empty(0)]
    owners: list[npt.NDArray[np.int32]] = [np.empty(0, dtype=np.int32)]
    for number, item in enumerate(prepared):
        rng = np.random.default_rng([seed, len(item.environment), number, 1])
        for matrix, rows, scale in (
            (item.matrix, item.environment.labels, 1.0),
            (item.synthetic, item.synthetic_labels, SYNTHETIC_WEIGHT),
        ):
            counted = row_weights(matrix, rows) * scale
            chosen, counted = _cap(counted, rng)
            xs.append(matrix[chosen][:, columns])
            labels.append(rows[chosen])
            weights.append(counted)
            owners.append(np.full(len(chosen), number, dtype=np.int32))
    total = np.concatenate(weights)
    return Pool(
        x=np.concatenate(xs),
        labels=np.concatenate(labels),
        weights=total / max(total.sum(), 1e-12),
        environment=np.concatenate(owners),
        names=[item.name for item in prepared],
    )


def _cap(weights: Weights, rng: np.random.Generator) -> tuple[npt.NDArray[np.intp], Weights]:
    """Choose at most ``MAX_SOURCE_ROWS`` rows; the chosen ones carry the weight of all."""
    used = np.flatnonzero(weights > 0)
    if len(used) <= MAX_SOURCE_ROWS:
        return used, weights[used]
    total = weights[used].sum()
    drawn = rng.choice(used, MAX_SOURCE_ROWS, p=weights[used] / total)
    chosen, times = np.unique(drawn, return_counts=True)
    return chosen, times * (total / MAX_SOURCE_ROWS)


def _left_out(pool: Pool, rng: np.random.Generator) -> frozenset[int]:
    """Draw the environments that a member does not see; the others must teach both sides."""
    count = len(pool.names)
    if count < FEWEST_FOR_SUBSETS:
        return frozenset()
    order = rng.permutation(count)
    left_out = frozenset(int(i) for i in order[: max(1, round(LEFT_OUT_SHARE * count))])
    seen = pool.labels[~np.isin(pool.environment, list(left_out))]
    if not (seen == 0).any() or not (seen > 0).any():
        return frozenset()
    return left_out
