"""The scaler of a bundle (scaler.npz): feature columns standardised to the members' inputs."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.errors import BundleError

MAX_SCALER: Final = 4 << 20
"""Bytes of the largest scaler that is read, packed or unpacked."""

_ARRAYS: Final = ("mean", "scale", "fill", "clip")
# what zipfile, zlib and NumPy raise over damaged or hostile archives
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError)

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
    """An .npz archive like NumPy's, but with equal bytes for equal values."""
    arrays = scaler.mean, scaler.scale, scaler.fill, np.array(scaler.clip, dtype=np.float32)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, values in zip(_ARRAYS, arrays, strict=True):
            array = io.BytesIO()
            np.lib.format.write_array(array, values, version=(1, 0), allow_pickle=False)
            # the default would be the time of writing
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o644 << 16
            file.writestr(info, array.getvalue())
    return archive.getvalue()


def decode_scaler(data: bytes) -> Scaler:
    """Scaler from the bytes of scaler.npz, unchecked; a `BundleError` says the reason alone."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > MAX_SCALER:
            raise BundleError(f"unpacks to {unpacked} bytes, at most {MAX_SCALER} are allowed")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            if set(arrays.files) != set(_ARRAYS):
                raise BundleError("holds other arrays than mean, scale, fill and clip")
            mean, scale, fill, clip = (arrays[name] for name in _ARRAYS)
            if not all(isinstance(a, np.ndarray) for a in (mean, scale, fill, clip)):
                raise BundleError("holds something else than arrays")
            if clip.shape != () or clip.dtype.kind != "f":
                raise BundleError("clip is not a single number")
            return Scaler(mean, scale, fill, float(clip))
    except (*_DAMAGED, MemoryError) as err:
        raise BundleError("not an .npz archive of plain arrays; make the bundle again") from err
