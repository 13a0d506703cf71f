"""Distillation: a few narrow networks that say what a pool of wide ones says on average.

After Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015). What a flow
costs is the ensemble's arithmetic, and the average of ten networks is a smoother function than any
of them: networks of a third of the arithmetic learn it from the pool's answers to rows that were
disturbed as in training, many more than there are labelled ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from zeekml.datasets.environment import Matrix
from zeekml.ensemble.classes import CLASSES
from zeekml.ensemble.probability import softmax
from zeekml.ensemble.scoring import averaged_log_odds, member_log_odds
from zeekml.training.mlp import (
    AdamW,
    FeatureFamilies,
    Mlp,
    Recipe,
    RowSampler,
    disturb,
    one_cycle,
)
from zeekml.training.trained_ensemble import TrainedMember, member_logits

_HIGHEST: Final = 12.0  # log-odds that are told apart
_FARTHEST: Final = 3.0  # log-odds beyond which a larger gap pulls no harder (Huber)
_AT_ONCE: Final = 4096


@dataclass(frozen=True)
class Distillation:
    """How the networks of an ensemble learn from a pool of larger ones."""

    members: int = 5
    rows: int = 200_000  # rows that the pool is asked about
    recipe: Recipe = field(
        default_factory=lambda: Recipe(hidden=(48, 24), dropout=0.0, noise=0.1, steps=4000)
    )


@dataclass(frozen=True)
class Lesson:
    """Rows, and what the pool says about them."""

    x: Matrix  # (rows, features): standardised and disturbed
    log_odds: Matrix  # float32 (rows,): of malicious, the pool's mean
    shares: Matrix  # float32 (rows, threats): P(threat | malicious)

    @classmethod
    def of(
        cls,
        pool: Sequence[TrainedMember],
        drawn_from: RowSampler,
        recipe: Distillation,
        families: FeatureFamilies,
        rng: np.random.Generator,
    ) -> Lesson:
        """Draw rows by weight, disturb them and ask the pool, of which some know threats."""
        knows = np.array([member.knows_threats for member in pool])
        parts = []
        for start in range(0, recipe.rows, _AT_ONCE):
            rows = drawn_from.draw(min(_AT_ONCE, recipe.rows - start), rng)
            x = disturb(drawn_from.x[rows], recipe.recipe, families, rng)
            logits = member_logits(pool, x)
            odds = averaged_log_odds(member_log_odds(logits, knows), probability=False)
            # each that knows threats shares out one vote, as in scoring
            parts.append((x, odds, softmax(logits[:, knows, 1:]).mean(axis=1)))
        x, log_odds, shares = (np.concatenate(part) for part in zip(*parts, strict=True))
        bounded = np.clip(log_odds, -_HIGHEST, _HIGHEST).astype(np.float32)
        return cls(x, bounded, shares.astype(np.float32))


def learn(lesson: Lesson, recipe: Recipe, rng: np.random.Generator) -> Mlp:
    """A network of all classes that has learned what the pool says."""
    network = Mlp.initialise((lesson.x.shape[1], *recipe.hidden, len(CLASSES)), rng)
    optimiser = AdamW([*network.weights, *network.biases], decay=recipe.decay)
    for step in range(recipe.steps):
        rows = rng.integers(0, len(lesson.x), recipe.batch)
        activations = network.forward(lesson.x[rows])
        gradient = gradient_of(activations[-1], lesson.log_odds[rows], lesson.shares[rows])
        gradients = network.backward(activations, gradient)
        optimiser.step(gradients, one_cycle(step, recipe.steps, recipe.rate))
    return network


def gradient_of(logits: Matrix, log_odds: Matrix, shares: Matrix) -> Matrix:
    """The derivative, by the logits (rows, classes), of how far they are from what the pool says.

    That is the Huber loss of the log-odds of malicious, plus the cross-entropy of the threats.
    """
    own = softmax(logits[:, 1:])
    highest = logits[:, 1:].max(axis=1)
    malicious = highest + np.log(np.exp(logits[:, 1:] - highest[:, None]).sum(axis=1))
    gap = np.clip(malicious - logits[:, 0] - log_odds, -_FARTHEST, _FARTHEST)[:, None]
    gradient = np.concatenate([-gap, gap * own + (own - shares)], axis=1)
    return (gradient / np.float32(len(logits))).astype(np.float32)
