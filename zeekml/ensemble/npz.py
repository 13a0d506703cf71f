"""Plain arrays as .npz archives: equal bytes for equal values, no pickle, bounded when read."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.errors import BundleError

# what zipfile, zlib and NumPy raise over damaged or hostile archives
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError)

Array = npt.NDArray[Any]


def encode_arrays(arrays: Mapping[str, Array], *, packed: bool = False) -> bytes:
    """An .npz archive like NumPy's, in which nothing tells when it was written."""
    archive = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(archive, "w", method) as file:
        for name, values in arrays.items():
            array = io.BytesIO()
            np.lib.format.write_array(array, values, version=(1, 0), allow_pickle=False)
            # the default would be the time of writing
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o644 << 16
            info.compress_type = method
            file.writestr(info, array.getvalue())
    return archive.getvalue()


def decode_arrays(data: bytes, names: tuple[str, ...], most: int) -> list[Array]:
    """The arrays of an archive that holds just these, and unpacks to so many bytes at most.

    A `BundleError` says the reason alone.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > most:
            raise BundleError(f"unpacks to {unpacked} bytes, at most {most} are allowed")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            if set(arrays.files) != set(names):
                *first, last = names
                raise BundleError(f"holds other arrays than {', '.join(first)} and {last}")
            found = [arrays[name] for name in names]
            if not all(isinstance(array, np.ndarray) for array in found):
                raise BundleError("holds something else than arrays")
            return found
    except (*_DAMAGED, MemoryError) as err:
        raise BundleError("not an .npz archive of plain arrays; make the bundle again") from err
