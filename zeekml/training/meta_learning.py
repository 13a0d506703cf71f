"""Adapting a network to a site from a few labelled flows, and learning where to begin that.

A few labels fit many networks, most of them useless. So what is learned is held near where it
began (a pull towards the prior weights), and rows of the training environments are replayed beside
the labelled ones. How many steps, how strong a pull and how much replay is not guessed but chosen
on training environments.

That is first-order meta-learning, warm-started from joint training. Reptile (Nichol, Achiam and
Schulman, 2018) moves the start towards where adapting to a task ends. First-order MAML (Finn,
Abbeel and Levine, 2017) moves it along the gradient of the query loss after adapting. Head-only
adapting inside first-order MAML is ANIL (Raghu and others, 2020). Adapting replays training rows as
it does at a site, and a share of each outer step is an ordinary joint step, so that the start stays
good where nobody adapts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Labels, Matrix
from zeekml.training.mlp import AdamW, Mlp, RowSampler, loss_and_gradient, one_cycle
from zeekml.training.tasks import TaskSource, draw_task, part_hosts


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


Algorithm = Literal["reptile", "fomaml", "anil"]

ALGORITHMS: Final[tuple[Algorithm, ...]] = ("reptile", "fomaml", "anil")
_JOINT_BATCH: Final = 384

INNER: Final = AdaptationRule(steps=8, rate=2e-3, batch=32)
"""How a task is adapted to while a start is learned."""


@dataclass(frozen=True)
class MetaRecipe:
    """How a start is meta-learned."""

    algorithm: Algorithm = "fomaml"  # reptile, fomaml or anil
    steps: int = 200  # outer steps
    rate: float = 5e-4  # peak step size of the outer AdamW
    joint: float = 0.5  # share of the outer gradient that comes from a joint step
    k: int = 10  # benign and malicious support rows of a task, each
    query: int = 64  # the same of its query
    inner: AdaptationRule = INNER  # how a task is adapted to; anil makes it head-only


def meta_learn(
    network: Mlp,
    sources: Sequence[TaskSource],
    replay: RowSampler,
    recipe: MetaRecipe,
    rng: np.random.Generator,
    *,
    binary: bool,
) -> Mlp:
    """A start that adapts well, beginning with a jointly trained network."""
    sources = [source for source in sources if part_hosts(source, rng) is not None]
    if not sources:
        return network
    start = network.copy()
    parameters = [*start.weights, *start.biases]
    optimiser = AdamW(parameters, decay=0.0)
    rule = recipe.inner
    if recipe.algorithm == "anil":
        rule = replace(rule, head_only=True)
    for step in range(recipe.steps):
        order = rng.permutation(len(sources))
        tasks = (draw_task(sources[index], recipe.k, recipe.query, rng) for index in order)
        # of any environment; none only where parting fails again and again
        task = next((drawn for drawn in tasks if drawn is not None), None)
        if task is None:
            continue
        x, labels = task.source.x, task.source.labels
        if binary:
            labels = (labels > 0).astype(np.int8)
        adapted = adapt(start, x[task.support], labels[task.support], rule, replay=replay, rng=rng)
        if recipe.algorithm == "reptile":
            # the way from the start to the adapted network, in units of a gradient
            pairs = zip(parameters, [*adapted.weights, *adapted.biases], strict=True)
            length = rule.rate * rule.steps
            outer = [((before - after) / length).astype(np.float32) for before, after in pairs]
        else:
            judged = labels[task.query]
            bad, good = max((judged > 0).sum(), 1), max((judged <= 0).sum(), 1)
            even = np.where(judged > 0, 0.5 / bad, 0.5 / good)
            outer = weighted_gradients(adapted, x[task.query], judged, even)
        again = replay.draw(_JOINT_BATCH, rng)
        even = np.full(_JOINT_BATCH, 1 / _JOINT_BATCH)
        joint = weighted_gradients(start, replay.x[again], replay.labels[again], even)
        share = recipe.joint
        mixed = [
            ((1 - share) * meta + share * plain).astype(np.float32)
            for meta, plain in zip(outer, joint, strict=True)
        ]
        optimiser.step(mixed, one_cycle(step, recipe.steps, recipe.rate))
    return start
