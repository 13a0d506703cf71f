"""All that is judged recording by recording, and the fits that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zeekml.ensemble.bundle import Bundle
from zeekml.evaluation.benign_logs import BenignLogs, judge_logs
from zeekml.evaluation.family_folds import FamilyStudy, judge_families, steps_of_families
from zeekml.evaluation.judge import Judge
from zeekml.evaluation.occlusion import Occlusions, occlusions
from zeekml.evaluation.recordings import BenignTraffic, JudgedSite, judge_site
from zeekml.evaluation.scores import Study
from zeekml.evaluation.settings import Settings, Steps
from zeekml.evaluation.sites import (
    can_be_judged,
    fitted_on_all,
    sites_of_bundle,
    sites_without,
    steps_of_sites,
)
from zeekml.training.training_rows import Prepared


@dataclass(frozen=True)
class RecordingRuns:
    """What runs by recording came to."""

    judged: Sequence[JudgedSite]  # labelled environments
    families: Sequence[FamilyStudy]
    given: Sequence[BenignTraffic]  # logs taken to be benign
    occlusions: Sequence[Occlusions]
    not_judged: Sequence[str] = ()  # logs for which no thresholds could be chosen, by name

    @property
    def networks(self) -> list[BenignTraffic]:
        """Benign traffic of all networks."""
        labelled = [one.benign for one in self.judged if one.benign is not None]
        return [*labelled, *self.given]


def steps_of_recordings(
    prepared: Sequence[Prepared], logs: int, settings: Settings, *, fitted: bool
) -> int:
    """How many steps `run_recordings` takes; `fitted` if there is no finished bundle."""
    judged = sum(can_be_judged(item.environment) for item in prepared)
    members = settings.plan.steps
    fits = 0
    if fitted:
        fits = steps_of_sites(prepared, settings) + steps_of_families(prepared, members)
        fits += members if logs else 0
    return fits + 2 * judged + logs


def run_recordings(
    study: Study, logs: Sequence[BenignLogs], bundle: Bundle | None, steps: Steps
) -> RecordingRuns:
    """Judge every recording by a finished bundle, or by what was fitted without it."""
    if bundle is not None:
        sites = sites_of_bundle(study.prepared, bundle)
    else:
        sites = sites_without(study, steps)
    judged, hidden = [], []
    for site in sites:
        steps.now(f"recordings of {site.name}")
        judge = Judge(site.bundle, study.policy)
        judged.append(judge_site(site, judge))
        steps.done(f"features of {site.name} hidden one by one")
        if (of_site := occlusions(site.prepared, judge)) is not None:
            hidden.append(of_site)
        steps.done(f"recordings of {site.name}")
    families = judge_families(study, sites, steps) if bundle is None else []
    given = []
    on_all = bundle if bundle is not None or not logs else fitted_on_all(study, steps)
    if on_all is not None:
        judge = Judge(on_all, study.policy)
        for network in logs:
            steps.now(f"logs of {network.name}")
            given.append(judge_logs(network, judge))
            steps.done(f"logs of {network.name}")
    not_judged = [network.name for network in logs] if on_all is None else []
    return RecordingRuns(judged, families, given, hidden, not_judged)
