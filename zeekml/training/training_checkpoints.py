"""Training checkpoints: trained members of a run that has not ended, which goes on from them.

Training is cut by Ctrl-C, a reboot or a full disk after an hour of a big run. Each member is kept
as soon as it is trained, under a digest of everything that it came from: rows, weights, seed,
recipe, versions. A run that would train the same member takes it instead, and gets the same bits.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml._version import __version__
from zeekml.core.atomic_write import replacing
from zeekml.core.private_directory import ours_alone, usable
from zeekml.core.serialization import array_parts, arrays_of_parts, decode, seal, unseal
from zeekml.errors import OutputError, StateError
from zeekml.features.feature_schema import SCHEMA_HASH
from zeekml.training.mlp import Mlp
from zeekml.training.trained_ensemble import TrainedMember

_KIND: Final = "member"
_VERSION: Final = 2
_NAME: Final = "zeekml-{digest}.member"
_PATTERNS: Final = ("zeekml-*.member", "zeekml-*.part")


@dataclass
class TrainingCheckpoints:
    """A directory of trained members; it is made with the first of them."""

    directory: Path
    _taken: list[str] = field(default_factory=list)

    @classmethod
    def beside(cls, out: Path) -> TrainingCheckpoints:
        """The place of a run that writes `out`."""
        path = out.absolute()
        return cls(path.with_name(f"{path.name}.unfinished"))

    @property
    def taken(self) -> int:
        """Members that were taken from it so far."""
        return len(self._taken)

    def take(self, digest: str) -> TrainedMember | None:
        """The member that was kept under a digest, None if none is or it is damaged.

        Where others may write, nothing is taken.
        """
        if not ours_alone(self.directory):
            return None
        try:
            data = self._path(digest).read_bytes()
        except OSError:
            return None
        try:
            member = _member(unseal(_KIND, _VERSION, data, least=1))
        except StateError:
            # trained once more, and written over
            return None
        # an append: members are taken by several threads
        self._taken.append(digest)
        return member

    def keep(self, digest: str, member: TrainedMember) -> None:
        """Write a member down, whole or not at all."""
        if not usable(self.directory):
            raise OutputError(
                f"{self.directory}: cannot keep trained members here; it must be a directory of "
                "this account that nobody else may write to: remove it, or write somewhere else"
            )
        network = member.network
        widths = [network.weights[0].shape[1], *(len(bias) for bias in network.biases)]
        facts = msgspec.msgpack.encode((widths, member.outputs, member.left_out))
        try:
            with replacing(self._path(digest)) as file:
                file.write(seal(_KIND, _VERSION, [facts, *array_parts(_arrays(network))]))
        except OSError as error:
            raise OutputError(
                f"{self.directory}: cannot keep trained members here ({error.strerror}); free "
                "space there, or write somewhere else"
            ) from error

    def remove(self) -> None:
        """Remove what is kept: the run is over. What others put there stays."""
        with contextlib.suppress(OSError):
            for pattern in _PATTERNS:
                for path in self.directory.glob(pattern):
                    path.unlink(missing_ok=True)
            self.directory.rmdir()

    def _path(self, digest: str) -> Path:
        return self.directory / _NAME.format(digest=digest)


def digest_of(arrays: Sequence[npt.NDArray[Any]], *facts: object) -> str:
    """A digest of arrays and of whatever else decides what a member becomes.

    Facts count as their ``repr``, which is complete for numbers, text and data classes of them.
    """
    digest = hashlib.blake2b(digest_size=16)
    versions = (__version__, np.__version__, SCHEMA_HASH)
    digest.update(repr((versions, facts)).encode())
    for array in arrays:
        digest.update(repr((array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _member(parts: Sequence[bytes]) -> TrainedMember:
    # its layers' widths, inputs first
    widths, outputs, left_out = decode(parts[0], tuple[list[int], tuple[str, ...], tuple[str, ...]])
    layers = list(pairwise(widths))
    like = Mlp(
        [np.empty((out, into), np.float32) for into, out in layers],
        [np.empty(out, np.float32) for _, out in layers],
    )
    # copies: what is read cannot be written to
    arrays = [array.copy() for array in arrays_of_parts(parts[1:], _arrays(like)).values()]
    return TrainedMember(Mlp(arrays[: len(layers)], arrays[len(layers) :]), outputs, left_out)


def _arrays(network: Mlp) -> dict[str, npt.NDArray[Any]]:
    weights = {f"weight {layer}": array for layer, array in enumerate(network.weights)}
    return weights | {f"bias {layer}": array for layer, array in enumerate(network.biases)}
