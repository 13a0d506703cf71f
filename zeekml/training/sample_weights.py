"""What each row of an environment counts: repeats little, classes and benign rows in balance."""

from __future__ import annotations

from typing import Final

import numpy as np

from zeekml.datasets.environment import Labels, Matrix
from zeekml.datasets.equal_rows import Weights, duplicate_weights

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
