"""Which bundle judges each environment, recording by recording: one that has not seen it.

Environments that figures rest on have one already: what was fitted without them with the first
seed. The others, which serve training only (recordings of infections, of benign devices), are held
out in a few groups, so that each group costs an ensemble without it, and one for each environment
that thresholds rest on, without both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zeekml.datasets.environment import MIN_BENIGN_ROWS, Environment
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.evaluation.fits import Pairs, calibrated
from zeekml.evaluation.fitted_bundle import as_bundle
from zeekml.evaluation.scores import Study
from zeekml.evaluation.settings import FIRST_SEED, Settings, Steps
from zeekml.training.leave_one_out import Fold, can_train, evaluable, without
from zeekml.training.training_rows import Prepared

FEWEST_RECORDINGS: Final = 2
"""Recordings that an environment has at least whose infections are counted one by one."""


@dataclass(frozen=True)
class Site:
    """An environment and the bundle that judges it."""

    prepared: Prepared
    bundle: Bundle
    seen: bool = False  # the bundle, which was finished before, names it among its training data
    alone: bool = True  # nothing else was held out with it

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.prepared.name


def has_infections(environment: Environment) -> bool:
    """Whether infections can be counted recording by recording."""
    malicious = bool((environment.evaluation_labels() > 0).any())
    return malicious and len(environment.capture_names) >= FEWEST_RECORDINGS


def can_be_judged(environment: Environment) -> bool:
    """Whether its recordings tell anything: infections, or enough benign rows."""
    benign = int((environment.evaluation_labels() == 0).sum())
    return has_infections(environment) or benign >= MIN_BENIGN_ROWS


def sites_of_bundle(prepared: Sequence[Prepared], bundle: Bundle) -> list[Site]:
    """Every environment with a finished bundle."""
    known = {source.environment for source in bundle.manifest.training}
    return [
        Site(item, bundle, seen=item.name in known)
        for item in prepared
        if can_be_judged(item.environment)
    ]


def groups_held_out(prepared: Sequence[Prepared], settings: Settings) -> list[tuple[int, ...]]:
    """Numbers of the environments that serve training only, as they are held out together."""
    rest = [
        number
        for number, item in enumerate(prepared)
        if number not in evaluable(prepared) and can_be_judged(item.environment)
    ]
    rest.sort(key=lambda number: prepared[number].name)
    count = min(settings.groups, len(rest))
    groups = [tuple(rest[start::count]) for start in range(count)]
    return [group for group in groups if evaluable(prepared) and _can_learn(prepared, group)]


def _can_learn(prepared: Sequence[Prepared], group: tuple[int, ...]) -> bool:
    return can_train(without(prepared, *group))


def steps_of_sites(prepared: Sequence[Prepared], settings: Settings) -> int:
    """How many steps `sites_without` takes."""
    fits = len(groups_held_out(prepared, settings)) * (1 + len(evaluable(prepared)))
    return fits * settings.plan.steps


def sites_without(study: Study, steps: Steps) -> list[Site]:
    """Every environment with what was fitted without it; none for which thresholds lack."""
    prepared, settings, policy = study.prepared, study.settings, study.policy
    sites = [
        Site(site.prepared, site.runs[0].bundle)
        for site in study.held_out
        if site.runs[0].bundle is not None and can_be_judged(site.prepared.environment)
    ]
    pairs = Pairs(prepared, FIRST_SEED, settings, steps)
    for group in groups_held_out(prepared, settings):
        bundle = _fitted_without(pairs, group, policy)
        if bundle is not None:
            sites += [Site(prepared[n], bundle, alone=len(group) == 1) for n in group]
    order = {item.name: number for number, item in enumerate(prepared)}
    return sorted(sites, key=lambda site: order[site.name])


def _fitted_without(pairs: Pairs, group: tuple[int, ...], policy: Policy) -> Bundle | None:
    ensemble = pairs.without(*group)
    if ensemble is None:
        return None
    further = evaluable(pairs.prepared)
    folds = [fold for number in further if (fold := pairs.fold(number, *group)) is not None]
    calibration, thresholds = calibrated(folds, policy)
    if calibration is None or thresholds is None:
        return None
    rest = without(pairs.prepared, *group)
    return as_bundle("without a group", ensemble, calibration, thresholds, rest)


def fitted_on_all(study: Study, steps: Steps) -> Bundle | None:
    """What the recipe makes of all environments, with calibration and thresholds of held-out runs.

    None if they cannot be chosen.
    """
    runs = [(site.prepared, site.runs[0]) for site in study.held_out]
    folds = [Fold(prepared, run.prediction, run.silent) for prepared, run in runs]
    calibration, thresholds = calibrated(folds, study.policy)
    ensemble = Pairs(study.prepared, FIRST_SEED, study.settings, steps).without()
    if ensemble is None or calibration is None or thresholds is None:
        return None
    return as_bundle("all", ensemble, calibration, thresholds, study.prepared)
