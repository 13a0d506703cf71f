"""Under which name incidents of attacks are reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from zeekml.datasets.environment import LABEL_NAMES
from zeekml.ensemble.classes import THREATS
from zeekml.evaluation.scores import Study
from zeekml.html.sections import NOT_RESOLVED, Section, Table
from zeekml.training.confidence_fit import FoldReplay, JudgedIncident, SiteIncidents
from zeekml.training.leave_one_out import Fold


def judged_incidents(study: Study) -> list[JudgedIncident]:
    """What opens on the environments held out, with the fits of the first seed.

    Where events are logged, once with and once without them.
    """
    found: list[JudgedIncident] = []
    own = study.bundle.confidence if study.bundle is not None else None
    bars = own.flows.bars if own is not None else None
    for site in study.held_out:
        run = site.runs[0]
        if run.calibration is None or run.thresholds is None:
            continue
        fold = Fold(site.prepared, run.prediction, run.silent)
        replay = FoldReplay.of(fold, run.calibration, run.thresholds.values, study.policy)
        found += SiteIncidents.of(replay, bars).incidents
    return found


def naming_section(incidents: Sequence[JudgedIncident]) -> Section:
    """How many incidents of each class are reported as which threat."""
    attacks = [incident for incident in incidents if incident.real]
    counts = Counter((incident.label, incident.threat) for incident in attacks)
    classes = [name for name in LABEL_NAMES if any(name == label for label, _ in counts)]
    rows = []
    for name in classes:
        own = [counts[name, threat] for threat in THREATS]
        known = name in THREATS
        right = f"{counts[name, name] / sum(own):.0%}" if known else NOT_RESOLVED
        rows.append([name, *map(str, own), f"{sum(own):,}", right])
    of_known = [incident for incident in attacks if incident.label in THREATS]
    named = None
    if of_known:
        named = sum(incident.label == incident.threat for incident in of_known) / len(of_known)
    said = f"{named:.0%} of {len(of_known):,}" if named is not None else NOT_RESOLVED
    return Section(
        key="naming",
        title="Is what is found called by its name?",
        prose=[
            "Incidents of the first seed that are mostly malicious flows, by the class of most of "
            "these (rows) and by the threat that they were reported as (columns). Where events are "
            "logged, each environment counts once with and once without them. Right: "
            f"{said} incidents of a known class.",
        ],
        tables=[
            Table("Incidents by class and name", ["class", *THREATS, "all", "right"], rows),
        ],
        data={
            "right": named,
            "incidents": len(of_known),
            "named": {name: {t: counts[name, t] for t in THREATS} for name in classes},
        },
    )
