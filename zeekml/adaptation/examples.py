"""Examples: labelled incidents and flows, with the rows of features that were scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml.calibration.notice_volume import HIGHEST
from zeekml.detection.candidates import Candidates
from zeekml.ensemble.probability import evidence
from zeekml.errors import DataError
from zeekml.features.feature_schema import FEATURES, SCHEMA_HASH
from zeekml.triage.labels import FLOW, Label
from zeekml.triage.notice_reader import NoticeLine, with_evidence

MOST_PRESUMED: Final = 4
"""Incidents of each threat that are taken for attacks by their evidence."""

MOST_ROWS: Final = 200
"""Rows of one incident that are kept."""

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """An incident, or a flow that raised none, and what somebody said of it."""

    id: str
    truth: bool
    threat: str  # what the notice says, or of a true one what the label says; empty: not known
    at: float  # when it began, epoch seconds
    matrix: Matrix  # (n, all features of the schema)
    # its candidates, where the logs were read; else the row is that of the flow that opened it
    candidates: Candidates | None = None
    # the highest evidence of its group, with the base rate taken out; None if it is not known
    peak: float | None = None
    presumed: bool = False  # whether its evidence alone says that it is true

    @property
    def certain(self) -> bool:
        """Whether its evidence is what nobody can mistake, whatever somebody said."""
        return self.peak is not None and self.peak >= HIGHEST

    @property
    def of_flow(self) -> bool:
        """Whether it is a flow that raised no incident."""
        return self.id.startswith(FLOW)

    @property
    def known(self) -> bool:
        """Whether there are features to learn from; of a pair of hosts over days there are none."""
        return bool(len(self.matrix)) and not bool(np.isnan(self.matrix).all())


class _FlowRow(msgspec.Struct):
    """What is read of the row of scores.parquet that a label of a flow keeps."""

    ts: float
    uid: str
    threat: str | None = None


def example_of(label: Label, rows: Matrix | None = None) -> Example:
    """The example that a label makes by what is kept with it; of a flow, `rows` are its features.

    A `DataError` if that is damaged.
    """
    none = np.empty((0, len(FEATURES)), np.float32)
    truth = bool(label.truth)
    try:
        if label.id.startswith(FLOW):
            row = msgspec.json.decode(label.line, type=_FlowRow)
            threat = label.threat or row.threat or ""
            return Example(label.id, truth, threat, row.ts, none if rows is None else rows)
        line = with_evidence(label.line, label.evidence)
    except (ValueError, msgspec.MsgspecError) as error:
        raise DataError(f"the label of {label.id} is damaged ({error}); take it back") from error
    matrix = none if rows is None else rows
    if rows is None and line.evidence is not None and SCHEMA_HASH.startswith(line.features):
        matrix = features_of(line)
    return Example(label.id, truth, label.threat or line.threat, line.first_ts, matrix)


def presumed(
    examples: Sequence[Example], unlabelled: Sequence[Example]
) -> tuple[list[Example], list[Example]]:
    """Examples to learn from, and those whose labels contradict their evidence.

    Evidence that nobody can mistake stands for an attack: unlabelled it is taken for one, some of
    each threat, and labelled as a false alarm, too. So a burst of wrong labels silences nothing.
    """
    denied = [e for e in examples if not e.truth and e.certain]
    kept = [e for e in examples if e.truth or not e.certain]
    certain: list[Example] = []
    for threat in dict.fromkeys(e.threat for e in (*denied, *unlabelled)):
        own = [e for e in (*denied, *unlabelled) if e.threat == threat and e.certain]
        own.sort(key=lambda e: (-(e.peak or 0.0), e.id))
        certain += [replace(e, truth=True, presumed=True) for e in own[:MOST_PRESUMED]]
    return [*kept, *certain], denied


def peak_of(line: NoticeLine, base_rate: float) -> float | None:
    """About the evidence of an incident's group, by the flows that opened it; None if not kept."""
    related = line.evidence.related if line.evidence is not None else []
    if not related:
        return None
    return float(np.mean(evidence([flow.score for flow in related], base_rate)))


def features_of(line: NoticeLine) -> Matrix:
    """The features of the flow that opened an incident, (1, all of the schema) if they are kept."""
    values = b"" if line.evidence is None else line.evidence.features
    if len(values) != 4 * len(FEATURES):
        return np.empty((0, len(FEATURES)), np.float32)
    return np.frombuffer(values, "<f4").astype(np.float32)[None, :]


def folds_of(examples: Sequence[Example], most: int) -> list[npt.NDArray[np.intp]]:
    """Numbers of the examples in at most so many parts, each one stretch of time."""
    order = np.argsort([example.at for example in examples], kind="stable")
    return [part for part in np.array_split(order, min(most, len(order))) if len(part)]


def named_alike(examples: Sequence[Example]) -> list[str]:
    """Pairs of examples with the same features and contradicting labels, a sentence each."""
    seen: dict[bytes, Example] = {}
    found = []
    for example in examples:
        if not example.known:
            continue
        key = example.threat.encode() + np.sort(np.nan_to_num(example.matrix), axis=0).tobytes()
        other = seen.setdefault(key, example)
        if other.truth != example.truth:
            found.append(f"{other.id} and {example.id} look the same and are labelled differently")
    return found


def some_of(total: int, most: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Numbers of at most so many of `total` rows, ascending: all of them if they are no more."""
    if total <= most:
        return np.arange(total)
    return np.sort(rng.choice(total, most, replace=False))


def sampled(example: Example, rng: np.random.Generator) -> Example:
    """The example with `MOST_ROWS` rows at most."""
    if len(example.matrix) <= MOST_ROWS:
        return example
    chosen = some_of(len(example.matrix), MOST_ROWS, rng)
    candidates = None if example.candidates is None else example.candidates.take(chosen)
    return replace(example, matrix=example.matrix[chosen], candidates=candidates)
