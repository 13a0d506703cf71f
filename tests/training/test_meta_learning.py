from __future__ import annotations

import numpy as np
import pytest

from zeekml.training.adaptation import AdaptationRule, adapt
from zeekml.training.meta_learning import ALGORITHMS, Algorithm, MetaRecipe, meta_learn
from zeekml.training.mlp import Mlp, Recipe, RowSampler, fit, loss_and_gradient
from zeekml.training.tasks import TaskSource, draw_task

INNER = AdaptationRule(steps=5, rate=2e-2, pull=0.0, replay=0.0)


def site(turn: int, flows: int = 400) -> TaskSource:
    """Feature `turn` tells malicious flows here; the last feature always a little."""
    rng = np.random.default_rng(turn)
    labels = (np.arange(flows) % 2).astype(np.int8)
    x = rng.standard_normal((flows, 5)).astype(np.float32)
    x[:, turn] += 2.0 * (2 * labels - 1)
    x[:, 4] += 0.3 * (2 * labels - 1)
    return TaskSource(
        f"e{turn}", x, labels, np.ones(flows), rng.integers(0, 20, flows), rng.random(flows)
    )


@pytest.fixture(scope="module")
def sources() -> list[TaskSource]:
    return [site(turn) for turn in range(3)]


@pytest.fixture(scope="module")
def replay(sources: list[TaskSource]) -> RowSampler:
    x = np.concatenate([source.x for source in sources])
    labels = np.concatenate([source.labels for source in sources])
    return RowSampler.of(x, labels, np.ones(len(x)))


@pytest.fixture(scope="module")
def joint(replay: RowSampler) -> Mlp:
    recipe = Recipe(hidden=(8,), steps=150, batch=64, family_dropout=0, noise=0)
    return fit(
        replay.x,
        replay.labels,
        np.ones(len(replay.x)),
        outputs=2,
        recipe=recipe,
        rng=np.random.default_rng(0),
    )


def loss_after(start: Mlp, source: TaskSource) -> float:
    """Mean query loss after adapting to tasks of a site."""
    rng = np.random.default_rng(9)
    losses = []
    for _ in range(30):
        task = draw_task(source, 5, 60, rng)
        assert task is not None
        network = adapt(
            start,
            source.x[task.support],
            source.labels[task.support],
            INNER,
            replay=None,
            rng=rng,
        )
        logits = network.logits(source.x[task.query])
        losses.append(loss_and_gradient(logits, source.labels[task.query])[0])
    return float(np.mean(losses))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_learned_start_adapts_better_than_a_joint_one(
    algorithm: Algorithm, sources: list[TaskSource], replay: RowSampler, joint: Mlp
) -> None:
    recipe = MetaRecipe(algorithm, steps=120, rate=5e-3, joint=0.2, k=5, query=60, inner=INNER)
    before = joint.copy()
    start = meta_learn(joint, sources, replay, recipe, np.random.default_rng(1), binary=True)
    assert all(np.array_equal(a, b) for a, b in zip(before.weights, joint.weights, strict=True))
    assert np.mean([loss_after(start, s) for s in sources]) < np.mean(
        [loss_after(joint, s) for s in sources]
    )


def test_the_same_seed_gives_the_same_bits(
    sources: list[TaskSource], replay: RowSampler, joint: Mlp
) -> None:
    recipe = MetaRecipe(steps=5)
    starts = [
        meta_learn(joint, sources, replay, recipe, np.random.default_rng(3), binary=True)
        for _ in range(2)
    ]
    for one, other in zip(starts[0].weights, starts[1].weights, strict=True):
        assert np.array_equal(one, other)


def test_without_hosts_enough_it_stays_at_joint_training(replay: RowSampler, joint: Mlp) -> None:
    lonely = site(0)
    lonely.hosts[:] = 0
    start = meta_learn(
        joint, [lonely], replay, MetaRecipe(steps=3), np.random.default_rng(0), binary=True
    )
    assert start is joint
