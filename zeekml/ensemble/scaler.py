"""The scaler of a bundle (scaler.npz): feature columns standardised to the members' inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.ensemble.npz import decode_arrays, encode_arrays
from zeekml.errors import BundleError

MAX_SCALER: Final = 4 << 20
"""Bytes of the largest scaler that is read, packed or unpacked."""

_ARRAYS: Final = ("mean", "scale", "fill", "clip")

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Scaler:
    """How the matrix's columns become the members' inputs.

    input = clip((x − mean) / scale, ±clip), and `fill` where x is missing.
    """

    mean: Vector
    scale: Vector
    fill: Vector  # in scaled units
    clip: float  # above 0

    def check(self, features: int) -> None:
        """Raise `BundleError`, with the reason alone, unless usable for that many features."""
        for name, values in (("mean", self.mean), ("scale", self.scale), ("fill", self.fill)):
            if values.dtype != np.float32 or values.shape != (features,):
                raise BundleError(f"{name} is not one float32 per feature ({features})")
            if not np.isfinite(values).all():
                raise BundleError(f"{name} holds numbers that are not finite")
        if not (self.scale > 0).all():
            raise BundleError("scale holds numbers that are not above 0")
        if not (np.isfinite(self.clip) and self.clip > 0):
            raise BundleError("clip is not a number above 0")


def encode_scaler(scaler: Scaler) -> bytes:
    """The bytes of scaler.npz."""
    arrays = scaler.mean, scaler.scale, scaler.fill, np.array(scaler.clip, dtype=np.float32)
    return encode_arrays(dict(zip(_ARRAYS, arrays, strict=True)))


def decode_scaler(data: bytes) -> Scaler:
    """Scaler from the bytes of scaler.npz, unchecked; a `BundleError` says the reason alone."""
    mean, scale, fill, clip = decode_arrays(data, _ARRAYS, MAX_SCALER)
    if clip.shape != () or clip.dtype.kind != "f":
        raise BundleError("clip is not a single number")
    return Scaler(mean, scale, fill, float(clip))
