from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.training.mlp import (
    AdamW,
    FeatureFamilies,
    Mlp,
    Recipe,
    disturb,
    fit,
    loss_and_gradient,
    one_cycle,
)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    outputs=st.integers(2, 8),
    labels=st.lists(st.integers(0, 8), min_size=1, max_size=5),
)
def test_gradient_of_the_loss(seed: int, outputs: int, labels: list[int]) -> None:
    rng = np.random.default_rng(seed)
    # differences of 1e-6 need more digits than the network has
    logits: Any = rng.standard_normal((len(labels), outputs))
    y = np.array([k if k < outputs else 8 for k in labels], dtype=np.int8)
    _, gradient = loss_and_gradient(logits, y)
    for index in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[index] = 1e-6
        up, _ = loss_and_gradient(logits + step, y)
        down, _ = loss_and_gradient(logits - step, y)
        assert gradient[index] == pytest.approx((up - down) / 2e-6, abs=1e-6)


def test_loss_of_unknown_attacks_is_that_of_not_benign() -> None:
    logits = np.log(np.array([[0.25, 0.5, 0.25]], dtype=np.float32))
    loss, gradient = loss_and_gradient(logits, np.array([8], dtype=np.int8))
    assert loss == pytest.approx(-np.log(0.75), rel=1e-6)
    # the other classes keep their proportion
    assert gradient[0, 1] / gradient[0, 2] == pytest.approx(2, rel=1e-5)


def test_backward_agrees_with_differences() -> None:
    rng = np.random.default_rng(0)
    network = Mlp.initialise((5, 7, 6, 3), rng)
    parameters: Any = network
    parameters.weights = [w.astype(np.float64) for w in network.weights]
    parameters.biases = [rng.standard_normal(len(b)) for b in network.biases]
    x: Any = rng.standard_normal((9, 5))
    y = rng.integers(0, 3, 9).astype(np.int8)

    def loss() -> float:
        return loss_and_gradient(network.logits(x), y)[0]

    activations = network.forward(x)
    gradients = network.backward(activations, loss_and_gradient(activations[-1], y)[1])
    for parameter, gradient in zip([*network.weights, *network.biases], gradients, strict=True):
        for index in np.ndindex(parameter.shape):
            kept = parameter[index]
            parameter[index] = kept + 1e-6
            up = loss()
            parameter[index] = kept - 1e-6
            down = loss()
            parameter[index] = kept
            assert gradient[index] == pytest.approx((up - down) / 2e-6, abs=1e-6)


def test_dropped_units_pass_nothing_back() -> None:
    rng = np.random.default_rng(0)
    network = Mlp.initialise((4, 50, 2), rng)
    x = np.ones((3, 4), dtype=np.float32)
    activations = network.forward(x, dropout=0.5, rng=rng)
    gradient = np.ones((3, 2), dtype=np.float32)
    gradients = network.backward(activations, gradient, dropout=0.5)
    idle = ~(activations[1] > 0).any(axis=0)
    assert idle.any()
    assert (gradients[0][idle] == 0).all()
    # inverted dropout keeps the mean
    means = [network.forward(x, dropout=0.5, rng=rng)[-1][0] for _ in range(4000)]
    assert np.allclose(np.mean(means, axis=0), network.logits(x)[0], atol=0.15)


def test_one_cycle() -> None:
    rates = [one_cycle(step, 500, 3e-3) for step in range(500)]
    assert rates[0] == pytest.approx(3e-3 / 25, rel=1e-3)
    assert max(rates) == pytest.approx(3e-3, rel=1e-6)
    assert np.argmax(rates) == 74
    assert rates[-1] < 1e-7
    assert one_cycle(0, 1, 1.0) > 0


def test_adamw_first_step_and_decay() -> None:
    value = np.array([1.0, -2.0], dtype=np.float32)
    AdamW([value], decay=0.1).step([np.array([0.5, -3.0], dtype=np.float32)], 0.01)
    # the first step has the size of the rate, whatever the gradient's
    assert np.allclose(value, [1 - 0.001 - 0.01, -2 + 0.002 + 0.01], atol=1e-6)


def test_fit_learns_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 6)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int8)
    recipe = Recipe(hidden=(32,), steps=600, batch=128)
    weights = np.ones(600)

    def train(seed: int) -> Mlp:
        return fit(x, y, weights, outputs=2, recipe=recipe, rng=np.random.default_rng(seed))

    network = train(1)
    accuracy = (network.logits(x).argmax(axis=1) == y).mean()
    assert accuracy > 0.9
    assert [w.tobytes() for w in train(1).weights] == [w.tobytes() for w in network.weights]
    assert train(2).weights[0].tobytes() != network.weights[0].tobytes()
    assert all(w.dtype == np.float32 for w in [*network.weights, *network.biases])


def test_rows_without_weight_are_never_drawn() -> None:
    x = np.zeros((3, 2), dtype=np.float32)
    x[0] = np.nan
    x[2] = np.nan
    weights = np.array([0.0, 1.0, 0.0])
    network = fit(
        x,
        np.array([1, 0, 1], dtype=np.int8),
        weights,
        outputs=2,
        recipe=Recipe(hidden=(4,), steps=20, batch=16),
        rng=np.random.default_rng(0),
    )
    assert all(np.isfinite(w).all() for w in network.weights)


def test_rows_lack_whole_families_now_and_then() -> None:
    numbers = np.array([0, 0, 1, 2, 2, 2], np.intp)
    families = FeatureFamilies(numbers, np.zeros(3, np.bool_))
    recipe = Recipe(noise=0.0, family_dropout=0.25)
    x = disturb(np.ones((4000, 6), np.float32), recipe, families, np.random.default_rng(0))
    assert set(np.unique(x).tolist()) == {0.0, 1.0}
    assert (x[:, 0] == x[:, 1]).all()
    assert (x[:, 3:] == x[:, 3:4]).all()
    shares = x[:, [0, 2, 3]].mean(axis=0)
    assert np.allclose(shares, 0.75, atol=0.03)
    # each family by itself
    assert abs(np.corrcoef(x[:, 0], x[:, 2])[0, 1]) < 0.06


def test_all_events_are_missing_now_and_then() -> None:
    families = FeatureFamilies(np.arange(3), np.array([True, False, True]))
    recipe = Recipe(noise=0.0, family_dropout=0.0, event_dropout=0.4)
    x = disturb(np.ones((4000, 3), np.float32), recipe, families, np.random.default_rng(0))
    assert (x[:, 0] == x[:, 2]).all()
    assert x.mean(axis=0) == pytest.approx([0.6, 1.0, 0.6], abs=0.03)


def test_noise_has_the_size_it_says() -> None:
    zeros = np.zeros((2000, 5), np.float32)
    recipe = Recipe(noise=0.5, family_dropout=0.1)
    x = disturb(zeros, recipe, None, np.random.default_rng(0))
    assert x.std() == pytest.approx(0.5, rel=0.03)
    assert x.dtype == np.float32


def test_networks_are_averaged_weight_by_weight() -> None:
    networks = [Mlp.initialise((3, 4, 2), np.random.default_rng(seed)) for seed in range(2)]
    mean = Mlp.mean_of(networks)
    assert np.allclose(mean.weights[0], (networks[0].weights[0] + networks[1].weights[0]) / 2)
    assert [w.shape for w in mean.weights] == [(4, 3), (2, 4)]
    copy = networks[0].copy()
    copy.weights[0][:] = 7
    assert (networks[0].weights[0] != 7).all()
