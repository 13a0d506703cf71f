"""Rows that say the same of a flow, whatever surrounds it."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Labels, Matrix
from zeekml.features.feature_schema import FEATURES

Weights = npt.NDArray[np.float64]

# describe one record alone; rows equal in these repeat each other, whatever surrounds them
FLOW_FAMILIES: Final = ("size", "proto", "service", "port", "direction")


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
