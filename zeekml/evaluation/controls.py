"""Rows with something taken away, to see what a score rests on."""

from __future__ import annotations

from typing import Final

import numpy as np

from zeekml.datasets.environment import Matrix
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES

PORTS: Final = "ports shuffled"
DIRECTION: Final = "direction hidden"

CONTROLS: Final = {
    PORTS: "what the destination port is was dealt out anew among the environment's rows. A large "
    "loss means that the score rests on port numbers, which attackers choose.",
    DIRECTION: "whether originator and responder are local was hidden. A large loss means that the "
    "score rests on where recordings stood, which differs from network to network.",
}

_PORT_COLUMNS: Final = [
    *(FEATURE_INDEX[f.name] for f in FEATURES if f.family == "port"),
    FEATURE_INDEX["port_share"],
]
_DIRECTION_COLUMNS: Final = [FEATURE_INDEX[f.name] for f in FEATURES if f.family == "direction"]


def altered(matrix: Matrix, control: str, seed: int) -> Matrix:
    """A copy with a control applied."""
    changed = matrix.copy()
    if control == PORTS:
        order = np.random.default_rng([seed, 11]).permutation(len(matrix))
        changed[:, _PORT_COLUMNS] = matrix[order][:, _PORT_COLUMNS]
    elif control == DIRECTION:
        changed[:, _DIRECTION_COLUMNS] = np.nan
    else:
        raise ValueError(f"no such control: {control!r}")
    return changed
