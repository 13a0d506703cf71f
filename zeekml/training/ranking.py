"""Figures of a ranking, quick enough to be computed thousands of times with other weights."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

RATES: Final = (1e-2, 1e-3, 1e-4)
MEASURES: Final = ("average_precision", *(f"recall_at_fpr_{rate:g}" for rate in RATES))
"""Keys of what `Ranking.figures` returns, in its order."""


class Ranking:
    """Rows in the order of their scores."""

    def __init__(self, scores: npt.NDArray[np.floating], malicious: Flags) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        # rows of equal score are above a threshold together or not at all
        self._ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        self._malicious = malicious[self._order]

    def figures(self, weights: Floats) -> Floats:
        """Average precision and the recall at each of `RATES`.

        Average precision is Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores, as scikit-learn has it:
        the area under the precision-recall curve without optimistic interpolation. Recall at a
        rate is the highest with a false-positive rate of at most that.

        Parameters
        ----------
        weights : float array (rows,)
            Not negative, with some on both sides; else NaN is returned.

        Returns
        -------
        float64 array (4,)
            Named by `MEASURES`.
        """
        ranked = weights[self._order]
        caught = np.cumsum(np.where(self._malicious, ranked, 0.0))[self._ends]
        false = np.cumsum(np.where(self._malicious, 0.0, ranked))[self._ends]
        if not (caught[-1] > 0 and false[-1] > 0):
            return np.full(len(MEASURES), np.nan)
        recall = caught / caught[-1]
        precision = np.divide(caught, caught + false, out=np.zeros_like(caught), where=caught > 0)
        out = [float(np.diff(recall, prepend=0.0) @ precision)]
        for rate in RATES:
            allowed = int(np.searchsorted(false / false[-1], rate * (1 + 1e-9), side="right"))
            out.append(float(recall[allowed - 1]) if allowed else 0.0)
        return np.array(out)
