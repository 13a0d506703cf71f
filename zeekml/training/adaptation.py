"""Adapting a network to a site from a few labelled flows, without forgetting what it knew.

A few labels fit many networks, most of them useless. So what is learned is held near where it
began (a pull towards the prior weights), and rows of the training environments are replayed beside
the labelled ones. How many steps, how strong a pull and how much replay is not guessed but chosen
on training environments (see `meta_learning`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Labels, Matrix
from zeekml.training.mlp import AdamW, Mlp, RowSampler, loss_and_gradient


@dataclass(frozen=True)
class AdaptationRule:
    """How a network takes in labelled flows."""

    steps: int = 40
    rate: float = 1e-3  # step size of Adam
    head_only: bool = False  # change the last layer alone
    pull: float = 0.1  # part of the way back to the prior weights that is gone per step, over rate
    # share of the loss that rows of the training environments make up, 0 to below 1
    replay: float = 0.5
    batch: int = 64  # labelled rows, and replayed rows, per step at most


def adapt(
    network: Mlp,
    x: Matrix,
    labels: Labels,
    rule: AdaptationRule,
    *,
    replay: RowSampler | None,
    rng: np.random.Generator,
) -> Mlp:
    """A network that has taken in labelled rows; the one given stays as it is."""
    if not len(x):
        return network
    adapted = network.copy()
    layers = slice(-1, None) if rule.head_only else slice(None)
    changed = [*adapted.weights[layers], *adapted.biases[layers]]
    prior = [parameter.copy() for parameter in changed]
    optimiser = AdamW(changed, decay=0.0)
    # either side, as far as it is there, weighs half
    malicious = labels > 0
    balance = np.where(malicious, 1 / max(malicious.sum(), 1), 1 / max((~malicious).sum(), 1))
    balance /= balance.sum()
    share = rule.replay if replay is not None else 0.0
    for _ in range(rule.steps):
        rows = np.arange(len(x))
        if len(x) > rule.batch:
            rows = rng.choice(len(x), rule.batch, p=balance / balance.sum(), replace=False)
        counted = balance[rows] / balance[rows].sum() * (1 - share)
        batch, batch_labels = x[rows], labels[rows]
        if replay is not None and share:
            again = replay.draw(rule.batch, rng)
            batch = np.concatenate([batch, replay.x[again]])
            batch_labels = np.concatenate([batch_labels, replay.labels[again]])
            counted = np.concatenate([counted, np.full(len(again), share / len(again))])
        gradients = weighted_gradients(adapted, batch, batch_labels, counted)
        if rule.head_only:
            count = len(adapted.weights)
            gradients = [gradients[count - 1], gradients[2 * count - 1]]
        optimiser.step(gradients, rule.rate)
        for parameter, begin in zip(changed, prior, strict=True):
            parameter -= np.float32(rule.rate * rule.pull) * (parameter - begin)
    return adapted


def weighted_gradients(
    network: Mlp, x: Matrix, labels: Labels, weights: npt.NDArray[np.float64]
) -> list[Matrix]:
    """The gradients of the weighted sum of the rows' losses: all weights, then all biases."""
    activations = network.forward(x)
    _, gradient = loss_and_gradient(activations[-1], labels)
    gradient *= (weights * len(x)).astype(np.float32)[:, None]
    return network.backward(activations, gradient)
