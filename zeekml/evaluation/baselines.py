"""What a model has to beat: on the same rows, features, scaling, weights and seeds.

None of them was tuned; neither was anything on the environment held out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from zeekml.datasets.environment import Matrix
from zeekml.ensemble.scaler import Scaler
from zeekml.evaluation.rule_baseline import strongest_rule
from zeekml.training.ranking import Ranking
from zeekml.training.trained_ensemble import FEATURE_SET, select, standardise
from zeekml.training.training_rows import TrainingRows

Floats = npt.NDArray[np.float64]

_TREES: Final = 100
_SMALLEST_LEAF: Final = 5

DESCRIPTIONS: Final = {
    "one feature": "the single feature and direction that ranks the training rows best",
    "simple rules": "the strongest of seven rules written down beforehand; nothing is fitted",
    "logistic regression": "scikit-learn, C = 1",
    "random forest": f"scikit-learn, {_TREES} trees, leaves of {_SMALLEST_LEAF} rows or more",
    "gradient boosting": "scikit-learn's histogram gradient boosting, 100 rounds of 31 leaves",
    "isolation forest": f"scikit-learn, {_TREES} trees, fitted to benign training rows alone",
}
NAMES: Final = tuple(DESCRIPTIONS)
RULES_NAME: Final = "simple rules"


@dataclass(frozen=True)
class Stump:
    """One feature, and whether high or low values are suspicious."""

    feature: str
    direction: int

    def scores(self, x: Matrix) -> Floats:
        """Score standardised rows."""
        return self.direction * x[:, FEATURE_SET.index(self.feature)].astype(np.float64)


@dataclass(frozen=True)
class Baselines:
    """All baselines, fitted to the same rows."""

    scaler: Scaler  # the ensemble's own
    stump: Stump
    models: Mapping[str, Callable[[Matrix], Floats]]  # from standardised rows to scores
    rows: int  # training rows that they were fitted to, repeated ones included

    def scores(self, matrix: Matrix) -> dict[str, Floats]:
        """Score rows by every baseline."""
        x = standardise(self.scaler, select(matrix, FEATURE_SET))
        found = {"one feature": self.stump.scores(x), RULES_NAME: strongest_rule(matrix)}
        with threadpool_limits(limits=1):
            found.update({name: score(x) for name, score in self.models.items()})
        return {name: found[name] for name in NAMES}


def fit_baselines(
    pool: TrainingRows,
    scaler: Scaler,
    *,
    rows: int,
    seed: int,
    done: Callable[[str], None] = lambda name: None,
) -> Baselines:
    """Fit every baseline to the ensemble's own training rows."""
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        IsolationForest,
        RandomForestClassifier,
    )
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng([seed, 7])
    chosen = _sample(pool.weights, rows, rng)
    x = standardise(scaler, pool.x[chosen])
    y = pool.labels[chosen] > 0
    classifiers = {
        "logistic regression": LogisticRegression(max_iter=300, tol=1e-3),
        # trees are grown alike by any number of threads
        "random forest": RandomForestClassifier(
            _TREES, min_samples_leaf=_SMALLEST_LEAF, n_jobs=2, random_state=seed
        ),
        "gradient boosting": HistGradientBoostingClassifier(
            early_stopping=False, random_state=seed
        ),
    }
    stump = best_stump(x, y)
    done("one feature")
    models: dict[str, Callable[[Matrix], Floats]] = {}
    # sums in one order, so that a second run gives the same bits
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in classifiers.items():
            model.fit(x, y)
            # two threads would add trees up in any order
            if name == "random forest":
                model.set_params(n_jobs=1)
            models[name] = _probability_of(model)
            done(name)
        benign = np.where(pool.labels == 0, pool.weights, 0.0)
        own = _sample(benign, rows, rng)
        forest = IsolationForest(n_estimators=_TREES, random_state=seed)
        forest.fit(standardise(scaler, pool.x[own]))
        models["isolation forest"] = _strangeness_by(forest)
        done("isolation forest")
    return Baselines(scaler, stump, models, rows=len(chosen))


def best_stump(x: Matrix, malicious: npt.NDArray[np.bool_]) -> Stump:
    """The feature and direction of the highest average precision."""
    ones = np.ones(len(x))
    best, stump = -1.0, Stump(FEATURE_SET[0], 1)
    for column, feature in enumerate(FEATURE_SET):
        for direction in (1, -1):
            worth = Ranking(direction * x[:, column], malicious).figures(ones)[0]
            if worth > best:
                best, stump = float(worth), Stump(feature, direction)
    return stump


def _sample(weights: Floats, rows: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Rows to fit to, drawn by weight with replacement, so that all of them weigh the same."""
    used = int((weights > 0).sum())
    return rng.choice(len(weights), min(rows, used), p=weights / weights.sum())


def _probability_of(model: Any) -> Callable[[Matrix], Floats]:
    return lambda x: np.asarray(model.predict_proba(x)[:, 1], dtype=np.float64)


def _strangeness_by(forest: Any) -> Callable[[Matrix], Floats]:
    return lambda x: -np.asarray(forest.score_samples(x), dtype=np.float64)
