"""Everything that is fitted for one environment, without a single row of it.

Calibration, thresholds and the choice of a member need scores of environments that an ensemble has
not seen. If those came from ensembles that had seen the environment held out, it would still have a
say. So for every pair of environments an ensemble is trained without both: what it says about the
one is what the other's calibration may rest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from zeekml.datasets.equal_rows import duplicate_weights
from zeekml.detection.policy import Policy
from zeekml.evaluation.baselines import Baselines, fit_baselines
from zeekml.evaluation.settings import Settings, Steps
from zeekml.training.ensemble_selection import Validation, select
from zeekml.training.leave_one_out import Fold, evaluable, train_if_possible, without
from zeekml.training.platt_fit import PlattFit, fit_scores
from zeekml.training.ranking import Ranking
from zeekml.training.thresholds import Thresholds, choose_thresholds
from zeekml.training.trained_ensemble import TrainedEnsemble
from zeekml.training.training_rows import DUPLICATE_EXPONENT, Prepared, pool_of


@dataclass(frozen=True)
class Fits:
    """What was fitted without one environment."""

    ensemble: TrainedEnsemble  # with the scaler that the baselines share
    baselines: Baselines
    # none where no further environment could be held out, or the ensembles learned nothing
    calibration: PlattFit | None
    thresholds: Thresholds | None
    best_member: int | None  # number of the member that ranks the other environments best
    # (members,) or None: how often each member was chosen by greedy selection on the
    # other environments
    places: npt.NDArray[np.int64] | None


@dataclass
class Pairs:
    """Ensembles trained without two environments, or a group, each trained once for one seed."""

    prepared: Sequence[Prepared]
    seed: int
    settings: Settings
    steps: Steps = field(default_factory=lambda: Steps(0))
    _trained: dict[frozenset[int], TrainedEnsemble | None] = field(default_factory=dict)

    def without(self, *hidden: int) -> TrainedEnsemble | None:
        """The ensemble trained without these, None if the rest holds nothing to learn."""
        key = frozenset(hidden)
        if key not in self._trained:
            rest = without(self.prepared, *key)
            names = " and ".join(self.prepared[number].name for number in sorted(key))
            what = f"seed {self.seed}: {f'without {names}' if names else 'on all environments'}"
            self.steps.now(what)
            self._trained[key] = train_if_possible(rest, self.settings.training(self.seed))
            self.steps.done(what, self.settings.plan.steps)
        return self._trained[key]

    def fold(self, scored: int, *hidden: int) -> Fold | None:
        """One environment as scored by the ensemble trained without it and the hidden ones."""
        ensemble, item = self.without(scored, *hidden), self.prepared[scored]
        return None if ensemble is None else Fold.of(item, ensemble)


def fit_without(
    prepared: Sequence[Prepared], held_out: int, pairs: Pairs, policy: Policy
) -> Fits | None:
    """Fit everything for one environment on all others."""
    others = without(prepared, held_out)
    seed, settings, steps = pairs.seed, pairs.settings, pairs.steps
    what = f"seed {seed}: without {prepared[held_out].name}"
    steps.now(what)
    ensemble = train_if_possible(others, settings.training(seed))
    if ensemble is None:
        return None
    steps.done(what, settings.plan.steps)
    baselines = fit_baselines(
        pool_of(others, seed),
        ensemble.scaler,
        rows=settings.baseline_rows,
        seed=seed,
        done=lambda name: steps.done(f"{what}: {name}"),
    )
    further = [number for number in evaluable(prepared) if number != held_out]
    folds = [fold for number in further if (fold := pairs.fold(number, held_out)) is not None]
    calibration, thresholds = calibrated(folds, policy)
    places = selected(folds, seed)
    return Fits(ensemble, baselines, calibration, thresholds, best_member(folds), places)


def calibrated(folds: Sequence[Fold], policy: Policy) -> tuple[PlattFit | None, Thresholds | None]:
    """Fit calibration and thresholds, or return None for what cannot be fitted."""
    if not folds:
        return None, None
    try:
        calibration = fit_scores(folds)
    except ValueError:
        # higher scores do not go with more malicious rows: there is nothing to calibrate
        return None, None
    if any(fold.prediction.threat_shares is None for fold in folds):
        return calibration, None
    return calibration, choose_thresholds(folds, calibration, policy)


def selected(folds: Sequence[Fold], seed: int) -> npt.NDArray[np.int64] | None:
    """Choose as many members as there are, with replacement, on folds; None without folds."""
    if not folds:
        return None
    validations = []
    for fold in folds:
        used = fold.labels >= 0
        labels = fold.labels[used]
        weights = duplicate_weights(fold.prepared.matrix[used], labels) ** DUPLICATE_EXPONENT
        validations.append(Validation(fold.prediction.member_log_odds[used], labels, weights))
    members = validations[0].log_odds.shape[1]
    return select(validations, members, np.random.default_rng([seed, members]))


def best_member(folds: Sequence[Fold]) -> int | None:
    """The number of the member with the highest mean average precision over folds."""
    if not folds:
        return None
    worth = []
    for fold in folds:
        used = fold.labels >= 0
        malicious, ones = fold.labels[used] > 0, np.ones(int(used.sum()))
        columns = fold.prediction.member_log_odds[used].T
        worth.append([Ranking(column, malicious).figures(ones)[0] for column in columns])
    return int(np.mean(worth, axis=0).argmax())
