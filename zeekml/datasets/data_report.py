"""The data report: what an environment holds, and what its features are worth, before training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from zeekml.datasets.environment import LABEL_NAMES, UNLABELLED, Environment, Labels, Matrix
from zeekml.datasets.equal_rows import equal_records
from zeekml.features.extractor import feature_matrix
from zeekml.features.feature_schema import FEATURES

FAMILIES: Final = tuple(dict.fromkeys(f.family for f in FEATURES))


@dataclass(frozen=True)
class DataReport:
    """What one environment holds."""

    name: str
    rows: int
    distinct: int  # records that differ by label or by themselves, see `equal_rows`
    classes: dict[str, int]  # rows by label, the most frequent first; "unlabelled" among them
    captures: int
    span_seconds: float  # of log time; a pause between two captures does not count
    notes: tuple[str, ...]
    evaluated: bool
    why_not: str | None
    title: str = ""  # origin
    licence: str = ""
    caution: str = ""  # what a reader of figures has to know
    sensors: tuple[str, ...] = ()
    families: dict[str, float] = field(default_factory=dict)  # see `family_shares`
    contradictions: int = 0  # see `contradictory_rows`
    duplicates: int = 0
    label_conflicts: int = 0
    sha256: str = ""


def report_on(environment: Environment, matrix: Matrix | None = None) -> DataReport:
    """Describe an environment by its rows and its features, computed here if they are not given."""
    matrix = features_of(environment) if matrix is None else matrix
    counts = Counter(
        LABEL_NAMES[label] if label != UNLABELLED else "unlabelled"
        for label in environment.labels.tolist()
    )
    ts = environment.flows["ts"].to_numpy()
    why_not = environment.why_not_evaluable()
    return DataReport(
        name=environment.name,
        rows=len(environment),
        distinct=len(np.unique(equal_records(matrix, environment.labels))),
        classes=dict(counts.most_common()),
        captures=len(environment.capture_names),
        span_seconds=sum(float(np.ptp(ts[rows])) for rows in environment.capture_slices()),
        notes=environment.notes,
        evaluated=why_not is None,
        why_not=why_not,
        title=environment.reference.title,
        licence=environment.reference.licence,
        caution=environment.reference.caution,
        sensors=environment.sensors,
        families=family_shares(matrix),
        contradictions=contradictory_rows(matrix, environment.labels),
        duplicates=environment.duplicates,
        label_conflicts=environment.label_conflicts,
        sha256=environment.sha256,
    )


def features_of(environment: Environment) -> Matrix:
    """The features of an environment (rows, all of the schema), computed capture by capture."""
    parts = [
        feature_matrix(environment.flows.slice(rows.start, rows.stop - rows.start))
        for rows in environment.capture_slices()
    ]
    return np.concatenate([np.empty((0, len(FEATURES)), np.float32), *parts])


def family_shares(matrix: Matrix) -> dict[str, float]:
    """Share of values that are not missing (0 to 1), by feature family; 0 without rows."""
    known = 1.0 - np.isnan(matrix).mean(axis=0) if len(matrix) else np.zeros(len(FEATURES))
    of = np.array([f.family for f in FEATURES])
    return {family: float(np.mean(known[of == family])) for family in FAMILIES}


def contradictory_rows(matrix: Matrix, labels: Labels) -> int:
    """How many labelled rows equal a row of the other side, benign or malicious.

    Rows are equal as `equal_rows.equal_records` has it: the context that may yet tell them apart
    does not count.
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
