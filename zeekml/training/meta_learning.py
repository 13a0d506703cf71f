"""Learning where to begin: first-order meta-learning, warm-started from joint training.

Reptile (Nichol, Achiam and Schulman, 2018) moves the start towards where adapting to a task ends.
First-order MAML (Finn, Abbeel and Levine, 2017) moves it along the gradient of the query loss after
adapting. Head-only adapting inside first-order MAML is ANIL (Raghu and others, 2020). Adapting
replays training rows as it does at a site, and a share of each outer step is an ordinary joint
step, so that the start stays good where nobody adapts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from zeekml.training.adaptation import AdaptationRule, adapt, weighted_gradients
from zeekml.training.mlp import AdamW, Mlp, RowSampler, one_cycle
from zeekml.training.tasks import TaskSource, draw_task, part_hosts

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
