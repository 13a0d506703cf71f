"""One labelled network: its flows, their labels, its captures, and where its data comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.datasets.references import Reference
from zeekml.ensemble.classes import CLASSES
from zeekml.errors import DataError

UNLABELLED: Final = -1
OTHER_ATTACK: Final = len(CLASSES)
LABEL_NAMES: Final = (*CLASSES, "other-attack")

# With fewer benign rows one percent of them is fewer than four flows, and a recall at that rate
# says nothing.
MIN_BENIGN_ROWS: Final = 400
MIN_MALICIOUS_ROWS: Final = 50

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int8]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Environment:
    """One labelled network.

    Rows are ordered by capture, then by flow end (stable), which is the order in which a sensor
    logs them. All arrays hold one value per row.
    """

    name: str
    flows: pa.Table  # columns of FLOW_SCHEMA
    labels: Labels  # index into LABEL_NAMES, or UNLABELLED
    captures: npt.NDArray[np.int32]  # index into `capture_names`; never decreases
    capture_names: tuple[str, ...]
    circular: BoolArray  # label made by a rule on the flow's own fields: to train on, never to test
    reference: Reference
    sha256: str = ""  # of the file it was read from; of the digests of all files if several
    notes: tuple[str, ...] = ()
    duplicates: int = 0  # records that repeated others and were left out
    label_conflicts: int = 0  # rows left unlabelled since their labels contradict each other
    sensors: tuple[str, ...] = ()  # who wrote the records; empty for a table that does not say
    episodes: npt.NDArray[Any] | None = None  # attack's name, or None; None where nothing tells
    details: npt.NDArray[Any] | None = None  # what the label was called at its source, or None
    families: npt.NDArray[Any] | None = None  # the malware or tool that attacked, or None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: IntArray) -> Environment:
        """The environment with these rows, in this order."""
        return replace(
            self,
            flows=self.flows.take(pa.array(rows)),
            labels=self.labels[rows],
            captures=self.captures[rows],
            circular=self.circular[rows],
            episodes=None if self.episodes is None else self.episodes[rows],
            details=None if self.details is None else self.details[rows],
            families=None if self.families is None else self.families[rows],
        )

    def ends(self) -> npt.NDArray[np.float64]:
        """When each flow ended, in epoch seconds; one without a duration when it began."""
        duration = np.asarray(self.flows["duration"].to_numpy(), dtype=np.float64)
        ends: npt.NDArray[np.float64] = self.flows["ts"].to_numpy() + np.nan_to_num(duration)
        return ends

    def capture_slices(self) -> Iterator[slice]:
        """The rows of each capture, in order."""
        edges = np.flatnonzero(np.diff(self.captures)) + 1
        starts = [0, *edges.tolist()]
        for start, stop in zip(starts, [*edges.tolist(), len(self)], strict=True):
            if stop > start:
                yield slice(start, stop)

    def evaluation_labels(self) -> Labels:
        """The labels with circular ones taken out: what figures may rest on."""
        labels = self.labels.copy()
        labels[self.circular] = UNLABELLED
        return labels

    def why_not_evaluable(self) -> str | None:
        """Why no figure is computed on this environment, None if one is."""
        labels = self.evaluation_labels()
        if self.circular.any() and not (labels > 0).any():
            return "its labels are circular (made by rules on the flows themselves)"
        benign, malicious = int((labels == 0).sum()), int((labels > 0).sum())
        if benign < MIN_BENIGN_ROWS:
            return f"only {benign:,} benign rows (at least {MIN_BENIGN_ROWS} are needed)"
        if malicious < MIN_MALICIOUS_ROWS:
            return f"only {malicious:,} malicious rows (at least {MIN_MALICIOUS_ROWS} are needed)"
        return None


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 of a file, or of the digests of several in their order."""
    digests = []
    for path in paths:
        try:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(f"{one}\n" for one in digests).encode()).hexdigest()
