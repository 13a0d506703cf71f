from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zeekml.training.meta_learning import (
    ALGORITHMS,
    AdaptationRule,
    Algorithm,
    MetaRecipe,
    adapt,
    meta_learn,
    weighted_gradients,
)
from zeekml.training.mlp import Mlp, Recipe, RowSampler, fit, loss_and_gradient
from zeekml.training.tasks import TaskSource, draw_task

RULE = AdaptationRule(steps=40, rate=5e-3, pull=0.0, replay=0.0)
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


@pytest.fixture
def network() -> Mlp:
    return Mlp.initialise((4, 6, 2), np.random.default_rng(0))


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(1).standard_normal((12, 4)).astype(np.float32)
    return x, (np.arange(12) % 3 == 0).astype(np.int8)


def loss(network: Mlp, x: np.ndarray, labels: np.ndarray) -> float:
    return loss_and_gradient(network.logits(x), labels)[0]


def distance(one: Mlp, other: Mlp) -> float:
    pairs = zip(one.weights + one.biases, other.weights + other.biases, strict=True)
    return float(sum(((a - b) ** 2).sum() for a, b in pairs))


def same(one: Mlp, other: Mlp) -> bool:
    return distance(one, other) == 0.0


def test_it_takes_labels_in_and_leaves_the_prior_alone(
    network: Mlp, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    before = network.copy()
    after = adapt(network, *rows, RULE, replay=None, rng=np.random.default_rng(0))
    assert loss(after, *rows) < 0.8 * loss(network, *rows)
    assert same(network, before)
    assert not same(after, before)


def test_no_labels_no_change(network: Mlp) -> None:
    nothing = np.empty((0, 4), dtype=np.float32), np.empty(0, dtype=np.int8)
    after = adapt(network, *nothing, RULE, replay=None, rng=np.random.default_rng(0))
    assert same(after, network)


def test_the_head_alone(network: Mlp, rows: tuple[np.ndarray, np.ndarray]) -> None:
    rule = replace(RULE, head_only=True)
    after = adapt(network, *rows, rule, replay=None, rng=np.random.default_rng(0))
    assert np.array_equal(after.weights[0], network.weights[0])
    assert np.array_equal(after.biases[0], network.biases[0])
    assert not np.array_equal(after.weights[1], network.weights[1])


def test_the_pull_holds_it_near(network: Mlp, rows: tuple[np.ndarray, np.ndarray]) -> None:
    ways = [
        distance(
            adapt(
                network,
                *rows,
                replace(RULE, pull=pull),
                replay=None,
                rng=np.random.default_rng(0),
            ),
            network,
        )
        for pull in (0.0, 5.0, 100.0)
    ]
    assert ways[0] > ways[1] > ways[2] > 0


def test_replay_keeps_what_was_known(network: Mlp, rows: tuple[np.ndarray, np.ndarray]) -> None:
    x = rows[0]
    rng = np.random.default_rng(3)
    known = rng.standard_normal((400, 4)).astype(np.float32)
    truth = network.logits(known).argmax(axis=1).astype(np.int8)
    replay = RowSampler.of(known, truth, np.ones(400))
    wrong = (1 - network.logits(x).argmax(axis=1)).astype(np.int8)
    kept, lost = (
        adapt(
            network,
            x,
            wrong,
            replace(RULE, replay=share),
            replay=replay,
            rng=np.random.default_rng(0),
        )
        for share in (0.8, 0.0)
    )
    assert loss(kept, known, truth) < loss(lost, known, truth)


def test_rows_without_weight_are_not_replayed() -> None:
    replay = RowSampler.of(
        np.zeros((3, 1), np.float32), np.zeros(3, np.int8), np.array([0.0, 1.0, 0.0])
    )
    assert set(replay.draw(500, np.random.default_rng(0)).tolist()) == {1}


def test_either_side_counts_half(network: Mlp) -> None:
    x = np.random.default_rng(1).standard_normal((11, 4)).astype(np.float32)
    labels = np.array([1] + [0] * 10, dtype=np.int8)
    once = adapt(network, x, labels, RULE, replay=None, rng=np.random.default_rng(0))
    # the same benign rows twice over change nothing
    twice = np.concatenate([x, x[1:]]), np.concatenate([labels, labels[1:]])
    again = adapt(network, *twice, RULE, replay=None, rng=np.random.default_rng(0))
    for a, b in zip(once.weights, again.weights, strict=True):
        assert np.allclose(a, b, atol=1e-3)


def test_weighted_gradients_are_those_of_the_weighted_loss(
    network: Mlp, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    x, labels = rows
    weights = np.random.default_rng(5).random(len(x))

    def total() -> float:
        return sum(
            w * loss(network, x[i : i + 1], labels[i : i + 1]) for i, w in enumerate(weights)
        )

    gradients = weighted_gradients(network, x, labels, weights)
    step = np.float32(1e-2)
    network.weights[0][2, 1] += step
    up = total()
    network.weights[0][2, 1] -= 2 * step
    down = total()
    assert gradients[0][2, 1] == pytest.approx((up - down) / (2 * step), rel=0.02, abs=1e-3)
