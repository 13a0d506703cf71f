"""What becomes of scores: false incidents, and the labelled episodes that open one.

An episode is found by its own doing: one of its flows must open an incident where it is the only
attack among the benign traffic. That an incident is open anyway while it happens is no credit.
Even so, big groups are found by size alone; so the same is counted once more with the scores of
all malicious flows dealt out anew from benign ones, and that is what chance would find.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import LABEL_NAMES, Environment
from zeekml.detection.policy import Policy
from zeekml.evaluation.scores import HeldOut, SeedRun
from zeekml.training.incident_replay import NONE, HeldOutStream
from zeekml.training.leave_one_out import Fold


@dataclass(frozen=True)
class Episode:
    """Malicious flows that belong together."""

    threat: str
    rows: npt.NDArray[np.intp]  # in order of arrival


@dataclass(frozen=True)
class IncidentFigures:
    """What one run's incidents are on one environment."""

    false: int  # incidents on the benign flows alone
    # for each episode: how many of its flows had come when it was found, None if it never was
    flows_until: list[int | None]
    by_chance: int  # episodes that are found with malicious flows scored like benign ones


def episodes(environment: Environment) -> list[Episode]:
    """Labelled episodes; where the data name none, one per recording, originator and class."""
    labels = environment.evaluation_labels()
    hosts = environment.flows["id.orig_h"].to_pylist()
    groups: dict[Hashable, list[int]] = {}
    for row in np.flatnonzero(labels > 0).tolist():
        named = environment.episodes[row] if environment.episodes is not None else None
        key = (
            (named, labels[row]) if named else (environment.captures[row], hosts[row], labels[row])
        )
        groups.setdefault(key, []).append(row)
    return [
        Episode(LABEL_NAMES[labels[rows[0]]], np.array(rows, dtype=np.intp))
        for rows in groups.values()
    ]


def outcome(
    site: HeldOut, run: SeedRun, found_in: list[Episode], policy: Policy
) -> IncidentFigures | None:
    """Replay the incidents of one run; None if it has no thresholds."""
    if run.calibration is None or run.thresholds is None:
        return None
    # a threat without a threshold is never raised
    values = run.thresholds.values
    fold = site.fold(run)
    stream = HeldOutStream.of(fold, run.calibration)
    by_chance = HeldOutStream.of(_by_chance(fold, run.seed), run.calibration)

    def flows_until(stream: HeldOutStream) -> list[int | None]:
        alone, owner = stream.one_by_one([episode.rows for episode in found_in])
        until: list[int | None] = [None] * len(found_in)
        for incident in alone.replay(policy).incidents(values):
            of = int(owner[incident.opener])
            if of != NONE and until[of] is None:
                row = alone.rows[incident.opener]
                until[of] = int(np.searchsorted(found_in[of].rows, row)) + 1
        return until

    return IncidentFigures(
        false=len(stream.only(stream.labels == 0).replay(policy).incidents(values)),
        flows_until=flows_until(stream),
        by_chance=sum(one is not None for one in flows_until(by_chance)),
    )


def _by_chance(fold: Fold, seed: int) -> Fold:
    """The same flows, the malicious ones scored like benign ones."""
    rng = np.random.default_rng([seed, 13])
    malicious = np.flatnonzero(fold.labels > 0)
    rows = np.arange(len(fold.labels))
    rows[malicious] = rng.choice(np.flatnonzero(fold.labels == 0), len(malicious))
    return replace(fold, prediction=fold.prediction.take(rows))


def benign_days(environment: Environment) -> float:
    """Days that the benign flows span, recordings added up."""
    benign = environment.evaluation_labels() == 0
    ts = environment.flows["ts"].to_numpy()
    seconds = 0.0
    for rows in environment.capture_slices():
        own = ts[rows][benign[rows]]
        seconds += float(np.ptp(own)) if len(own) else 0.0
    return seconds / 86400
