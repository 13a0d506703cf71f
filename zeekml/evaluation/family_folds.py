"""Infections judged by what has seen other infections of their environment, but not their family.

The families of an environment are dealt into two halves, and the recipe is fitted twice, without a
half: without its recordings here, and without those that other environments have of it. A recording
is left out of a fit if any name that occurs in it, be it in an alert alone, belongs to the half; it
is judged if all of its families do. Recordings without attacks are dealt into halves as well, so
that what infections teach is paid for by the false incidents that it brings. Where a family cannot
be told, a recording of the environment is in no fit and is not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from zeekml.datasets.environment import Environment
from zeekml.datasets.families import CaptureNames, capture_names
from zeekml.ensemble.bundle import Bundle
from zeekml.evaluation.fitted_bundle import as_bundle, fitted_of
from zeekml.evaluation.judge import Judge
from zeekml.evaluation.recordings import Recording, judge_site
from zeekml.evaluation.scores import Study
from zeekml.evaluation.settings import FIRST_SEED, Steps
from zeekml.evaluation.sites import Site
from zeekml.training.leave_one_out import train_if_possible
from zeekml.training.training_rows import Prepared, synthetic_rows

FEWEST_INFECTIONS: Final = 20
"""Recordings with attacks that an environment has at least whose families are left out."""

FOLDS: Final = 2


@dataclass(frozen=True)
class FamilyFold:
    """Some families, and recordings by number."""

    hidden: tuple[str, ...]  # the families, in alphabetical order
    learned_from: frozenset[int]
    judged: frozenset[int]


@dataclass(frozen=True)
class JudgedFold:
    """A fold, and the recordings that it judges."""

    fold: FamilyFold
    recordings: Sequence[Recording]


@dataclass(frozen=True)
class FamilyStudy:
    """What became of the families of one environment."""

    name: str
    folds: Sequence[JudgedFold]
    elsewhere: Sequence[int]  # recordings of other environments left out, by half
    untold: int  # recordings with attacks whose family cannot be told
    straddling: int  # those with families of both halves


def family_folds(environment: Environment) -> list[FamilyFold]:
    """Deal families and recordings into halves; empty if there are too few."""
    names = capture_names(environment)
    there = sorted({int(environment.captures[own.start]) for own in environment.capture_slices()})
    labels = environment.evaluation_labels()
    attacked = {int(number) for number in environment.captures[labels > 0].tolist()}
    families = Counter(family for number in attacked for family in names[number].families)
    told = [number for number in attacked if names[number].families]
    if len(told) < FEWEST_INFECTIONS or len(families) < FOLDS:
        return []
    half = _halves(families)
    order = sorted(set(there) - attacked, key=lambda number: environment.capture_names[number])
    clean = {number: place % FOLDS for place, number in enumerate(order)}
    return [_fold(fold, half, clean, told, names) for fold in range(FOLDS)]


def _halves(families: Counter[str]) -> dict[str, int]:
    """The half of each family: the biggest first, each to the half that has less by then."""
    sizes, found = [0] * FOLDS, {}
    for family in sorted(families, key=lambda family: (-families[family], family)):
        fold = sizes.index(min(sizes))
        found[family] = fold
        sizes[fold] += families[family]
    return found


def _fold(
    fold: int,
    half: dict[str, int],
    clean: dict[int, int],
    told: Sequence[int],
    names: Sequence[CaptureNames],
) -> FamilyFold:
    hidden = {family for family, own in half.items() if own == fold}
    learned = {number for number in told if not names[number].every & hidden}
    judged = {number for number in told if hidden.issuperset(names[number].families)}
    learned |= {number for number, own in clean.items() if own != fold}
    judged |= {number for number, own in clean.items() if own == fold}
    return FamilyFold(tuple(sorted(hidden)), frozenset(learned), frozenset(judged))


def steps_of_families(prepared: Sequence[Prepared], members: int) -> int:
    """How many steps `judge_families` takes at most."""
    return members * sum(len(family_folds(item.environment)) for item in prepared)


def judge_families(study: Study, sites: Sequence[Site], steps: Steps) -> list[FamilyStudy]:
    """Fit the recipe without each half of each environment's families, and judge that half."""
    found = []
    for site in sites:
        folds = family_folds(site.prepared.environment)
        judged = []
        for number, fold in enumerate(folds, 1):
            what = f"families of {site.name}, half {number}"
            steps.now(what)
            bundle = fit_without_half(study, site, fold)
            steps.done(what, study.settings.plan.steps)
            if bundle is not None:
                of_all = judge_site(replace(site, bundle=bundle), Judge(bundle, study.policy))
                own = [one for one in of_all.recordings if one.number in fold.judged]
                judged.append(JudgedFold(fold, own))
        if folds and len(judged) == len(folds):
            others = [item for item in study.prepared if item.name != site.name]
            elsewhere = [
                sum(
                    len(item.environment.capture_names) - len(recordings_without(item, fold))
                    for item in others
                )
                for fold in folds
            ]
            found.append(_study(site.prepared.environment, judged, elsewhere))
    return found


def _study(
    environment: Environment, judged: Sequence[JudgedFold], elsewhere: Sequence[int]
) -> FamilyStudy:
    labels = environment.evaluation_labels()
    attacked = {int(number) for number in environment.captures[labels > 0].tolist()}
    names = capture_names(environment)
    untold = {number for number in attacked if not names[number].families}
    met = {number for one in judged for number in one.fold.judged}
    straddling = attacked - untold - met
    return FamilyStudy(environment.name, judged, elsewhere, len(untold), len(straddling))


def fit_without_half(study: Study, site: Site, fold: FamilyFold) -> Bundle | None:
    """Members that have seen the rest; calibration and thresholds of what has not seen the site."""
    here = site.prepared
    learned_from = []
    for item in study.prepared:
        kept = fold.learned_from if item.name == here.name else recordings_without(item, fold)
        part = _recordings(item, kept)
        if len(part.environment):
            learned_from.append(part)
    ensemble = train_if_possible(learned_from, study.settings.training(FIRST_SEED))
    if ensemble is None:
        return None
    name = f"without half of the families of {here.name}"
    return as_bundle(name, ensemble, *fitted_of(site.bundle.manifest), learned_from)


def recordings_without(item: Prepared, fold: FamilyFold) -> frozenset[int]:
    """The recordings of another environment in which no name of the half occurs."""
    names = capture_names(item.environment)
    hidden = set(fold.hidden)
    return frozenset(number for number, own in enumerate(names) if not own.every & hidden)


def _recordings(item: Prepared, kept: frozenset[int]) -> Prepared:
    """An environment with some of its recordings alone, and the synthetic copy of these."""
    rows = np.flatnonzero(np.isin(item.environment.captures, sorted(kept)))
    if len(rows) == len(item.environment):
        return item
    part = item.environment.take(rows)
    return Prepared(part, item.matrix[rows], *synthetic_rows(part, seed=FIRST_SEED))
