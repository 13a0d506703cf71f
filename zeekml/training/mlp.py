"""Small multilayer perceptrons and how they learn, in NumPy alone.

Networks of this size (about 10,000 weights) need no framework: with one BLAS thread 500 steps take
a second or two, and the same seed gives the same bits on the same processor and BLAS.

Labels are those of ``environment``: an index into the classes, or ``OTHER_ATTACK`` for rows that
are known to be malicious but not of what class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Labels, Matrix
from zeekml.ensemble.probability import softmax

_WARM_UP: Final = 0.15
_START_DIVISOR: Final = 25.0
_END_DIVISOR: Final = 1e4
# of Adam
_BETAS: Final = (0.9, 0.999)
_EPSILON: Final = 1e-8


@dataclass
class Mlp:
    """A multilayer perceptron with ReLU between its layers."""

    weights: list[Matrix]  # (out, in)
    biases: list[Matrix]  # (out,)

    @classmethod
    def initialise(cls, widths: Sequence[int], rng: np.random.Generator) -> Mlp:
        """Draw weights after He et al. (2015): variance 2 / fan-in; biases are zero."""
        weights = [
            (rng.standard_normal((out, into)) * math.sqrt(2.0 / into)).astype(np.float32)
            for into, out in pairwise(widths)
        ]
        return cls(weights, [np.zeros(out, dtype=np.float32) for out in widths[1:]])

    def copy(self) -> Mlp:
        """A network of its own with the same weights."""
        return Mlp([w.copy() for w in self.weights], [b.copy() for b in self.biases])

    @classmethod
    def mean_of(cls, networks: Sequence[Mlp]) -> Mlp:
        """The network whose weights are the mean of theirs.

        Makes sense for networks that set out from the same weights: others have their hidden units
        in different orders.
        """
        weights = zip(*(network.weights for network in networks), strict=True)
        biases = zip(*(network.biases for network in networks), strict=True)
        return cls([np.mean(w, axis=0) for w in weights], [np.mean(b, axis=0) for b in biases])

    def logits(self, x: Matrix) -> Matrix:
        """The class logits (rows, outputs) of standardised rows (rows, inputs)."""
        return self.forward(x)[-1]

    def forward(
        self, x: Matrix, *, dropout: float = 0.0, rng: np.random.Generator | None = None
    ) -> list[Matrix]:
        """The input and every layer's output; the last are the logits.

        With `dropout` and `rng`, hidden units are dropped and the others scaled up.
        """
        activations = [x]
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            value = activations[-1] @ weight.T + bias
            if layer < last:
                np.maximum(value, 0, out=value)
                if dropout and rng is not None:
                    kept = rng.random(value.shape, dtype=np.float32) >= np.float32(dropout)
                    value *= kept * np.float32(1 / (1 - dropout))
            activations.append(value)
        return activations

    def backward(
        self, activations: list[Matrix], gradient: Matrix, *, dropout: float = 0.0
    ) -> list[Matrix]:
        """The gradients of all weights, then of all biases."""
        scale = np.float32(1 / (1 - dropout))
        by_weight: list[Matrix] = []
        by_bias: list[Matrix] = []
        for layer in range(len(self.weights) - 1, -1, -1):
            by_weight.append(gradient.T @ activations[layer])
            by_bias.append(gradient.sum(axis=0))
            if layer:
                # a unit that ReLU or dropout set to zero passes nothing back
                gradient = (gradient @ self.weights[layer]) * (activations[layer] > 0) * scale
        return [*by_weight[::-1], *by_bias[::-1]]


def loss_and_gradient(logits: Matrix, labels: Labels) -> tuple[float, Matrix]:
    """The mean loss of a batch and its derivative by the logits.

    Softmax cross-entropy; a label beyond the outputs means "any class but the first", whose loss
    is ``-log(1 - p[0])``. Both have the gradient ``p - q``, where `q` is the target distribution:
    the class itself, or the softmax over all classes but the first.
    """
    rows, outputs = logits.shape
    probabilities = softmax(logits)
    target = np.zeros_like(logits)
    known = labels < outputs
    target[np.flatnonzero(known), labels[known]] = 1.0
    target[~known, 1:] = softmax(logits[~known, 1:])

    tiny = np.finfo(np.float32).tiny
    chosen = np.where(
        known,
        probabilities[np.arange(rows), np.minimum(labels, outputs - 1)],
        probabilities[:, 1:].sum(axis=1),
    )
    loss = float(-np.log(np.maximum(chosen, tiny)).mean())
    return loss, (probabilities - target) / np.float32(rows)


def one_cycle(step: int, steps: int, peak: float) -> float:
    """The learning rate at `step`: a cosine up to `peak`, then a longer one down to ~0.

    The schedule of Smith and Topin, "Super-convergence" (2018), in two phases.
    """
    turn = max(_WARM_UP * steps - 1, 1e-9)
    if step <= turn:
        low, high, share = peak / _START_DIVISOR, peak, step / turn
    else:
        low, high = peak / _START_DIVISOR / _END_DIVISOR, peak
        share = 1 - (step - turn) / max(steps - 1 - turn, 1e-9)
    return low + (high - low) * (1 - math.cos(math.pi * share)) / 2


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), in place."""

    def __init__(self, parameters: list[Matrix], *, decay: float) -> None:
        self._parameters = parameters
        self._decay = decay
        self._first = [np.zeros_like(p) for p in parameters]
        self._second = [np.zeros_like(p) for p in parameters]
        self._step = 0

    def step(self, gradients: list[Matrix], rate: float) -> None:
        """Change the parameters by one step of size `rate`."""
        self._step += 1
        b1, b2 = _BETAS
        size = np.float32(rate / (1 - b1**self._step))
        correction = np.float32(1 / (1 - b2**self._step))
        for parameter, gradient, first, second in zip(
            self._parameters, gradients, self._first, self._second, strict=True
        ):
            first += np.float32(1 - b1) * (gradient - first)
            second += np.float32(1 - b2) * (gradient * gradient - second)
            parameter *= np.float32(1 - rate * self._decay)
            parameter -= size * first / (np.sqrt(second * correction) + np.float32(_EPSILON))


@dataclass(frozen=True)
class RowSampler:
    """Rows of the training environments, to be drawn by weight."""

    x: Matrix  # (rows, features): standardised
    labels: Labels  # (rows,)
    # (rows,): running sum of the rows' weights, the last of them 1
    cumulative: npt.NDArray[np.float64]

    @classmethod
    def of(cls, x: Matrix, labels: Labels, weights: npt.NDArray[np.float64]) -> RowSampler:
        cumulative = np.cumsum(weights)
        return cls(x, labels, cumulative / cumulative[-1])

    def draw(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """Row numbers."""
        drawn = np.searchsorted(self.cumulative, rng.random(count), side="right")
        return np.minimum(drawn, len(self.x) - 1)


@dataclass(frozen=True)
class Recipe:
    """How one network is trained; see `fit`."""

    hidden: tuple[int, ...] = (64, 32)  # hidden units of each layer
    dropout: float = 0.1  # share of hidden units that are dropped
    # chance that a row lacks a whole family of features, each by itself: a network that has to
    # do without one now and then leans on none
    family_dropout: float = 0.1
    # chance that a row lacks all families of events, as where the sensor does not log them
    event_dropout: float = 0.3
    noise: float = 0.3  # standard deviation of the noise that is added to the standardised features
    rate: float = 3e-3  # peak step size, and weight decay, of AdamW
    decay: float = 1e-2
    steps: int = 500  # steps, and rows of each
    batch: int = 384


@dataclass(frozen=True)
class FeatureFamilies:
    """Which features are told together, and are missing together."""

    numbers: npt.NDArray[np.intp]  # (features,): the family of each
    of_events: npt.NDArray[np.bool_]  # (families,): whether they rest on what stands beside flows


def disturb(
    x: Matrix, recipe: Recipe, families: FeatureFamilies | None, rng: np.random.Generator
) -> Matrix:
    """Standardised rows with noise, and without some of their feature families.

    A feature that is left out is zero, as is one that is missing.
    """
    if recipe.noise:
        x = x + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(recipe.noise)
    if families is not None and (recipe.family_dropout or recipe.event_dropout):
        kept = rng.random((len(x), len(families.of_events))) >= recipe.family_dropout
        silent = rng.random((len(x), 1)) < recipe.event_dropout
        x = x * (kept & ~(silent & families.of_events))[:, families.numbers]
    return x


def fit(
    x: Matrix,
    labels: Labels,
    weights: npt.NDArray[np.float64],
    *,
    outputs: int,
    recipe: Recipe,
    rng: np.random.Generator,
    families: FeatureFamilies | None = None,
) -> Mlp:
    """Train one network on rows drawn in proportion to their weights."""
    network = Mlp.initialise((x.shape[1], *recipe.hidden, outputs), rng)
    optimiser = AdamW([*network.weights, *network.biases], decay=recipe.decay)
    drawn_from = RowSampler.of(x, labels, weights)
    for step in range(recipe.steps):
        rows = drawn_from.draw(recipe.batch, rng)
        batch = disturb(x[rows], recipe, families, rng)
        activations = network.forward(batch, dropout=recipe.dropout, rng=rng)
        _, gradient = loss_and_gradient(activations[-1], labels[rows])
        gradients = network.backward(activations, gradient, dropout=recipe.dropout)
        optimiser.step(gradients, one_cycle(step, recipe.steps, recipe.rate))
    return network
