"""One labelled network, and what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.datasets.references import Reference
from zeekml.ensemble.classes import CLASSES
from zeekml.errors import DataError

UNLABELLED: Final = -1
OTHER_ATTACK: Final = len(CLASSES)
OTHER_ATTACK_NAME: Final = "other-attack"
LABEL_NAMES: Final = (*CLASSES, OTHER_ATTACK_NAME)

# With fewer benign rows one percent of them is fewer than four flows, and a recall at that rate
# says nothing.
MIN_BENIGN_ROWS: Final = 400
MIN_MALICIOUS_ROWS: Final = 50

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int8]


class NotLabelledFlowsError(DataError):
    """A file or folder that holds no labelled flows."""


@dataclass(frozen=True)
class Environment:
    """One labelled network.

    Attributes
    ----------
    name : str
        What the environment is called in reports.
    flows : pyarrow.Table
        Columns of ``FLOW_SCHEMA``; rows ordered by capture, then by flow end (stable), which is
        the order in which a sensor logs them.
    labels : int8 array, one per row
        Index into ``CLASSES``, ``OTHER_ATTACK`` or ``UNLABELLED``.
    captures : int32 array, one per row
        Index into `capture_names`; never decreases.
    circular : bool array, one per row
        The label was made by a rule on the flow's own fields: good for training, never for a
        figure.
    sha256 : str
        Digest of the file it was read from; of the digests of all files if there are several.
    duplicates : int
        Records that repeated others and were left out.
    label_conflicts : int
        Rows left unlabelled since their labels contradict each other.
    sensors : tuple of str
        Who wrote the records; empty for a table that does not say.
    episodes : object array, one per row, or None
        Name of the attack episode that a row belongs to, None for rows of none; None altogether
        where the data do not tell episodes apart.
    """

    name: str
    flows: pa.Table
    labels: Labels
    captures: npt.NDArray[np.int32]
    capture_names: tuple[str, ...]
    circular: npt.NDArray[np.bool_]
    reference: Reference
    sha256: str = ""
    notes: tuple[str, ...] = ()
    duplicates: int = 0
    label_conflicts: int = 0
    sensors: tuple[str, ...] = ()
    episodes: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Environment:
        """Return the environment with some of its rows alone (bool, one per row)."""
        return replace(
            self,
            flows=self.flows.filter(pa.array(chosen)),
            labels=self.labels[chosen],
            captures=self.captures[chosen],
            circular=self.circular[chosen],
            episodes=None if self.episodes is None else self.episodes[chosen],
        )

    def ends(self) -> npt.NDArray[np.float64]:
        """Return when each flow ended, in epoch seconds; one without a duration when it began."""
        duration = np.asarray(self.flows["duration"].to_numpy(), dtype=np.float64)
        ends: npt.NDArray[np.float64] = self.flows["ts"].to_numpy() + np.nan_to_num(duration)
        return ends

    def capture_slices(self) -> Iterator[slice]:
        """Yield the rows of each capture, in order."""
        edges = np.flatnonzero(np.diff(self.captures)) + 1
        starts = [0, *edges.tolist()]
        for start, stop in zip(starts, [*edges.tolist(), len(self)], strict=True):
            if stop > start:
                yield slice(start, stop)

    def evaluation_labels(self) -> Labels:
        """Return the labels with circular ones taken out: what figures may rest on."""
        labels = self.labels.copy()
        labels[self.circular] = UNLABELLED
        return labels

    def why_not_evaluable(self) -> str | None:
        """Return the reason why no figure is computed on this environment, None if one is."""
        labels = self.evaluation_labels()
        if self.circular.any() and not (labels > 0).any():
            return "its labels are circular (made by rules on the flows themselves)"
        benign, malicious = int((labels == 0).sum()), int((labels > 0).sum())
        if benign < MIN_BENIGN_ROWS:
            return f"only {benign:,} benign rows (at least {MIN_BENIGN_ROWS} are needed)"
        if malicious < MIN_MALICIOUS_ROWS:
            return f"only {malicious:,} malicious rows (at least {MIN_MALICIOUS_ROWS} are needed)"
        return None


@dataclass(frozen=True)
class DataReport:
    """What one environment holds.

    Attributes
    ----------
    distinct : int
        Records that differ by themselves.
    classes : dict of str to int
        Rows by label, the most frequent first; ``unlabelled`` among them.
    span_seconds : float
        Log time that the captures cover together.
    title, licence, caution : str
        Origin, terms, and what a reader of figures has to know.
    sensors : tuple of str
        Who wrote the records; empty where the data do not say.
    families : dict of str to float
        Share of values of each feature family that the records tell (0 to 1).
    contradictions : int
        Labelled rows that equal a row of the other side (benign, malicious) in all that a record
        tells by itself.
    duplicates : int
        Records that repeated others and were left out.
    label_conflicts : int
        Rows left unlabelled since their labels contradict each other.
    why_not : str or None
        Why no figure is computed on it; None if `evaluated`.
    """

    name: str
    rows: int
    distinct: int
    classes: dict[str, int]
    captures: int
    span_seconds: float
    notes: tuple[str, ...]
    evaluated: bool
    why_not: str | None
    title: str = ""
    licence: str = ""
    caution: str = ""
    sensors: tuple[str, ...] = ()
    families: dict[str, float] = field(default_factory=dict)
    contradictions: int = 0
    duplicates: int = 0
    label_conflicts: int = 0
    sha256: str = ""


def describe(
    environment: Environment,
    *,
    distinct: int,
    families: Mapping[str, float] | None = None,
    contradictions: int = 0,
) -> DataReport:
    """Summarise an environment for the data report.

    Parameters
    ----------
    environment : Environment
    distinct : int
        Number of records that differ by themselves, see ``weighting.distinct_records``.
    families, contradictions : optional
        From its feature matrix, see `zeekml.datasets.quality`.

    Notes
    -----
    `span_seconds` adds up the captures, so that a pause of years between two of them does not
    count.
    """
    counts = Counter(
        LABEL_NAMES[label] if label != UNLABELLED else "unlabelled"
        for label in environment.labels.tolist()
    )
    ts = environment.flows["ts"].to_numpy()
    span = sum(float(np.ptp(ts[rows])) for rows in environment.capture_slices())
    why_not = environment.why_not_evaluable()
    return DataReport(
        name=environment.name,
        rows=len(environment),
        distinct=distinct,
        classes=dict(counts.most_common()),
        captures=len(environment.capture_names),
        span_seconds=span,
        notes=environment.notes,
        evaluated=why_not is None,
        why_not=why_not,
        title=environment.reference.title,
        licence=environment.reference.licence,
        caution=environment.reference.caution,
        sensors=environment.sensors,
        families=dict(families or {}),
        contradictions=contradictions,
        duplicates=environment.duplicates,
        label_conflicts=environment.label_conflicts,
        sha256=environment.sha256,
    )
