"""What judges a recording was fitted without it, bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from zeekml.datasets.environment import Environment
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import Bundle
from zeekml.evaluation.family_folds import family_folds, fit_without_half, recordings_without
from zeekml.evaluation.scores import Study
from zeekml.evaluation.settings import Settings, Steps
from zeekml.evaluation.sites import (
    Site,
    groups_held_out,
    sites_of_bundle,
    sites_without,
    steps_of_sites,
)
from zeekml.training.mlp import Recipe
from zeekml.training.trainer import MemberPlan
from zeekml.training.training_rows import Prepared, prepare

Make = Callable[..., Environment]
Recordings = Callable[[list[tuple[str, int, int]]], pa.Table]

TINY = Settings(
    seeds=1,
    plan=MemberPlan(1, 1, meta=None),
    recipe=Recipe(hidden=(8,), steps=60, batch=128),
    groups=2,
)
NAMES = ("Mirai", "Hajime", "Mozi")
# small ones, of which no figure is computed
INFECTIONS = [(f"{n:02}-{NAMES[n % 3]}", 5, 6) for n in range(24)]


@pytest.fixture
def networks(make_environment: Make) -> list[Prepared]:
    return [prepare(make_environment(name=f"e{s}", seed=s), seed=1) for s in range(2)]


@pytest.fixture
def infections(make_environment: Make, make_recordings: Recordings) -> Prepared:
    table = make_recordings([*INFECTIONS, ("97-quiet", 20, 0), ("98-quiet", 20, 0)])
    return prepare(make_environment(table, name="infections"), seed=1)


def study(prepared: Sequence[Prepared]) -> Study:
    return Study(prepared, [], load_policy(), TINY)


def garbage(item: Prepared, rows: np.ndarray) -> Prepared:
    """The same with nothing left of some rows but their recordings and which are malicious."""
    rng = np.random.default_rng(99)
    order = np.arange(len(item.environment))
    order[rows] = rng.permutation(rows)
    matrix = item.matrix.copy()
    matrix[rows] = rng.uniform(0, 1, matrix[rows].shape)
    flows = item.environment.flows.take(pa.array(order))
    return replace(item, environment=replace(item.environment, flows=flows), matrix=matrix)


def parts(bundle: Bundle) -> tuple[object, ...]:
    manifest = bundle.manifest
    return bundle.models, manifest.scaler, manifest.calibration, dict(manifest.thresholds)


def test_environments_that_only_train_are_judged_by_what_has_not_seen_them(
    networks: list[Prepared], infections: Prepared
) -> None:
    def judged(item: Prepared) -> Site:
        (site,) = sites_without(study([*networks, item]), Steps(0))
        return site

    spoilt = garbage(infections, np.arange(len(infections.environment)))
    spoilt = replace(
        spoilt,
        synthetic=np.full_like(infections.synthetic, 7.0),
        synthetic_labels=np.zeros_like(infections.synthetic_labels),
    )
    clean = judged(infections)
    assert clean.name == "infections"
    assert parts(clean.bundle) == parts(judged(spoilt).bundle)
    assert [source.environment for source in clean.bundle.manifest.training] == ["e0", "e1"]


def test_groups_are_dealt_by_name_and_paid_for(
    networks: list[Prepared], infections: Prepared
) -> None:
    others = [
        replace(infections, environment=replace(infections.environment, name=name))
        for name in ("d", "b", "c")
    ]
    prepared = [*others, *networks]
    groups = groups_held_out(prepared, TINY)
    assert [[prepared[n].name for n in group] for group in groups] == [["b", "d"], ["c"]]
    # each without the group, and without the group and either of two networks
    assert steps_of_sites(prepared, TINY) == 2 * 3 * 2
    assert groups_held_out(networks, TINY) == []
    assert groups_held_out(others, TINY) == []


def test_a_finished_bundle_judges_all_and_knows_what_it_saw(
    networks: list[Prepared], infections: Prepared, bundle: Bundle
) -> None:
    named = replace(networks[0], environment=replace(networks[0].environment, name="5"))
    sites = sites_of_bundle([named, networks[1], infections], bundle)
    assert [(site.name, site.seen) for site in sites] == [
        ("5", True),
        ("e1", False),
        ("infections", False),
    ]


def test_a_half_of_the_families_has_no_say_in_the_fit_without_it(
    networks: list[Prepared], infections: Prepared, bundle: Bundle
) -> None:
    def fitted(item: Prepared) -> tuple[object, ...]:
        made = fit_without_half(study([*networks, item]), Site(item, bundle), fold)
        assert made is not None
        assert made.manifest.calibration == bundle.manifest.calibration
        return parts(made)

    fold = family_folds(infections.environment)[0]
    assert len(fold.hidden) == 2
    captures = infections.environment.captures
    unseen = np.flatnonzero(~np.isin(captures, sorted(fold.learned_from)))
    clean = fitted(infections)
    assert fitted(garbage(infections, unseen)) == clean
    # else this would prove nothing
    seen = np.flatnonzero(np.isin(captures, sorted(fold.learned_from)))
    assert fitted(garbage(infections, seen)) != clean


def test_nor_have_its_recordings_in_other_environments(
    networks: list[Prepared],
    infections: Prepared,
    bundle: Bundle,
    make_environment: Make,
    make_recordings: Recordings,
) -> None:
    hidden, kept = family_folds(infections.environment)
    table = make_recordings([(f"x-{hidden.hidden[0]}", 60, 20), (f"x-{kept.hidden[0]}", 60, 20)])
    other = prepare(make_environment(table, name="other"), seed=1)
    first = np.flatnonzero(other.environment.captures == 0)
    assert recordings_without(other, hidden) == {1}
    assert recordings_without(other, kept) == {0}

    def fitted(item: Prepared) -> tuple[object, ...]:
        of = study([*networks, item, infections])
        made = fit_without_half(of, Site(infections, bundle), hidden)
        assert made is not None
        return parts(made)

    clean = fitted(other)
    assert fitted(garbage(other, first)) == clean
    second = np.flatnonzero(other.environment.captures == 1)
    assert fitted(garbage(other, second)) != clean
