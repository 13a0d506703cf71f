"""Whether the confidence of incidents is right on networks held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import numpy as np

from zeekml.ensemble.confidence import Confidence
from zeekml.evaluation.scores import Study
from zeekml.html.figures import LineSeries, lines
from zeekml.html.sections import Figure, Section, Table
from zeekml.training.confidence_fit import (
    BASE_RATE,
    RELIABILITY_HEADS,
    JudgedIncident,
    ReliabilityBin,
    confidence_without_site,
    reliability,
    reliability_cells,
)
from zeekml.training.ranking import Floats

_FEWEST: Final = 2  # bins that make a picture


def confidence_section(study: Study, incidents: Sequence[JudgedIncident]) -> Section:
    """Of the incidents at about each confidence, how many are attacks."""
    own = study.bundle.confidence if study.bundle is not None else None
    if study.bundle is None:
        said, source = confidence_without_site(incidents), "was fitted to the other environments'"
    elif own is not None:
        said, source = _of_bundle(incidents, own), "is the bundle's own"
    else:
        said, source = np.full(len(incidents), np.nan), "is unknown: the bundle tells none"
    bins = reliability(incidents, said)
    attacks = sum(incident.real for incident in incidents)
    return Section(
        key="confidence",
        title="Is the confidence of incidents right?",
        prose=[
            f"Incidents of the first seed, at thresholds that the environment had no say in: "
            f"{attacks:,} attacks, and {len(incidents) - attacks:,} on benign flows alone. Where "
            "events are logged, each environment counts once with and once without them. The "
            f"confidence {source}.",
            f"Attacks: their share at a base rate of {BASE_RATE:.0%}, recordings and environments "
            "weighing with the root of their incidents. Few incidents open on benign traffic, so "
            "one recording can move a row by much.",
        ],
        tables=[
            Table(
                "By confidence; mean of it, and share that are attacks",
                list(RELIABILITY_HEADS),
                reliability_cells(bins),
            )
        ],
        figures=[_picture(bins)] if len(bins) >= _FEWEST else [],
        data={"base_rate": BASE_RATE, "bins": [asdict(each) for each in bins]},
    )


def _of_bundle(incidents: Sequence[JudgedIncident], confidence: Confidence) -> Floats:
    said = [confidence.flows.probability(incident.excess) for incident in incidents]
    floors = [incident.floor for incident in incidents]
    return np.where(floors, np.maximum(said, confidence.floor), said)


def _picture(bins: list[ReliabilityBin]) -> Figure:
    x, y = np.array([(each.said, each.observed) for each in bins]).T
    return Figure(
        lines(
            [LineSeries("incidents", x, y)],
            x_axis="mean confidence",
            y_axis="share that are attacks",
            limits=(0.0, 1.0),
            diagonal=True,
            markers=True,
        ),
        "Reliability of the confidence. On the line, it is right.",
        "Reliability diagram of the confidence of incidents",
    )
