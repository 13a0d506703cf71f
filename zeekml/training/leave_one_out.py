"""Leave-one-environment-out: what the recipe is worth on a network it has never seen.

For each environment that can be evaluated, an ensemble is trained on all others (their synthetic
copies included, its own not) and scores it. A random split of one recording would measure how well
its episodes were memorised, and gives figures near one that mean nothing.

Recall at a false-positive rate uses the threshold that gives that rate on the held-out
environment's own benign rows: it measures ranking. What a threshold chosen beforehand does is
measured in `thresholds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Self

import numpy as np

from zeekml.core.markdown import table
from zeekml.datasets.environment import LABEL_NAMES, MIN_BENIGN_ROWS, Labels, Matrix
from zeekml.features.feature_schema import EVENT_START
from zeekml.training.ranking import MEASURES, RATES, SHOWN, EvaluatedRows, Floats, mean_of_known
from zeekml.training.trained_ensemble import Prediction, TrainedEnsemble
from zeekml.training.trainer import TrainingSettings, train
from zeekml.training.training_rows import Prepared

NOT_RESOLVED: Final = "n/r"

_KEYS: Final = MEASURES[: 1 + len(SHOWN)]
_VIEWS: Final = ("raw", "distinct")


@dataclass(frozen=True)
class Fold:
    """One environment, scored by an ensemble that has not seen it."""

    prepared: Prepared  # the held-out environment
    prediction: Prediction  # for all its rows, labelled or not
    # the same had its sensor logged no events; None where it logged none
    silent: Prediction | None = None

    @classmethod
    def of(cls, prepared: Prepared, ensemble: TrainedEnsemble) -> Self:
        """An environment as an ensemble scores it."""
        matrix = prepared.matrix
        silent = ensemble.predict(without_events(matrix)) if has_events(matrix) else None
        return cls(prepared, ensemble.predict(matrix), silent)

    def without_events(self) -> Fold | None:
        """What it would be had its sensor logged no events; None where it logged none."""
        if self.silent is None:
            return None
        prepared = replace(self.prepared, matrix=without_events(self.prepared.matrix))
        return Fold(prepared, self.silent)

    @property
    def labels(self) -> Labels:
        """Labels that figures may rest on; ``UNLABELLED`` for all other rows."""
        return self.prepared.environment.evaluation_labels()


def has_events(matrix: Matrix) -> bool:
    """Whether anything is known of what any flow (rows, all features) was about."""
    return not bool(np.isnan(matrix[:, EVENT_START:]).all())


def without_events(matrix: Matrix) -> Matrix:
    """Flows (rows, all features) as of a sensor that logs no events."""
    silent = matrix.copy()
    silent[:, EVENT_START:] = np.nan
    return silent


def evaluable(prepared: Sequence[Prepared]) -> list[int]:
    """Numbers of the environments that figures can be computed on."""
    return [n for n, item in enumerate(prepared) if item.environment.why_not_evaluable() is None]


def benign_alone(prepared: Sequence[Prepared]) -> list[int]:
    """Numbers of the environments that tell what benign traffic scores, and nothing else."""
    found = []
    for number, item in enumerate(prepared):
        labels = item.environment.evaluation_labels()
        if (labels == 0).sum() >= MIN_BENIGN_ROWS and not (labels > 0).any():
            found.append(number)
    return found


def attacks_alone(prepared: Sequence[Prepared]) -> list[int]:
    """Numbers of the environments with attacks on which no figure can rest."""
    others = set(can_be_held_out(prepared))
    found = []
    for number, item in enumerate(prepared):
        attacks = (item.environment.evaluation_labels() > 0).any()
        if number not in others and attacks and can_train(without(prepared, number)):
            found.append(number)
    return found


def can_train(prepared: Sequence[Prepared]) -> bool:
    """Whether there are benign and malicious rows to learn from."""
    labels = [item.environment.labels for item in prepared]
    return any((y == 0).any() for y in labels) and any((y > 0).any() for y in labels)


def can_be_held_out(prepared: Sequence[Prepared]) -> list[int]:
    """Numbers of the environments whose figures rest on fits to all others."""
    return [number for number in evaluable(prepared) if can_train(without(prepared, number))]


def without(prepared: Sequence[Prepared], *hidden: int) -> list[Prepared]:
    """All environments but those of these numbers."""
    return [item for number, item in enumerate(prepared) if number not in hidden]


def train_if_possible(
    prepared: Sequence[Prepared],
    settings: TrainingSettings,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedEnsemble | None:
    """Train the recipe as `train` does; None if these environments hold nothing to learn."""
    return train(prepared, settings, progress) if can_train(prepared) else None


def leave_one_out(
    prepared: Sequence[Prepared],
    settings: TrainingSettings,
    progress: Callable[[str, int, int], None] | None = None,
    *,
    numbers: Sequence[int] | None = None,
) -> list[Fold]:
    """Score environments, every evaluable one by default, by an ensemble trained on all others.

    `progress` is called with (environment held out, its members done, members in all).
    """
    folds = []
    for number in evaluable(prepared) if numbers is None else numbers:
        held_out = prepared[number]
        tell = partial(progress, held_out.name) if progress is not None else None
        ensemble = train_if_possible(without(prepared, number), settings, tell)
        if ensemble is not None:
            folds.append(Fold.of(held_out, ensemble))
    return folds


def why_none_held_out(prepared: Sequence[Prepared]) -> str:
    """For each environment, why no figure can rest on it, where none can."""
    usual = "the others lack benign or malicious rows"
    return "; ".join(f"{p.name}: {p.environment.why_not_evaluable() or usual}" for p in prepared)


@dataclass(frozen=True)
class EnvironmentFigures:
    """Figures of one held-out environment."""

    name: str
    benign: int
    malicious: int
    views: Mapping[str, Floats]  # raw and distinct: measures, NaN where not resolvable
    by_class: Mapping[str, float]  # raw recall at the first of the rates, by class
    resolvable: Mapping[float, bool]  # rates that the benign rows resolve


def measure(fold: Fold) -> EnvironmentFigures:
    """The figures of one fold."""
    rows = EvaluatedRows.of(fold.prepared)
    scores, labels = fold.prediction.log_odds, rows.labels
    above = rows.ranking(scores).above(rows.weights["raw"], RATES[0])
    return EnvironmentFigures(
        name=fold.prepared.name,
        benign=int((~rows.malicious).sum()),
        malicious=int(rows.malicious.sum()),
        views={view: rows.figures(scores, view)[: len(_KEYS)] for view in _VIEWS},
        by_class={
            LABEL_NAMES[label]: float(above[labels == label].mean())
            for label in np.unique(labels[rows.malicious])
        },
        resolvable=dict(zip(SHOWN, rows.resolvable("raw")[1:].tolist(), strict=False)),
    )


def _named(figures: Floats) -> dict[str, float | None]:
    """Figures under readable keys, None where not resolved."""
    values = [None if np.isnan(value) else value for value in figures.tolist()]
    return dict(zip(_KEYS, values, strict=True))


def _mean(figures: Sequence[EnvironmentFigures], view: str) -> Floats:
    """The mean of each figure over the environments that resolve it, NaN where none does."""
    return mean_of_known(np.stack([item.views[view] for item in figures]))


def as_dict(figures: Sequence[EnvironmentFigures]) -> dict[str, Any]:
    """The whole table as plain JSON values."""
    mean: dict[str, Any] | None = None
    if figures:
        mean = {
            "environments": len(figures),
            **{view: _named(_mean(figures, view)) for view in _VIEWS},
            "resolvable": {
                key: sum(item.resolvable[rate] for item in figures)
                for rate, key in zip(SHOWN, _KEYS[1:], strict=True)
            },
        }
    return {
        "method": "leave one environment out; recall at the held-out environment's own "
        "false-positive rate",
        "mean": mean,
        "environments": {
            item.name: {
                "benign": item.benign,
                "malicious": item.malicious,
                **{view: _named(item.views[view]) for view in _VIEWS},
                f"{_KEYS[1]}_by_class": dict(item.by_class),
                "resolvable": dict(zip(_KEYS[1:], item.resolvable.values(), strict=True)),
            }
            for item in figures
        },
    }


def as_markdown(figures: Sequence[EnvironmentFigures]) -> str:
    """The table as Markdown; ``n/r`` stands where too few benign rows resolve a rate."""
    heads = ["environment", "benign", "malicious", "AP"]
    heads += [f"recall at {rate:g}" for rate in SHOWN]
    heads += ["AP, distinct", *(f"recall at {rate:g}, distinct" for rate in SHOWN), "by class"]
    rows = []
    for item in figures:
        shown = item.by_class if item.resolvable[RATES[0]] else {}
        cells = [_told(value) for view in _VIEWS for value in item.views[view].tolist()]
        by_class = ", ".join(f"{name} {value:.2f}" for name, value in shown.items())
        rows.append([item.name, f"{item.benign:,}", f"{item.malicious:,}", *cells, by_class])
    if figures:
        means = [value for view in _VIEWS for value in _mean(figures, view).tolist()]
        rows.append(["**mean**", "", "", *(_told(value, "**") for value in means), ""])
    return table(heads, rows)


def _told(value: float, strong: str = "") -> str:
    return NOT_RESOLVED if np.isnan(value) else f"{strong}{value:.2f}{strong}"
