"""Files that Keras saves models in, read without Keras: `.h5` and `.keras`.

    .h5      HDF5; the attribute `model_config` is the configuration, the group `model_weights`
             holds a group per layer whose attribute `weight_names` lists the datasets in it
             (keras/src/legacy/saving/legacy_h5_format.py; Keras 2 and 3 alike, except that names
             end in ":0" in Keras 2).
    .keras   A zip archive of metadata.json, config.json and model.weights.h5, where the weights of
             a layer are `layers/<class in snake case>[_<n>]/vars/<number>`
             (keras/src/saving/saving_lib.py).

The configuration is judged before a weight is read. Nothing is unpacked to disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import stat
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from zeekml.core.text import printable
from zeekml.errors import DataError, InputError
from zeekml.keras_import import hdf5
from zeekml.keras_import.hdf5 import Array
from zeekml.keras_import.model_config import MAX_UNITS, Layer, naming, read_layers

# An honest file of the largest model that fits a bundle is smaller, optimiser included.
MAX_FILE: Final = 256 << 20
MAX_CONFIG: Final = 4 << 20
# weights of the largest model: as float32 they fill the largest member of a bundle
MAX_WEIGHTS: Final = 16 << 20
_MAX_NAMES: Final = 64
_ZIP: Final = b"PK\x03\x04"
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

Weights = Mapping[str, Array]
_Find = Callable[[Layer], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class KerasModel:
    """A model as its file describes it; layers in the order in which rows pass through them."""

    file: str  # its name, fit for messages
    sha256: str  # of its bytes, in hex
    keras_version: str  # what it says, or "unknown"
    layers: tuple[Layer, ...]
    weights: tuple[Weights, ...]  # of each layer: kernel (inputs, units), all others (units,)


def read_keras(path: Path) -> KerasModel:
    """Read a Keras file.

    `InputError`, `DataError`: it is missing, neither HDF5 nor a zip archive, damaged, too large, or
    holds a model that cannot be taken over; the message names the file and, if there is one, layer
    and class. `ZeekmlError`: h5py is not installed.
    """
    if path.is_dir():
        raise InputError(f"{path} is a directory (a SavedModel?); save the model as .keras or .h5")
    name = printable(path.name, 100)
    data = read_bounded(path, MAX_FILE, "save the model without its optimiser")
    with naming(name):
        if data.startswith(hdf5.SIGNATURE):
            version, layers, weights = _read_h5(data)
        elif data.startswith(_ZIP):
            version, layers, weights = _read_archive(data)
        else:
            raise InputError("neither an .h5 nor a .keras file; save the model with model.save()")
    return KerasModel(name, hashlib.sha256(data).hexdigest(), version, layers, weights)


def read_bounded(path: Path, limit: int, remedy: str) -> bytes:
    """The bytes of a regular file of at most `limit` bytes."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is not a regular file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as err:
        raise InputError(f"{path} cannot be read ({err.strerror or err})") from err
    if len(data) > limit:
        raise DataError(f"{path} is larger than {limit >> 20} MiB; {remedy}")
    return data


_Parts = tuple[str, tuple[Layer, ...], tuple[Weights, ...]]


def _read_h5(data: bytes) -> _Parts:
    with hdf5.open_hdf5(data) as file:
        text = hdf5.read_text(file, "model_config", MAX_CONFIG)
        if text is None:
            told = "it holds weights without a model; save the whole model with model.save()"
            raise DataError(told)
        layers = read_layers(_json(text))
        version = hdf5.read_text(file, "keras_version", 100) or "unknown"
        root = hdf5.child(file, "model_weights")
        return printable(version), layers, _all_weights(layers, lambda x: _in_h5(root, x))


def _read_archive(data: bytes) -> _Parts:
    contents = _unpack(data)
    layers = read_layers(_json(contents[_CONFIG]))
    metadata = _json(contents[_METADATA])
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    with hdf5.open_hdf5(contents[_WEIGHTS]) as file:
        root = hdf5.child(file, "layers")
        found = _all_weights(layers, lambda x: _in_archive(root, x))
    return printable(version) if isinstance(version, str) else "unknown", layers, found


def _unpack(data: bytes) -> dict[str, bytes]:
    """The three parts of an archive, by name."""
    limits = {_CONFIG: MAX_CONFIG, _METADATA: MAX_CONFIG, _WEIGHTS: MAX_FILE}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            for name in names:
                # nothing is unpacked to disk, but an archive that tries is nobody's model
                if name.startswith("/") or "\\" in name or ".." in name.split("/"):
                    raise DataError(f"it holds the path '{printable(name)}', which leads elsewhere")
            if len(set(names)) != len(names):
                raise DataError("it holds two files of one name")
            missing = [name for name in limits if name not in names]
            if missing:
                raise DataError(f"it holds no {missing[0]}; save the whole model with model.save()")
            return {
                entry.filename: _unpack_entry(archive, entry, limits[entry.filename])
                for entry in entries
                if entry.filename in limits
            }
    except hdf5.UNREADABLE as err:
        raise DataError("the archive is damaged; save the model again") from err


def _unpack_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{entry.filename} is packed in a way that Keras does not use")
    # what the archive says of its own sizes is not relied upon
    with archive.open(entry) as file:
        data = file.read(limit + 1) if entry.file_size <= limit else b""
    if entry.file_size > limit or len(data) > limit:
        raise DataError(f"{entry.filename} unpacks to more than {limit >> 20} MiB")
    return data


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        raise DataError("the configuration is not valid JSON; save the model again") from err


def _all_weights(layers: Sequence[Layer], find: _Find) -> tuple[Weights, ...]:
    """The weights of all layers, each from the datasets that `find` gives for the layer."""
    width: int | None = None
    total = 0
    found = []
    for layer in layers:
        needed = _needed(layer)
        datasets = find(layer) if needed else {}
        if width is None and needed:
            # of the model's rows: what the first weights take; all other shapes follow from it
            shape = getattr(datasets.get(needed[0]), "shape", None)
            first = int(shape[0]) if isinstance(shape, tuple) and shape else 0
            width = first if 0 < first <= MAX_UNITS else None
        shapes = _shapes(layer, needed, width)
        total += sum(math.prod(shape) for shape in shapes.values())
        if total > MAX_WEIGHTS:
            raise DataError(f"the model has more than {MAX_WEIGHTS:,} weights")
        arrays = {}
        for name, shape in shapes.items():
            try:
                arrays[name] = hdf5.read_array(datasets.get(name), shape)
            except DataError as err:
                raise layer.fail(f"{name}: {err}") from err
        if layer.kind == "Dense":
            width = shapes["kernel"][1]
        found.append(arrays)
    return tuple(found)


def _needed(layer: Layer) -> list[str]:
    """Names of a layer's weights, in the order in which Keras makes and stores them."""
    config = layer.config
    if layer.kind == "Dense":
        return ["kernel", "bias"] if config.get("use_bias", True) else ["kernel"]
    if layer.kind == "BatchNormalization":
        gamma = ["gamma"] if config.get("scale", True) else []
        beta = ["beta"] if config.get("center", True) else []
        return [*gamma, *beta, "moving_mean", "moving_variance"]
    if layer.kind == "Normalization" and config.get("mean") is None:
        return ["mean", "variance"]
    return []


def _shapes(layer: Layer, needed: Sequence[str], width: int | None) -> dict[str, tuple[int, ...]]:
    """What the shapes of a layer's weights must be if it takes `width` numbers."""
    if not needed:
        return {}
    if width is None:
        raise layer.fail(
            f"its weights are missing or damaged, or it takes more than {MAX_UNITS} numbers"
        )
    if layer.kind != "Dense":
        return dict.fromkeys(needed, (width,))
    units = layer.config.get("units")
    if not isinstance(units, int) or not 0 < units <= MAX_UNITS:
        raise layer.fail(f"its units are not a number between 1 and {MAX_UNITS}")
    return {name: (width, units) if name == "kernel" else (units,) for name in needed}


def _in_h5(root: Any, layer: Layer) -> dict[str, Any]:
    """Datasets of a layer in an .h5 file, by the last part of their names."""
    group = None if root is None else hdf5.child(root, layer.name)
    if group is None:
        raise layer.fail("its weights are missing")
    found = {}
    for path in hdf5.read_names(group, "weight_names", _MAX_NAMES):
        name = path.rpartition("/")[2].removesuffix(":0")
        found[name] = hdf5.child(group, path)
    return found


def _in_archive(root: Any, layer: Layer) -> dict[str, Any]:
    """Datasets of a layer in model.weights.h5; there they only have numbers."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", layer.kind).lower()
    name = snake + (f"_{layer.place}" if layer.place else "")
    group = None if root is None else hdf5.child(root, f"{name}/vars")
    if group is None:
        raise layer.fail("its weights are missing; save the model with the current Keras or as .h5")
    return {part: hdf5.child(group, str(i)) for i, part in enumerate(_needed(layer))}
