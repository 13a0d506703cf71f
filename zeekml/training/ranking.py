"""Figures of a ranking: average precision, recall at false-positive rates, and their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Labels
from zeekml.datasets.equal_rows import duplicate_weights
from zeekml.training.tasks import numbered
from zeekml.training.training_rows import Prepared

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.intp]

RATES: Final = (1e-2, 1e-3, 1e-4)
SHOWN: Final = RATES[:2]
"""Those that most environments resolve."""
MEASURES: Final = ("average_precision", *(f"recall_at_fpr_{rate:g}" for rate in RATES))
"""Keys of what `Ranking.figures` returns, in its order."""
TITLES: Final = ("PR-AUC", *(f"recall at {rate:g}" for rate in RATES))

ROWS_PER_RATE: Final = 10
"""A rate needs this many benign rows over it to be more than a matter of single flows."""


class Ranking:
    """Rows in the order of their scores; figures are quick enough to compute with many weights.

    Higher scores (rows,) are more suspicious.
    """

    def __init__(self, scores: npt.NDArray[np.floating], malicious: Flags) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        # rows of equal score are above a threshold together or not at all
        self._ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        self._malicious = malicious[self._order]

    def figures(self, weights: Floats) -> Floats:
        """Average precision and the recall at each of `RATES`, named by `MEASURES`.

        Average precision is Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores, as scikit-learn has it:
        the area under the precision-recall curve without optimistic interpolation. Recall at a
        rate is the highest with a false-positive rate of at most that. All is NaN unless both
        sides have some of the weight (rows,).
        """
        caught, false = self._sums(weights)
        if not (caught[-1] > 0 and false[-1] > 0):
            return np.full(len(MEASURES), np.nan)
        recall = caught / caught[-1]
        precision = np.divide(caught, caught + false, out=np.zeros_like(caught), where=caught > 0)
        out = [float(np.diff(recall, prepend=0.0) @ precision)]
        for rate in RATES:
            allowed = _allowed(false, rate)
            out.append(float(recall[allowed - 1]) if allowed else 0.0)
        return np.array(out)

    def above(self, weights: Floats, rate: float) -> Flags:
        """The rows above the threshold that lets at most `rate` of the benign weight through."""
        allowed = _allowed(self._sums(weights)[1], rate)
        found = np.zeros(len(self._order), np.bool_)
        if allowed:
            found[self._order[: self._ends[allowed - 1] + 1]] = True
        return found

    def _sums(self, weights: Floats) -> tuple[Floats, Floats]:
        """Malicious and benign weight down to each distinct score."""
        ranked = weights[self._order]
        caught = np.cumsum(np.where(self._malicious, ranked, 0.0))[self._ends]
        return caught, np.cumsum(np.where(self._malicious, 0.0, ranked))[self._ends]


def _allowed(false: Floats, rate: float) -> int:
    """How many of the distinct scores may be above a threshold."""
    return int(np.searchsorted(false / false[-1], rate * (1 + 1e-9), side="right"))


def mean_of_known(table: Floats) -> Floats:
    """The mean of each column's numbers (columns,), NaN where it has none."""
    known = np.isfinite(table)
    total = np.where(known, table, 0.0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(len(total), np.nan), where=known.any(0))


@dataclass(frozen=True)
class EvaluatedRows:
    """The rows of an environment that figures rest on."""

    rows: Flags  # of all rows
    labels: Labels  # of these rows, as all that follows
    malicious: Flags
    # raw counts each row once, distinct rows that repeat each other once together
    weights: Mapping[str, Floats]
    hosts: Numbers  # number of the row's host: an originator in one recording

    @classmethod
    def of(cls, prepared: Prepared) -> EvaluatedRows:
        environment = prepared.environment
        everything = environment.evaluation_labels()
        rows = everything >= 0
        labels = everything[rows]
        originators = environment.flows["id.orig_h"].to_pylist()
        keys = [
            (environment.captures[row], originators[row]) for row in np.flatnonzero(rows).tolist()
        ]
        weights = {
            "raw": np.ones(len(labels)),
            "distinct": duplicate_weights(prepared.matrix[rows], labels),
        }
        return cls(rows, labels, labels > 0, weights, numbered(keys))

    def resolvable(self, view: str) -> Flags:
        """Whether the benign rows resolve each of `MEASURES`, see `ROWS_PER_RATE`."""
        benign = self.weights[view][~self.malicious].sum()
        return np.array([True, *(benign >= ROWS_PER_RATE / rate - 1e-6 for rate in RATES)])

    def figures(self, scores: Floats, view: str) -> Floats:
        """`MEASURES` of scores of all rows, NaN where not resolvable."""
        found = self.ranking(scores).figures(self.weights[view])
        return np.where(self.resolvable(view), found, np.nan)

    def ranking(self, scores: Floats) -> Ranking:
        """These rows ranked by scores of all rows."""
        return Ranking(scores[self.rows], self.malicious)
