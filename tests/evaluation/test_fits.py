"""What is fitted for an environment does not depend on a single row of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from zeekml.datasets.environment import Environment
from zeekml.detection.policy import load_policy
from zeekml.evaluation.baselines import RULES, strongest_rule
from zeekml.evaluation.fits import Fits, Pairs, fit_without
from zeekml.evaluation.scores import CONTROLS, DIRECTION, PORTS, altered
from zeekml.evaluation.sections.incidents import episodes
from zeekml.evaluation.sections.timesplit import early_and_late
from zeekml.evaluation.settings import Settings
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.mlp import Recipe
from zeekml.training.trainer import MemberPlan
from zeekml.training.training_rows import Prepared, prepare

Make = Callable[..., Environment]

TINY = Settings(
    seeds=1,
    draws=20,
    plan=MemberPlan(1, 1, meta=None),
    recipe=Recipe(hidden=(8,), steps=60, batch=128),
    baseline_rows=2000,
)


@pytest.fixture
def prepared(make_environment: Make) -> list[Prepared]:
    return [prepare(make_environment(name=f"e{s}", seed=s), seed=1) for s in range(4)]


def garbage(item: Prepared) -> Prepared:
    """The same environment with nothing left of it but its name and its number of rows."""
    rng = np.random.default_rng(99)
    labels = rng.permutation(item.environment.labels)
    environment = replace(
        item.environment, labels=labels, flows=item.environment.flows.take(rng.permutation(580))
    )
    return Prepared(
        environment=environment,
        matrix=rng.normal(0, 50, item.matrix.shape).astype(np.float32),
        synthetic=rng.normal(0, 50, item.synthetic.shape).astype(np.float32),
        synthetic_labels=rng.permutation(item.synthetic_labels),
    )


def fitted(prepared: list[Prepared], held_out: int) -> Fits:
    fits = fit_without(prepared, held_out, Pairs(prepared, 1, TINY), load_policy())
    assert fits is not None
    return fits


@pytest.mark.parametrize("held_out", [0, 2])
def test_garbage_in_the_environment_held_out_changes_nothing(
    prepared: list[Prepared], held_out: int
) -> None:
    spoilt = list(prepared)
    spoilt[held_out] = garbage(prepared[held_out])
    clean, other = fitted(prepared, held_out), fitted(spoilt, held_out)
    for name in ("mean", "scale", "fill"):
        ours, theirs = getattr(clean.ensemble.scaler, name), getattr(other.ensemble.scaler, name)
        assert ours.tobytes() == theirs.tobytes()
    for ours, theirs in zip(clean.ensemble.members, other.ensemble.members, strict=True):
        assert ours.left_out == theirs.left_out
        for mine, his in zip(
            [*ours.network.weights, *ours.network.biases],
            [*theirs.network.weights, *theirs.network.biases],
            strict=True,
        ):
            assert mine.tobytes() == his.tobytes()
    assert clean.calibration is not None
    assert clean.calibration == other.calibration
    assert clean.thresholds is not None
    assert clean.thresholds == other.thresholds
    assert clean.best_member == other.best_member is not None
    assert clean.baselines.stump == other.baselines.stump
    probe = prepared[held_out].matrix
    for name, scores in clean.baselines.scores(probe).items():
        assert scores.tobytes() == other.baselines.scores(probe)[name].tobytes(), name


def test_garbage_elsewhere_does_change_it(prepared: list[Prepared]) -> None:
    # else the test above would prove nothing
    spoilt = [*prepared[:3], garbage(prepared[3])]
    clean, other = fitted(prepared, 0), fitted(spoilt, 0)
    assert clean.ensemble.scaler.mean.tobytes() != other.ensemble.scaler.mean.tobytes()
    assert clean.calibration != other.calibration


def test_too_few_environments_give_less(prepared: list[Prepared]) -> None:
    two = fitted(prepared[:2], 0)
    assert (two.calibration, two.thresholds, two.best_member) == (None, None, None)
    alone = Pairs(prepared[:1], 1, TINY)
    assert fit_without(prepared[:1], 0, alone, load_policy()) is None


def test_controls_change_their_columns_alone(prepared: list[Prepared]) -> None:
    matrix = prepared[0].matrix
    changed = {
        control: {
            FEATURES[i].family
            for i in range(len(FEATURES))
            if not np.array_equal(altered(matrix, control, 1)[:, i], matrix[:, i], equal_nan=True)
        }
        for control in CONTROLS
    }
    assert changed[DIRECTION] == {"direction"}
    assert changed[PORTS] <= {"port", "rarity"}
    assert "port" in changed[PORTS]
    shuffled = altered(matrix, PORTS, 1)[:, FEATURE_INDEX["port_share"]]
    assert sorted(shuffled) == sorted(matrix[:, FEATURE_INDEX["port_share"]])
    with pytest.raises(ValueError, match="no such control"):
        altered(matrix, "x", 1)


def test_rules_find_the_scan_and_say_when(prepared: list[Prepared]) -> None:
    scores = strongest_rule(prepared[0].matrix)
    scan = prepared[0].environment.labels > 0
    assert (scores[scan] > 1).mean() > 0.5
    assert (scores[~scan] > 1).mean() < 0.1
    assert len({rule.text for rule in RULES}) == len(RULES)


def test_time_is_split_within_recordings_and_with_a_gap(make_environment: Make) -> None:
    environment = make_environment()
    early, late = early_and_late(environment, 0.6, gap=True)
    ts = environment.flows["ts"].to_numpy()
    end = ts + np.nan_to_num(environment.flows["duration"].to_numpy())
    assert not (early & late).any()
    assert ts[late].min() - end[early].max() >= 0.09 * np.ptp(ts)
    plain_early, plain_late = early_and_late(environment, 0.4, gap=False)
    assert (plain_early ^ plain_late).all()
    part = environment.take(np.flatnonzero(early))
    assert len(part) == early.sum() == part.flows.num_rows == len(part.captures)


def test_episodes_are_those_named_or_one_per_originator(make_environment: Make) -> None:
    environment = make_environment()
    (one,) = episodes(environment)
    assert (one.threat, len(one.rows)) == ("scan", 80)
    named = np.full(len(environment), None, dtype=object)
    rows = np.flatnonzero(environment.labels > 0)
    named[rows[:30]], named[rows[30:60]] = "first", "second"
    sizes = [len(e.rows) for e in episodes(replace(environment, episodes=named))]
    # what has no name is grouped by originator even so
    assert sizes == [30, 30, 20]
