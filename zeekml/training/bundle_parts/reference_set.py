"""The reference set that a bundle carries: some attacks of what it learned from, and benign rows.

Recorded attacks first; for threats of which there are few, synthetic ones as well. An episode is
what one host does to others, or many to one in a flood, in one recording.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.datasets.environment import Labels, Matrix
from zeekml.ensemble.classes import CLASSES
from zeekml.ensemble.reference_rows import BENIGN, ReferenceRows
from zeekml.errors import InputError
from zeekml.features.extractor import feature_matrix
from zeekml.features.feature_schema import FEATURES
from zeekml.training.synthetic.inject import synthetic_copy
from zeekml.training.training_rows import Prepared

EPISODES: Final = 40
"""Attacks of each threat at most, shared out over the environments."""

ROWS: Final = 24
"""Rows of one attack."""

BENIGN_ROWS: Final = 2_000

_DOS: Final = CLASSES.index("dos")
_KNOWN: Final = range(1, len(CLASSES))

Rows = npt.NDArray[np.intp]
Tell = Callable[[str, int, int], None]


def reference_set(
    prepared: Sequence[Prepared], seed: int, *, names: Collection[str] = (), tell: Tell
) -> ReferenceRows:
    """The reference set of some environments, of all by default; an `InputError` if one is unknown.

    What a bundle is shipped to others with can be restricted to data that may be passed on.
    """
    known = {item.name for item in prepared}
    for name in names:
        if name not in known:
            raise InputError(f"no environment is called {name}; {', '.join(sorted(known))}")
    own = [item for item in prepared if not names or item.name in names]
    rng = np.random.default_rng([seed, 22])
    found = _Collected(rng)
    for number, item in enumerate(own):
        tell("reference set", number, len(own))
        left = len(own) - number
        flows, labels = item.environment.flows, item.environment.labels
        for rows in _episodes(flows, labels, item.environment.captures):
            found.add(item.matrix, labels, rows, left)
        benign = np.flatnonzero(labels == 0)
        count = min(BENIGN_ROWS // len(own), len(benign))
        found.add_benign(item.matrix[np.sort(rng.choice(benign, count, replace=False))])
        found.next_environment()
    for item in own:
        if not found.few():
            break
        for stretch in synthetic_copy(item.environment, seed=seed):
            wanted = np.isin(stretch.labels, found.few())
            if wanted.any():
                matrix = feature_matrix(stretch.flows)
                labels = np.where(wanted, stretch.labels, 0).astype(np.int8)
                one = np.zeros(len(labels), np.int32)
                for rows in _episodes(stretch.flows, labels, one):
                    found.add(matrix, labels, rows, 1)
    return found.reference()


def _episodes(flows: pa.Table, labels: Labels, captures: npt.NDArray[np.int32]) -> Iterator[Rows]:
    """The rows of each attack: of one recording, threat and host, in order of time."""
    rows = np.flatnonzero((labels > 0) & (labels < len(CLASSES)))
    own = flows.take(pa.array(rows))
    orig, resp = (own.column(f"id.{end}_h").to_pylist() for end in ("orig", "resp"))
    groups: dict[tuple[int, int, str], list[int]] = {}
    for place, row in enumerate(rows.tolist()):
        label = int(labels[row])
        host = resp[place] if label == _DOS else orig[place]
        groups.setdefault((int(captures[row]), label, str(host)), []).append(row)
    for group in groups.values():
        yield np.array(group, np.intp)


class _Collected:
    """Rows as they come in."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._parts: list[tuple[Matrix, int, int]] = []  # rows, label, episode
        self._waiting: dict[int, list[Matrix]] = {label: [] for label in _KNOWN}
        self._counts = dict.fromkeys(_KNOWN, 0)
        self._left = 1

    def add(self, matrix: Matrix, labels: Labels, rows: Rows, left: int) -> None:
        """Take in an attack of one of `left` environments that are still to come."""
        chosen = rows
        if len(rows) > ROWS:
            # evenly over its time: what it begins with is not what it is like
            chosen = rows[np.linspace(0, len(rows) - 1, ROWS).astype(int)]
        label = int(labels[rows[0]])
        self._left = left
        self._waiting[label].append(matrix[chosen])

    def add_benign(self, matrix: Matrix) -> None:
        """Take in benign rows."""
        self._parts.append((matrix, 0, BENIGN))

    def next_environment(self) -> None:
        """Keep some of the attacks of this environment, its share of what there is room for."""
        for label, waiting in self._waiting.items():
            room = -(-(EPISODES - self._counts[label]) // self._left)
            order = self._rng.permutation(len(waiting))[: max(room, 0)]
            for number in np.sort(order).tolist():
                self._keep(waiting[number], label)
            waiting.clear()

    def few(self) -> list[int]:
        """Threats of which there are few attacks."""
        for label, waiting in self._waiting.items():
            for matrix in waiting[: EPISODES - self._counts[label]]:
                self._keep(matrix, label)
            waiting.clear()
        return [label for label, count in self._counts.items() if count < EPISODES]

    def reference(self) -> ReferenceRows:
        """All that was kept."""
        self.few()
        empty = np.empty((0, len(FEATURES)), np.float32)
        matrix = np.concatenate([empty, *(part[0] for part in self._parts)])
        sizes = [len(part[0]) for part in self._parts]
        labels = np.repeat([part[1] for part in self._parts], sizes).astype(np.int8)
        episodes = np.repeat([part[2] for part in self._parts], sizes).astype(np.int32)
        return ReferenceRows(matrix, labels, episodes)

    def _keep(self, matrix: Matrix, label: int) -> None:
        self._counts[label] += 1
        self._parts.append((matrix, label, sum(self._counts.values()) - 1))
