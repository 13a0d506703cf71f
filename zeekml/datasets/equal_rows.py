"""Rows that look alike to a model: weights that keep a repeated record from counting many times.

Rows are equal if their flow-level features (``FLOW_FAMILIES``), rounded to a tenth, are, whatever
surrounds them. The flows themselves are different ones: see `duplicates` for those that are not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import IntArray, Labels, Matrix
from zeekml.features.feature_schema import FEATURES

Weights = npt.NDArray[np.float64]

FLOW_FAMILIES: Final = ("size", "proto", "service", "port", "direction")
"""Families of features that describe one record alone."""


def duplicate_weights(matrix: Matrix, labels: Labels) -> Weights:
    """One over the number of rows that equal each row and have its label."""
    groups = equal_records(matrix, labels)
    return 1.0 / np.bincount(groups)[groups] if len(groups) else np.empty(0)


def equal_records(matrix: Matrix, *others: Labels) -> IntArray:
    """Number the distinct records: rows (of all features) have one number if they are equal.

    With `others`, each one value per row, those have to be equal, too.
    """
    if not len(matrix):
        return np.empty(0, np.int64)
    columns = [i for i, f in enumerate(FEATURES) if f.family in FLOW_FAMILIES]
    rounded = np.round(np.nan_to_num(matrix[:, columns], nan=-9.0), 1)
    keys = np.ascontiguousarray(np.column_stack([rounded, *others]).astype(np.float32))
    keys += np.float32(0)  # minus zero would be a different key
    packed = keys.view(np.dtype((np.void, keys.shape[1] * 4))).ravel()
    return np.unique(packed, return_inverse=True)[1]
