"""Narrow networks that learn what a pool of wide ones says on average."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES
from zeekml.ensemble.scoring import averaged_log_odds, member_log_odds
from zeekml.training.distillation import Distillation, Lesson, gradient_of, learn
from zeekml.training.mlp import FeatureFamilies, Mlp, Recipe, RowSampler
from zeekml.training.trained_ensemble import TrainedMember, network_log_odds

FEATURES = 12
FAMILIES = FeatureFamilies(np.arange(FEATURES) // 3, np.zeros(FEATURES // 3, np.bool_))


def pool(seed: int = 0) -> list[TrainedMember]:
    rng = np.random.default_rng(seed)
    kinds = (BINARY_CLASSES, CLASSES, CLASSES)
    return [
        TrainedMember(Mlp.initialise((FEATURES, 24, len(kind)), rng), kind, ()) for kind in kinds
    ]


def rows(count: int = 400) -> RowSampler:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((count, FEATURES)).astype(np.float32)
    return RowSampler.of(x, np.zeros(count, np.int8), np.ones(count))


def lesson(**changed: Any) -> Lesson:
    recipe = Distillation(rows=5000, recipe=Recipe(noise=0.1, **changed))
    return Lesson.of(pool(), rows(), recipe, FAMILIES, np.random.default_rng(1))


def test_a_lesson_is_what_the_pool_says_on_average() -> None:
    made = lesson()
    logits = np.zeros((5000, 3, len(CLASSES)), np.float32)
    for number, member in enumerate(pool()):
        logits[:, number, : len(member.outputs)] = member.network.logits(made.x)
    odds = member_log_odds(logits, np.array([False, True, True]))
    assert made.log_odds == pytest.approx(averaged_log_odds(odds, probability=False), abs=1e-4)
    assert made.shares.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    # whole families are missing now and then
    families = made.x.reshape(5000, -1, 3)
    assert 0.05 < (families == 0).all(axis=2).mean() < 0.15


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_the_gradient(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits: Any = rng.standard_normal((4, len(CLASSES)))
    told: Any = rng.standard_normal(4)
    shares: Any = rng.dirichlet(np.ones(len(CLASSES) - 1), 4)

    def loss(at: Any) -> float:
        threats = np.log(np.exp(at[:, 1:]).sum(axis=1))
        gap = np.abs(threats - at[:, 0] - told)
        huber = np.where(gap <= 3, gap**2 / 2, 3 * gap - 4.5)
        return float((huber - (shares * (at[:, 1:] - threats[:, None])).sum(axis=1)).mean())

    gradient = gradient_of(logits, told, shares)
    for index in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[index] = 1e-6
        slope = (loss(logits + step) - loss(logits - step)) / 2e-6
        assert gradient[index] == pytest.approx(slope, abs=1e-5)


def test_narrow_networks_learn_it() -> None:
    made = lesson(family_dropout=0.0)
    recipe = Recipe(hidden=(16,), dropout=0.0, steps=1500)
    network = learn(made, recipe, np.random.default_rng(2))
    assert np.corrcoef(network_log_odds(network, made.x), made.log_odds)[0, 1] > 0.9
    again = learn(made, recipe, np.random.default_rng(2))
    assert all(np.array_equal(a, b) for a, b in zip(network.weights, again.weights, strict=True))
