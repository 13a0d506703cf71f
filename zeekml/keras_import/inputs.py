"""What Keras models were fed with: the features, in which order, and how they were scaled.

Scaling is read from plain numbers only. A pickled scikit-learn scaler would run whatever code it
carries on being loaded, so that is refused, with the way out.
"""

from __future__ import annotations

import difflib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from zeekml.core.text import printable
from zeekml.ensemble.scaler import Scaler
from zeekml.errors import DataError, InputError
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURE_NAMES, SCHEMA_HASH
from zeekml.features.parquet_export import TABLE_SCHEMA
from zeekml.keras_import.hdf5 import UNREADABLE, Array
from zeekml.keras_import.layers import Affine
from zeekml.keras_import.model_config import naming
from zeekml.keras_import.model_file import read_bounded

MAX_INPUT_FILE: Final = 64 << 20
HOW_TO_WRITE: Final = (
    "write it from a fitted StandardScaler with: import numpy; "
    'numpy.savez("scaler.npz", mean=scaler.mean_, scale=scaler.scale_)'
)

_PICKLES: Final = frozenset({".pkl", ".pickle", ".joblib", ".sav", ".dill"})
_COLUMNS: Final = ("mean", "scale", "impute", "fill")
_IDENTITY_COLUMNS: Final = frozenset(TABLE_SCHEMA.names) - set(FEATURE_NAMES)
_NO_CLIP: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """How features become a model's inputs: (x − mean) / scale, and `fill` where x is missing."""

    features: tuple[str, ...] | None  # that the numbers belong to, if the file says
    mean: Array  # one number per feature, as in `scale` and `fill`
    scale: Array
    fill: Array  # in scaled units
    clip: float = _NO_CLIP  # scaled values are cut at ± this

    def split(self) -> tuple[Scaler, Affine]:
        """The scaling in a bundle's single precision, and what that lacks.

        A bundle scales in float32. Where a feature hardly varies, rounding its mean moves it by a
        good part of its scale; so what is rounded away goes into the models' first layers, which
        are multiplied out in float64.
        """
        with np.errstate(over="ignore"):
            mean, scale = self.mean.astype(np.float32), self.scale.astype(np.float32)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise DataError("a mean or scale is beyond single precision")
        factor = scale.astype(np.float64) / self.scale
        offset = (mean.astype(np.float64) - self.mean) / self.scale
        with np.errstate(over="ignore"):
            fill = ((self.fill - offset) / factor).astype(np.float32)
        return Scaler(mean, scale, fill, self.clip), Affine(factor, offset)


def unscaled(count: int) -> Scaling:
    """Features as they are, 0 where missing: for models that scale by themselves."""
    return Scaling(None, np.zeros(count), np.ones(count), np.zeros(count))


def read_scaling(path: Path) -> Scaling:
    """Read a scaler file: .npz, .json, .parquet or .csv.

    It holds `mean` and `scale` (one number per feature, as scikit-learn's `mean_` and `scale_`)
    and may hold `features` (a column `feature` in a table), `impute` (what stands for a missing
    value before scaling), or `fill` (the same after scaling; 0 if neither is there), and `clip`.
    A bundle's scaler.npz is such a file.
    """
    kind = path.suffix.lower()
    if kind not in (".npz", ".json", ".parquet", ".csv"):
        why = "is no scaler file (.npz, .json, .parquet or .csv)"
        if kind in _PICKLES:
            why = "is not read: loading such a file can run code"
        raise InputError(f"{path.name} {why}; {HOW_TO_WRITE}")
    data = read_bounded(path, MAX_INPUT_FILE, HOW_TO_WRITE)
    with _explaining(path.name, f"numbers; {HOW_TO_WRITE}"):
        if kind == ".npz":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > MAX_INPUT_FILE:
                    raise DataError(f"it unpacks to more than {MAX_INPUT_FILE >> 20} MiB")
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return _scaling({name: arrays[name].tolist() for name in arrays.files})
        return _scaling(json.loads(data) if kind == ".json" else _table(data, kind))


def read_feature_names(path: Path) -> tuple[str, ...]:
    """Names of features in their order, from a file.

    It is a table of `zeekml features` or a part of its columns (.parquet), a JSON list (.json), or
    a text with one name in each line.
    """
    data = read_bounded(path, MAX_INPUT_FILE, "name the features in a list")
    with _explaining(path.name, "names"):
        if path.suffix.lower() == ".parquet":
            schema = pq.ParquetFile(io.BytesIO(data)).schema_arrow
            made_for = (schema.metadata or {}).get(b"zeekml_feature_schema", SCHEMA_HASH.encode())
            if made_for != SCHEMA_HASH.encode():
                of = "its features are those of another version of zeekml"
                raise DataError(f"{of}; compute them and train again")
            return check_features([name for name in schema.names if name not in _IDENTITY_COLUMNS])
        if path.suffix.lower() == ".json":
            return check_features(json.loads(data))
        return check_features([line.strip() for line in data.decode().splitlines() if line.strip()])


@contextmanager
def _explaining(file: str, what: str) -> Iterator[None]:
    """Errors inside that say which file they are about, and what ought to be in it."""
    try:
        with naming(file):
            yield
    except (*UNREADABLE, pa.ArrowException) as err:
        raise DataError(f"{file} is damaged or holds something else than {what}") from err


def check_features(names: Any) -> tuple[str, ...]:
    """Raise `DataError` unless these are names of features, each once."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError("the features are not a list of names")
    for name in names:
        if name not in FEATURE_INDEX:
            near = difflib.get_close_matches(name[:60], FEATURE_NAMES, 1)
            hint = f" (is it {near[0]}?)" if near else ""
            raise DataError(f"there is no feature '{printable(name)}'{hint}")
    if not names or len(set(names)) != len(names):
        raise DataError("the features must be named once each, and at least one")
    return tuple(names)


def _table(data: bytes, kind: str) -> dict[str, Any]:
    if kind == ".csv":
        table = pyarrow.csv.read_csv(io.BytesIO(data))
    else:
        file = pq.ParquetFile(io.BytesIO(data))
        if file.metadata.num_rows > len(FEATURE_NAMES):
            raise DataError("it has more rows than there are features")
        table = file.read()
    values = {name: table.column(name).to_pylist() for name in table.column_names}
    if "feature" not in values:
        raise DataError("it has no column 'feature'")
    values["features"] = values.pop("feature")
    return values


def _scaling(values: Any) -> Scaling:
    if not isinstance(values, Mapping):
        raise DataError(f"it does not hold mean and scale; {HOW_TO_WRITE}")
    known = {*_COLUMNS, "clip", "features"}
    if unknown := sorted(set(values) - known):
        raise DataError(f"'{printable(str(unknown[0]))}' is none of {', '.join(sorted(known))}")
    for name in ("mean", "scale"):
        if name not in values:
            raise DataError(f"it lacks {name}; {HOW_TO_WRITE}")
    if "impute" in values and "fill" in values:
        raise DataError("it holds both impute and fill; keep one")
    columns: dict[str, Array] = {}
    for name in (name for name in _COLUMNS if name in values):
        column = columns[name] = np.asarray(values[name], dtype=np.float64)
        if column.ndim != 1 or not np.isfinite(column).all():
            raise DataError(f"{name} is not a list of finite numbers")
    mean, scale = columns["mean"], columns["scale"]
    for name, column in columns.items():
        if len(column) != len(mean):
            raise DataError(f"{name} has {len(column)} numbers, mean has {len(mean)}")
    if not (scale > 0).all():
        raise DataError("scale holds numbers that are not above 0; use 1 for constant features")
    features = values.get("features")
    names = None if features is None else check_features(features)
    if names is not None and len(names) != len(mean):
        raise DataError(f"it names {len(names)} features, but mean has {len(mean)} numbers")
    fill = columns.get("fill", np.zeros(len(mean)))
    if "impute" in columns:
        fill = (columns["impute"] - mean) / scale
    clip = values.get("clip", _NO_CLIP)
    if not isinstance(clip, (int, float)) or not 0 < clip <= _NO_CLIP:
        raise DataError("clip is not a number above 0")
    return Scaling(names, mean, scale, fill, float(clip))
