"""What a model has to beat: on the same rows, features, scaling, weights and seeds.

None of them was tuned; neither was anything on the environment held out. The rules are a handful
that an analyst would write: they were written down before any figure was computed and are not
fitted to anything. A flow scores as its strongest rule: how many times over its limit its context
is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from zeekml.datasets.environment import Matrix
from zeekml.ensemble.scaler import Scaler
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.ranking import Floats, Ranking
from zeekml.training.trained_ensemble import FEATURE_SET, member_inputs, standardised
from zeekml.training.training_rows import TrainingRows

# how many times over the limit still makes a difference
_MOST: Final = 10.0


class Rule(NamedTuple):
    """One rule: `strength` is 1 where a flow just meets it, of features in their natural units."""

    text: str
    strength: Callable[[Callable[[str], Floats]], Floats]


RULES: Final = (
    Rule("the source tried 20 ports within 10 minutes", lambda c: c("src600_ports") / 20),
    Rule("the source contacted 30 hosts within 10 minutes", lambda c: c("src600_hosts") / 30),
    Rule(
        "the source had 20 unanswered flows within 10 minutes",
        lambda c: c("src600_failed") * c("src600_flows") / 20,
    ),
    Rule("the destination got 100 flows within a minute", lambda c: c("dst60_flows") / 100),
    Rule(
        "30 flows between two hosts within 10 minutes, to a login or database port",
        lambda c: c("port_admin") * c("pair600_flows") / 30,
    ),
    Rule(
        "8 contacts with one service in the hour whose intervals differ by at most a tenth",
        lambda c: (
            (c("contact_flows") >= 7.5)
            * (c("contact_interval") > 1)
            * 0.1
            / np.maximum(c("contact_jitter"), 0.02)
        ),
    ),
    Rule(
        "the originator sent 10 MB out of the local networks",
        lambda c: (1 - c("resp_local")) * c("orig_payload") / 1e7,
    ),
)


def strongest_rule(matrix: Matrix) -> Floats:
    """Score rows by the strongest of `RULES`: float64, (rows,), 1 where a limit is just met."""

    def natural(name: str) -> Floats:
        """A feature in its natural unit, missing ones zero."""
        feature = FEATURES[FEATURE_INDEX[name]]
        stored = np.nan_to_num(matrix[:, FEATURE_INDEX[name]].astype(np.float64))
        return np.expm1(stored) / feature.scale if feature.transform == "log1p" else stored

    strengths: Floats = np.stack([rule.strength(natural) for rule in RULES])
    return np.minimum(strengths, _MOST).max(axis=0)


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

    def scores(self, matrix: Matrix) -> dict[str, Floats]:
        """Score rows by every baseline."""
        x = member_inputs(self.scaler, matrix)
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
    from sklearn import ensemble
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng([seed, 7])
    chosen = _sample(pool.weights, rows, rng)
    x = standardised(scaler, pool.x[chosen])
    y = pool.labels[chosen] > 0
    classifiers = {
        "logistic regression": LogisticRegression(max_iter=300, tol=1e-3),
        # trees are grown alike by any number of threads
        "random forest": ensemble.RandomForestClassifier(
            _TREES, min_samples_leaf=_SMALLEST_LEAF, n_jobs=2, random_state=seed
        ),
        "gradient boosting": ensemble.HistGradientBoostingClassifier(
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
        forest = ensemble.IsolationForest(n_estimators=_TREES, random_state=seed)
        forest.fit(standardised(scaler, pool.x[own]))
        models["isolation forest"] = lambda x: -np.asarray(forest.score_samples(x), np.float64)
        done("isolation forest")
    return Baselines(scaler, stump, models)


def best_stump(x: Matrix, malicious: npt.NDArray[np.bool_]) -> Stump:
    """The feature and direction of the highest average precision."""
    ones = np.ones(len(x))
    candidates = [Stump(feature, direction) for feature in FEATURE_SET for direction in (1, -1)]
    return max(candidates, key=lambda c: Ranking(c.scores(x), malicious).figures(ones)[0])


def _sample(weights: Floats, rows: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Rows to fit to, drawn by weight with replacement, so that all of them weigh the same."""
    used = int((weights > 0).sum())
    return rng.choice(len(weights), min(rows, used), p=weights / weights.sum())


def _probability_of(model: Any) -> Callable[[Matrix], Floats]:
    return lambda x: np.asarray(model.predict_proba(x)[:, 1], dtype=np.float64)
