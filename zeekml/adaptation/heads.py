"""Each member's last layer fitted anew: held near its start, on labels, reference and site traffic.

The layers before it stay as they are, so what is learned is a softmax regression on the member's
embedding. Plain fine-tuning forgets old threats; three things keep it from that: a penalty on how
far the weights move, the reference set among the rows, and a bound on the move itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from zeekml.adaptation.examples import Example, some_of
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.classes import CLASSES
from zeekml.ensemble.interpreter import MAX_BATCH, Member
from zeekml.ensemble.reference_rows import ReferenceRows
from zeekml.ensemble.scoring import Ensemble
from zeekml.ensemble.tflite_file import read_mlp, write_mlp

STRENGTHS: Final = (0.001, 0.01, 0.1)
"""What the penalty weighs against the mean loss. The less it does, the better the reference is
fitted beside the labels, and the milder is what becomes of the site's own incidents."""

FARTHEST: Final = 0.5
"""How far the last layer of a member may move, as a share of its own size."""

_SHARES: Final = {"labels": 0.5, "reference": 4.0, "traffic": 0.5}
"""What each source of rows weighs, all of its rows together."""

_ROWS: Final = 2_000
_STEPS: Final = 40

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HeadRows:
    """Rows to learn from besides labels: which are of the reference, and which of the site."""

    reference: ReferenceRows
    traffic: npt.NDArray[np.float32]  # unflagged flows of the site, weakly benign

    @classmethod
    def of(
        cls, reference: ReferenceRows, traffic: npt.NDArray[np.float32], seed: int = 0
    ) -> HeadRows:
        """Some of the rows of each."""
        rng = np.random.default_rng(seed)
        own = some_of(len(reference), _ROWS, rng)
        parts = reference.matrix[own], reference.labels[own], reference.episodes[own]
        return cls(ReferenceRows(*parts), traffic[some_of(len(traffic), _ROWS, rng)])


class HeadFit:
    """Fits the last layers of a bundle's members; None where one is not a plain perceptron."""

    def __init__(self, bundle: Bundle, rows: HeadRows) -> None:
        self._ensemble = Ensemble(bundle)
        self._layers = [read_mlp(model) for model in bundle.models]
        self._members = [Member(model) for model in bundle.models]
        self._rows = rows
        self._seen: dict[str, list[Floats]] = {}
        self._fixed = [self._embedded(part) for part in (rows.reference.matrix, rows.traffic)]

    @classmethod
    def possible(cls, bundle: Bundle) -> bool:
        """Whether all members are perceptrons that can be read and written."""
        try:
            for model in bundle.models:
                read_mlp(model)
        except ValueError:
            return False
        return True

    def fit(self, examples: Sequence[Example], strength: float) -> tuple[bytes, ...]:
        """The members' .tflite files, fitted to examples with features that somebody labelled."""
        known = [e for e in examples if e.known and not e.presumed]
        own = [self._of_example(e) for e in known]
        classes = [0 if not e.truth else _place(e.threat) for e in known]
        reference, traffic = self._rows.reference, self._rows.traffic
        weights = np.concatenate(
            [
                *(_SHARES["labels"] * _even(len(e.matrix)) / len(known) for e in known),
                _SHARES["reference"] * _balanced(reference.labels),
                _SHARES["traffic"] * _even(len(traffic)),
            ]
        )
        labels = np.concatenate(
            [
                *(np.full(len(e.matrix), c) for e, c in zip(known, classes, strict=True)),
                reference.labels,
                np.zeros(len(traffic), np.int8),
            ]
        ).astype(np.intp)
        models = []
        for number, (all_weights, biases) in enumerate(self._layers):
            x = np.concatenate(
                [*(part[number] for part in own), *(part[number] for part in self._fixed)]
            )
            start = np.column_stack([all_weights[-1], biases[-1]]).astype(np.float64)
            binary = len(start) < len(CLASSES)
            target = np.minimum(labels, 1) if binary else labels
            head = _fitted(x, target, weights / weights.sum(), start, strength)
            changed = [*all_weights[:-1], head[:, :-1].astype(np.float32)]
            models.append(write_mlp(changed, [*biases[:-1], head[:, -1].astype(np.float32)]))
        return tuple(models)

    def _of_example(self, example: Example) -> list[Floats]:
        if example.id not in self._seen:
            self._seen[example.id] = self._embedded(example.matrix)
        return self._seen[example.id]

    def _embedded(self, matrix: npt.NDArray[np.float32]) -> list[Floats]:
        """Each member's embedding of rows, (n, units)."""
        inputs = self._ensemble.inputs(matrix)
        return [
            np.concatenate(
                [np.empty((0, member.embedding))]
                + [
                    member.embeddings(inputs[at : at + MAX_BATCH]).astype(np.float64)
                    for at in range(0, len(inputs), MAX_BATCH)
                ]
            )
            for member in self._members
        ]


def _place(threat: str) -> int:
    return CLASSES.index(threat) if threat in CLASSES else CLASSES.index("malware")


def _even(rows: int) -> Floats:
    """Equal weights that add up to one."""
    return np.full(rows, 1 / max(rows, 1))


def _balanced(labels: npt.NDArray[np.int8]) -> Floats:
    """Weights that give each class of the reference the same, and add up to one."""
    if not len(labels):
        return np.empty(0)
    counts = np.bincount(labels, minlength=len(CLASSES)).astype(float)
    present = np.count_nonzero(counts)
    weights: Floats = 1.0 / (counts[labels] * present)
    return weights


def _fitted(
    x: Floats, target: npt.NDArray[np.intp], weights: Floats, start: Floats, strength: float
) -> Floats:
    """The last layer (classes, units + 1) that fits best, near its start and not beyond bounds."""
    from scipy.optimize import minimize  # takes a moment, and nothing that scores needs it

    rows = np.column_stack([x, np.ones(len(x))])
    size = float((start**2).sum())

    def loss(flat: Floats) -> tuple[float, Floats]:
        head = flat.reshape(start.shape)
        logits = rows @ head.T
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        shares = odds / odds.sum(axis=1, keepdims=True)
        chosen = shares[np.arange(len(rows)), target]
        moved = head - start
        cost = -float(weights @ np.log(np.maximum(chosen, 1e-12)))
        shares[np.arange(len(rows)), target] -= 1.0
        gradient = (shares * weights[:, None]).T @ rows + 2 * strength * moved / size
        return cost + strength * float((moved**2).sum()) / size, gradient.ravel()

    options = {"maxiter": _STEPS}
    # products so small are slower on several threads
    with threadpool_limits(limits=1):
        found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    moved = found.x.reshape(start.shape) - start
    far = float(np.sqrt((moved**2).sum() / size))
    fitted: Floats = start + moved * min(1.0, FARTHEST / max(far, 1e-12))
    return fitted
