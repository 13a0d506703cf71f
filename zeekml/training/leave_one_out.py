"""Leave-one-environment-out: what the recipe is worth on a network it has never seen.

For each environment that can be evaluated, an ensemble is trained on all others (their synthetic
copies included, its own not) and scores it. A random split of one recording would measure how well
its episodes were memorised, and gives figures near one that mean nothing.

Recall at a false-positive rate uses the threshold that gives that rate on the held-out
environment's own benign rows: it measures ranking. What a threshold chosen beforehand does is
measured in ``thresholds``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.core.markdown import table
from zeekml.datasets.environment import LABEL_NAMES, Labels
from zeekml.datasets.equal_rows import Weights, duplicate_weights
from zeekml.training.mlp import Recipe
from zeekml.training.trained_ensemble import Prediction
from zeekml.training.trainer import MemberPlan, train
from zeekml.training.training_checkpoints import TrainingCheckpoints
from zeekml.training.training_rows import Prepared

Scores = npt.NDArray[np.float64]

RATES: Final = (1e-2, 1e-3)
# a rate needs this many benign rows over it to be more than a matter of single flows
ROWS_PER_RATE: Final = 10


@dataclass(frozen=True)
class Fold:
    """One environment, scored by an ensemble that has not seen it."""

    prepared: Prepared  # the held-out environment
    prediction: Prediction  # for all its rows, labelled or not

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.prepared.name

    @property
    def labels(self) -> Labels:
        """Labels that figures may rest on; ``UNLABELLED`` for all other rows."""
        return self.prepared.environment.evaluation_labels()


@dataclass(frozen=True)
class Figures:
    """How well malicious rows rank above benign ones."""

    average_precision: float
    # share of malicious rows above the threshold that gives the false-positive rate (the key)
    recall: Mapping[float, float]


@dataclass(frozen=True)
class EnvironmentFigures:
    """Figures of one held-out environment."""

    name: str
    benign: int
    malicious: int
    raw: Figures  # each row counted once; rows that repeat each other counted once together
    distinct: Figures
    by_class: Mapping[str, float]  # raw recall at the first of RATES, by class
    resolvable: Mapping[float, bool]  # whether there are ROWS_PER_RATE / rate benign rows


def leave_one_out(
    prepared: Sequence[Prepared],
    *,
    seed: int,
    plan: MemberPlan | None = None,
    recipe: Recipe | None = None,
    unfinished: TrainingCheckpoints | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Fold]:
    """Score every evaluable environment by an ensemble trained on all others."""
    folds = []
    for held_out in prepared:
        if held_out.environment.why_not_evaluable() is not None:
            continue
        others = [item for item in prepared if item is not held_out]
        if not can_teach(others):
            continue

        def report(done: int, total: int, name: str = held_out.name) -> None:
            if progress is not None:
                progress(name, done, total)

        ensemble = train(
            others, seed=seed, plan=plan, recipe=recipe, unfinished=unfinished, progress=report
        )
        folds.append(Fold(held_out, ensemble.predict(held_out.matrix)))
    return folds


def can_teach(prepared: Sequence[Prepared]) -> bool:
    """Whether there are benign and malicious rows to learn from."""
    labels = [item.environment.labels for item in prepared]
    return any((y == 0).any() for y in labels) and any((y > 0).any() for y in labels)


def why_none_held_out(prepared: Sequence[Prepared]) -> str:
    """For each environment why no figure can rest on it, where none can."""
    reasons = []
    for item in prepared:
        reason = item.environment.why_not_evaluable() or "the others lack benign or malicious rows"
        reasons.append(f"{item.name}: {reason}")
    return "; ".join(reasons)


def measure(fold: Fold) -> EnvironmentFigures:
    """Compute the figures of one fold."""
    labels = fold.labels
    used = labels >= 0
    labels, scores = labels[used], fold.prediction.log_odds[used]
    weights = duplicate_weights(fold.prepared.matrix[used], labels)
    benign = int((labels == 0).sum())
    threshold = threshold_at(scores, labels, RATES[0])
    return EnvironmentFigures(
        name=fold.prepared.name,
        benign=benign,
        malicious=int((labels > 0).sum()),
        raw=_figures(scores, labels, np.ones(len(labels))),
        distinct=_figures(scores, labels, weights),
        by_class={
            LABEL_NAMES[label]: float((scores[labels == label] > threshold).mean())
            for label in np.unique(labels[labels > 0])
        },
        resolvable={rate: benign >= ROWS_PER_RATE / rate - 1e-6 for rate in RATES},
    )


def _figures(scores: Scores, labels: Labels, weights: Weights) -> Figures:
    from sklearn.metrics import average_precision_score

    return Figures(
        average_precision=float(average_precision_score(labels > 0, scores, sample_weight=weights)),
        recall={rate: recall_at(scores, labels, rate, weights) for rate in RATES},
    )


def threshold_at(
    scores: Scores, labels: Labels, rate: float, weights: Weights | None = None
) -> float:
    """The lowest threshold above which at most `rate` of the benign weight lies."""
    benign = labels == 0
    weights = np.ones(len(scores)) if weights is None else weights
    order = np.argsort(-scores[benign], kind="stable")
    ranked = scores[benign][order]
    share = np.cumsum(weights[benign][order]) / weights[benign].sum()
    # the first benign row that must not be above the threshold
    index = int(np.searchsorted(share, rate * (1 + 1e-9), side="right"))
    return float(ranked[min(index, len(ranked) - 1)])


def recall_at(scores: Scores, labels: Labels, rate: float, weights: Weights | None = None) -> float:
    """The share of malicious weight above ``threshold_at``."""
    threshold = threshold_at(scores, labels, rate, weights)
    weights = np.ones(len(scores)) if weights is None else weights
    malicious = labels > 0
    caught = weights[malicious & (scores > threshold)].sum()
    return float(caught / weights[malicious].sum())


def mean_figures(figures: Sequence[EnvironmentFigures]) -> dict[str, Any]:
    """Means over environments, as plain numbers with readable keys.

    The mean of a recall is over the environments that resolve its rate, and None where none does.
    """
    out: dict[str, Any] = {"environments": len(figures)}
    for view in ("raw", "distinct"):
        chosen = [getattr(item, view) for item in figures]
        out[view] = {
            "average_precision": float(np.mean([item.average_precision for item in chosen])),
            **{
                _recall_key(rate): _mean(
                    [
                        item.recall[rate]
                        for item, all_of in zip(chosen, figures, strict=True)
                        if all_of.resolvable[rate]
                    ]
                )
                for rate in RATES
            },
        }
    out["resolvable"] = {
        _recall_key(rate): sum(item.resolvable[rate] for item in figures) for rate in RATES
    }
    return out


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def as_dict(figures: Sequence[EnvironmentFigures]) -> dict[str, Any]:
    """The whole table as plain JSON values."""
    return {
        "method": "leave one environment out; recall at the held-out environment's own "
        "false-positive rate",
        "mean": mean_figures(figures) if figures else None,
        "environments": {item.name: _environment_dict(item) for item in figures},
    }


def _environment_dict(item: EnvironmentFigures) -> dict[str, Any]:
    out: dict[str, Any] = {"benign": item.benign, "malicious": item.malicious}
    for view, figures in (("raw", item.raw), ("distinct", item.distinct)):
        out[view] = {
            "average_precision": figures.average_precision,
            **{
                _recall_key(rate): figures.recall[rate] if item.resolvable[rate] else None
                for rate in RATES
            },
        }
    out[f"{_recall_key(RATES[0])}_by_class"] = dict(item.by_class)
    out["resolvable"] = {_recall_key(rate): item.resolvable[rate] for rate in RATES}
    return out


NOT_RESOLVED: Final = "n/r"


def _recall_key(rate: float) -> str:
    return f"recall_at_fpr_{rate:g}"


def as_markdown(figures: Sequence[EnvironmentFigures]) -> str:
    """The table as Markdown; ``n/r`` stands where too few benign rows resolve a rate."""
    heads = ["environment", "benign", "malicious", "AP"]
    heads += [f"recall at {rate:g}" for rate in RATES]
    heads += ["AP, distinct", *(f"recall at {rate:g}, distinct" for rate in RATES), "by class"]
    rows = []
    for item in figures:
        cells = [item.name, f"{item.benign:,}", f"{item.malicious:,}"]
        for view in (item.raw, item.distinct):
            cells.append(f"{view.average_precision:.2f}")
            cells += [
                f"{view.recall[rate]:.2f}" if item.resolvable[rate] else NOT_RESOLVED
                for rate in RATES
            ]
        by_class = item.by_class if item.resolvable[RATES[0]] else {}
        cells.append(", ".join(f"{name} {value:.2f}" for name, value in by_class.items()))
        rows.append(cells)
    if figures:
        mean = mean_figures(figures)
        cells = ["**mean**", "", ""]
        for view_name in ("raw", "distinct"):
            cells += [
                NOT_RESOLVED if value is None else f"**{value:.2f}**"
                for value in mean[view_name].values()
            ]
        rows.append([*cells, ""])
    return table(heads, rows)
