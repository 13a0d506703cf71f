"""Reading HDF5 from memory as Keras writes it, and nothing else that HDF5 can do.

HDF5 files can point to other files (external links, external storage, virtual datasets), and can
pack a little data into a lot. Keras writes none of it: its datasets lie in the file in one piece.
So whatever is not a plain array of floats under plain groups is refused before it is read.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

try:
    import h5py
except ImportError:
    h5py = None

from zeekml.core.text import printable
from zeekml.errors import DataError, ZeekmlError

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"

Array = npt.NDArray[np.float64]

_FLOAT_SIZES: Final = (2, 4, 8)
UNREADABLE: Final = (
    *(OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError),
    *(EOFError, MemoryError, zipfile.BadZipFile, zlib.error),
)
"""What h5py, zipfile and other readers raise over damaged or hostile files."""


@contextmanager
def open_hdf5(data: bytes) -> Iterator[Any]:
    """An HDF5 file in memory, as an `h5py.File`; what h5py raises inside is a `DataError`."""
    if h5py is None:
        raise ZeekmlError("reading Keras files needs h5py: pip install 'zeekml[keras]'")
    try:
        with h5py.File(h5py.h5f.open_file_image(data)) as file:
            yield file
    except UNREADABLE as err:
        raise DataError("the HDF5 part is damaged; save the model again") from err


def read_text(node: Any, attribute: str, limit: int) -> str | None:
    """A text of at most `limit` bytes in an attribute of a group; None if there is none."""
    if attribute not in node.attrs:
        return None
    stored = node.attrs.get_id(attribute)
    if stored.shape != () or h5py.check_string_dtype(stored.dtype) is None:
        raise DataError(f"the attribute {attribute} is not a text")
    # texts of fixed length could claim any, others lie in the file and are no longer than it
    if stored.dtype.itemsize > limit:
        raise DataError(f"the attribute {attribute} is longer than {limit} bytes")
    value = node.attrs[attribute]
    text = value.decode() if isinstance(value, bytes) else str(value)
    if len(text) > limit:
        raise DataError(f"the attribute {attribute} is longer than {limit} bytes")
    return text


def read_names(node: Any, attribute: str, limit: int) -> list[str]:
    """A list of texts in an attribute of a group; empty if there is none."""
    if attribute not in node.attrs:
        return []
    stored = node.attrs.get_id(attribute)
    if len(stored.shape) != 1 or stored.shape[0] > limit:
        raise DataError(f"the attribute {attribute} is not a list of at most {limit} names")
    if stored.shape[0] == 0:
        return []
    if h5py.check_string_dtype(stored.dtype) is None:
        raise DataError(f"the attribute {attribute} is not a list of names")
    values = node.attrs[attribute]
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist()]


def child(group: Any, path: str) -> Any | None:
    """The group or dataset at a path below a group; None if there is none. Links are refused."""
    node = group
    for name in path.split("/"):
        if not isinstance(node, h5py.Group) or name in ("", "."):
            return None
        link = node.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"'{printable(path)}' is a link, which is not followed")
        node = node[name]
    return node


def read_array(dataset: Any, shape: tuple[int, ...]) -> Array:
    """The values of a dataset, which must be floats of this shape in the file itself, as float64.

    An error does not say which: the caller knows the layer.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise DataError("its weights are missing")
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in _FLOAT_SIZES:
        raise DataError("its weights are not floating point numbers")
    if dataset.shape != shape:
        raise DataError(f"its weights have the shape {dataset.shape} instead of {shape}")
    plan = dataset.id.get_create_plist()
    if plan.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
        raise DataError("its weights are packed or elsewhere, which Keras never writes")
    if plan.get_external_count():
        raise DataError("its weights lie in another file, which is not read")
    # what a damaged type makes of its bytes is found out when the weights are used
    with np.errstate(all="ignore"):
        return np.asarray(dataset[()], dtype=np.float64)
