"""The reference set of a bundle (reference.npz): attacks that no adaptation may make it miss.

Rows of features of attacks, episode by episode, and of benign traffic, from environments that the
bundle learned from. They hold no addresses, names or times. `zeekml adapt` measures every candidate
on them, and learns from them beside a site's labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.ensemble.classes import CLASSES
from zeekml.ensemble.npz import decode_arrays, encode_arrays
from zeekml.errors import BundleError
from zeekml.features.feature_schema import FEATURES

MAX_REFERENCE: Final = 64 << 20
"""Bytes of the largest reference set that is read, packed or unpacked."""

BENIGN: Final = -1
"""The episode of benign rows."""

_ARRAYS: Final = ("matrix", "labels", "episodes")


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceRows:
    """Rows of attacks and of benign traffic."""

    # float32 (n, all features of the schema), NaN where missing; kept to three digits
    matrix: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int8]  # (n,): place in CLASSES
    episodes: npt.NDArray[np.int32]  # (n,): number of the attack that a row is of, or `BENIGN`

    def __len__(self) -> int:
        return len(self.labels)


def encode_reference(reference: ReferenceRows) -> bytes:
    """The bytes of reference.npz."""
    top = np.finfo(np.float16).max
    matrix = np.clip(reference.matrix, -top, top).astype(np.float16)
    return encode_arrays(
        {"matrix": matrix, "labels": reference.labels, "episodes": reference.episodes}, packed=True
    )


def decode_reference(data: bytes) -> ReferenceRows:
    """The reference set from the bytes of its file; a `BundleError` says the reason alone."""
    matrix, labels, episodes = decode_arrays(data, _ARRAYS, MAX_REFERENCE)
    rows = len(labels) if labels.ndim == 1 else -1
    wanted = (
        (matrix, np.float16, (rows, len(FEATURES))),
        (labels, np.int8, (rows,)),
        (episodes, np.int32, (rows,)),
    )
    if any(array.dtype != kind or array.shape != shape for array, kind, shape in wanted):
        raise BundleError("its arrays are not a reference set of this version")
    if rows and (labels.min() < 0 or labels.max() >= len(CLASSES)):
        raise BundleError("holds labels that stand for no class")
    if ((labels == 0) != (episodes == BENIGN)).any() or np.isinf(matrix).any():
        raise BundleError("its arrays contradict each other")
    return ReferenceRows(matrix.astype(np.float32), labels, episodes)
