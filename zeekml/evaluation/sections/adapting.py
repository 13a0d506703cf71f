"""What labels bring on networks held out, through the very gate of `zeekml adapt`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from zeekml.adaptation.label_study import (
    FOREST,
    GATE,
    Draws,
    LabelledNetwork,
    LabelOutcome,
    study_labels,
)
from zeekml.errors import DataError
from zeekml.evaluation.scores import Study
from zeekml.evaluation.sections.wording import table_of
from zeekml.evaluation.settings import Settings, Steps
from zeekml.html.sections import Section

LABELS: Final = (1, 5, 10, 50)
"""False alarms labelled in a draw."""


@dataclass(frozen=True)
class AdaptingStudy:
    """What came of labels, by network."""

    outcomes: Sequence[LabelOutcome]
    lowered: dict[str, float]  # by how much thresholds were, by network
    left_out: Sequence[str]  # why networks are not there


def adapting_steps(networks: int, settings: Settings) -> int:
    """How many steps `study_adaptation` takes at most."""
    return networks * len(LABELS) * settings.adapting


def study_adaptation(study: Study, steps: Steps) -> AdaptingStudy:
    """Label, adapt and look at what follows on each network held out, with the first seed."""
    outcomes: list[LabelOutcome] = []
    lowered, left_out = {}, []
    for site in study.held_out:
        bundle = site.runs[0].bundle
        if bundle is None or site.seen:
            why = "seen in training" if site.seen else "no thresholds could be chosen without it"
            left_out.append(f"{site.name}: {why}")
            continue
        what = f"labels on {site.name}"
        steps.now(what)
        with tempfile.TemporaryDirectory(prefix="zeekml-") as work:
            try:
                network = LabelledNetwork(site.prepared.environment, bundle, Path(work))
            except DataError as error:
                left_out.append(str(error))
                steps.done(what, len(LABELS) * study.settings.adapting)
                continue
            lowered[site.name] = network.lowered
            for count in LABELS:
                wanted = Draws(count, study.settings.adapting)
                outcomes += study_labels(network, wanted, done=partial(steps.done, what))
    return AdaptingStudy(outcomes, lowered, left_out)


def adapting_section(found: AdaptingStudy) -> Section:
    """The table of `zeekml adapt`, and of what is beside it."""
    prose = [
        "Each network is parted in time where half of its false incidents have happened. False "
        "alarms of the first part are labelled from the truth, `zeekml adapt` does what it does, "
        "and the later part is scored with what came of it: numbers of false and true incidents "
        "there without labels, then the median over the draws and the worst. Thresholds were "
        "lowered as far as it takes to have false alarms at all.",
        f"Beside it is what each kind of change would have done had no gate judged it, and a "
        f"{FOREST}, which has seen nothing but the first flow of each labelled incident: with "
        "false alarms alone it silences all.",
    ]
    prose += [f"Not there: {reason}." for reason in found.left_out]
    gate = [outcome for outcome in found.outcomes if outcome.way == GATE]
    if not gate:
        return Section("adapting", "What labels bring", prose, data={"networks": {}})
    tables = [
        table_of(f"{GATE}, by network and number of labels", [o.row() for o in gate]),
        table_of("All ways", [outcome.row() for outcome in found.outcomes]),
    ]
    lost = max(outcome.reference_lost for outcome in gate)
    prose.append(f"The most that a threat of the reference set lost in any draw is {lost:.1%}.")
    data = {"lowered": found.lowered, "outcomes": [o.as_dict() for o in found.outcomes]}
    return Section("adapting", "What labels bring", prose, tables, data=data)
