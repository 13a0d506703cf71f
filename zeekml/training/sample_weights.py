"""What each row of an environment counts: repeats little, classes and benign rows in balance."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.features.feature_schema import FEATURES
from zeekml.training.mlp import Labels, Matrix

Weights = npt.NDArray[np.float64]

# describe one record alone; rows equal in these repeat each other, whatever surrounds them
FLOW_FAMILIES: Final = ("size", "proto", "service", "port", "direction")

# what an environment counts that has only benign or only malicious rows
ONE_SIDED_WEIGHT: Final = 0.35
BENIGN_SHARE: Final = 0.5
CLASS_EXPONENT: Final = 0.5
DUPLICATE_EXPONENT: Final = 0.5


def duplicate_weights(matrix: Matrix, labels: Labels) -> Weights:
    """Return one over the number of rows that equal each row.

    Rows are equal if their label is and their flow-level features (``FLOW_FAMILIES``), rounded to
    a tenth, are.

    Parameters
    ----------
    matrix : float32 array (rows, all features of the schema)
    labels : int8 array (rows,)
    """
    groups = equal_records(matrix, labels)
    return 1.0 / np.bincount(groups)[groups] if len(groups) else np.empty(0)


def equal_records(matrix: Matrix, *others: Labels) -> npt.NDArray[np.int64]:
    """Number the distinct records: rows have one number if they are equal.

    Rows are equal if their flow-level features (``FLOW_FAMILIES``), rounded to a tenth, are, and
    their values in `others` (each one per row).
    """
    if not len(matrix):
        return np.empty(0, np.int64)
    columns = [i for i, f in enumerate(FEATURES) if f.family in FLOW_FAMILIES]
    rounded = np.round(np.nan_to_num(matrix[:, columns], nan=-9.0), 1)
    keys = np.ascontiguousarray(np.column_stack([rounded, *others]).astype(np.float32))
    keys += np.float32(0)  # minus zero would be a different key
    packed = keys.view(np.dtype((np.void, keys.shape[1] * 4))).ravel()
    return np.unique(packed, return_inverse=True)[1]


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
