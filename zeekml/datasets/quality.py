"""What the features of an environment are worth, before anything is learnt from them."""

from __future__ import annotations

from typing import Final

import numpy as np

from zeekml.datasets.environment import DataReport, Environment, Labels, Matrix, describe
from zeekml.datasets.equal_rows import distinct_records, equal_records
from zeekml.features.extractor import feature_matrix
from zeekml.features.feature_schema import FEATURES

FAMILIES: Final = tuple(dict.fromkeys(f.family for f in FEATURES))


def family_shares(matrix: Matrix) -> dict[str, float]:
    """Return the share of values that are not missing, by feature family; 0 without rows.

    Parameters
    ----------
    matrix : float32 array (rows, all features of the schema)
    """
    known = 1.0 - np.isnan(matrix).mean(axis=0) if len(matrix) else np.zeros(len(FEATURES))
    return {
        family: float(
            np.mean([k for k, f in zip(known, FEATURES, strict=True) if f.family == family])
        )
        for family in FAMILIES
    }


def contradictory_rows(matrix: Matrix, labels: Labels) -> int:
    """Return how many labelled rows equal a row of the other side, benign or malicious.

    Rows are equal as `zeekml.datasets.equal_rows.equal_records` has it: the context that may
    yet tell them apart does not count.

    Parameters
    ----------
    matrix : float32 array (rows, all features of the schema)
    labels : int8 array (rows,)
    """
    labelled = labels >= 0
    if not labelled.any():
        return 0
    groups = equal_records(matrix[labelled])
    malicious = labels[labelled] > 0
    counts = np.bincount(groups)
    attacks = np.bincount(groups, weights=malicious)
    mixed = (attacks > 0) & (attacks < counts)
    return int(counts[mixed].sum())


def report_on(environment: Environment, matrix: Matrix | None = None) -> DataReport:
    """Describe an environment by its rows and its features.

    Parameters
    ----------
    environment : Environment
    matrix : float32 array (rows, all features of the schema), optional
        Its features, where they have been computed already.
    """
    if matrix is None:
        matrix = features_of(environment)
    return describe(
        environment,
        distinct=distinct_records(matrix, environment.labels),
        families=family_shares(matrix),
        contradictions=contradictory_rows(matrix, environment.labels),
    )


def features_of(environment: Environment) -> Matrix:
    """Compute the features of an environment, capture by capture.

    Returns
    -------
    float32 array (rows, all features of the schema)
    """
    parts = [
        feature_matrix(environment.flows.slice(rows.start, rows.stop - rows.start))
        for rows in environment.capture_slices()
    ]
    return np.concatenate([np.empty((0, len(FEATURES)), np.float32), *parts])
