"""Scaler files, names of features, and models that do not fit them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zeekml.ensemble.scoring import Ensemble
from zeekml.errors import DataError, InputError
from zeekml.features.feature_schema import FEATURE_NAMES
from zeekml.features.parquet_export import TABLE_SCHEMA
from zeekml.keras_import.convert import import_keras
from zeekml.keras_import.inputs import read_feature_names, read_scaling

NAMES = list(FEATURE_NAMES[:3])
MEAN, SCALE = [1.0, 2.5, -0.25], [0.5, 1.0, 3.0]


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def as_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def table(path: Path, **columns: Any) -> Path:
    frame = pd.DataFrame(columns)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["npz", "json", "parquet", "csv"])
def test_every_form_of_a_scaler(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"scaler.{kind}"
    if kind == "npz":
        npz(path, mean=MEAN, scale=SCALE, impute=[1.0, 3.5, -0.25])
    elif kind == "json":
        as_json(path, {"mean": MEAN, "scale": SCALE, "impute": [1.0, 3.5, -0.25]})
    else:
        table(path, feature=NAMES, mean=MEAN, scale=SCALE, impute=[1.0, 3.5, -0.25])
    scaling = read_scaling(path)
    np.testing.assert_array_equal(scaling.mean, MEAN)
    np.testing.assert_array_equal(scaling.scale, SCALE)
    np.testing.assert_array_equal(scaling.fill, [0.0, 1.0, 0.0])
    assert scaling.features == (tuple(NAMES) if kind in ("parquet", "csv") else None)


def test_what_a_scaler_file_may_say(tmp_path: Path) -> None:
    plain = read_scaling(as_json(tmp_path / "a.json", {"mean": MEAN, "scale": SCALE}))
    assert not plain.fill.any()
    assert plain.clip > 1e38
    said = {"mean": MEAN, "scale": SCALE, "fill": [0, -1, 0], "clip": 5, "features": NAMES}
    full = read_scaling(as_json(tmp_path / "b.json", said))
    np.testing.assert_array_equal(full.fill, [0, -1, 0])
    assert full.clip == 5
    assert full.features == tuple(NAMES)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"mean": MEAN}, "lacks scale"),
        ({"mean": MEAN, "scale": [1, 1]}, "scale has 2 numbers, mean has 3"),
        ({"mean": MEAN, "scale": [1, 0, 1]}, "not above 0; use 1 for constant features"),
        ({"mean": MEAN, "scale": [1, 1e-60, 1]}, "beyond single precision"),
        ({"mean": [1, None, 2], "scale": SCALE}, "finite numbers"),
        ({"mean": ["a", "b", "c"], "scale": SCALE}, "something else than numbers"),
        ({"mean": [MEAN], "scale": [SCALE]}, "not a list of finite numbers"),
        ({"mean": MEAN, "scale": SCALE, "std": SCALE}, "'std' is none of"),
        ({"mean": MEAN, "scale": SCALE, "fill": MEAN, "impute": MEAN}, "both impute and fill"),
        ({"mean": MEAN, "scale": SCALE, "clip": 0}, "clip is not"),
        ({"mean": MEAN, "scale": SCALE, "features": NAMES[:2]}, "names 2 features"),
        ({"mean": MEAN, "scale": SCALE, "features": ["a", "b", "c"]}, "no feature 'a'"),
        ([1, 2], "does not hold mean and scale"),
    ],
)
def test_scalers_that_do_not_do(said: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_scaling(as_json(tmp_path / "scaler.json", said)).split()


def test_scalers_that_could_run_code_are_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "ran").touch, ())

    for name in ("scaler.pkl", "scaler.joblib", "scaler.pickle"):
        (tmp_path / name).write_bytes(pickle.dumps(Evil()))
        with pytest.raises(InputError, match=r"can run code; .*numpy\.savez"):
            read_scaling(tmp_path / name)
    # inside an archive, and under another name
    np.savez(tmp_path / "object.npz", mean=np.array([Evil()], object), scale=np.ones(1))
    (tmp_path / "renamed.npz").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "renamed.json").write_bytes(pickle.dumps(Evil()))
    for name in ("object.npz", "renamed.npz", "renamed.json"):
        with pytest.raises(DataError, match="damaged or holds something else"):
            read_scaling(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InputError, match="no scaler file"):
        read_scaling(tmp_path / "scaler.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_scaling(tmp_path / "missing.npz")


@pytest.mark.parametrize("kind", ["npz", "json", "parquet", "csv"])
def test_scalers_that_are_damaged(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"scaler.{kind}"
    for data in (b"", b"\xff\xfe\x00", np.random.default_rng(3).bytes(3000)):
        path.write_bytes(data)
        with pytest.raises(DataError, match=f"scaler.{kind}"):
            read_scaling(path)


def test_names_of_features(tmp_path: Path) -> None:
    lines, listed, whole = (tmp_path / n for n in ("a.txt", "b.json", "c.parquet"))
    lines.write_text("\n".join(NAMES) + "\n\n")
    as_json(listed, NAMES)
    pq.write_table(TABLE_SCHEMA.empty_table(), whole)
    assert read_feature_names(lines) == read_feature_names(listed) == tuple(NAMES)
    assert read_feature_names(whole) == FEATURE_NAMES
    pq.write_table(TABLE_SCHEMA.empty_table().select(["ts", *NAMES]), whole)
    assert read_feature_names(whole) == tuple(NAMES)
    old = TABLE_SCHEMA.with_metadata({"zeekml_feature_schema": "0" * 64})
    pq.write_table(pa.Table.from_batches([], old), whole)
    with pytest.raises(DataError, match="another version of zeekml"):
        read_feature_names(whole)
    for text, message in (
        ("duratoin", r"no feature 'duratoin' \(is it duration\?\)"),
        (f"{NAMES[0]}\n{NAMES[0]}", "once each"),
        ("", "at least one"),
    ):
        lines.write_text(text)
        with pytest.raises(DataError, match=message):
            read_feature_names(lines)
    whole.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="damaged"):
        read_feature_names(whole)


def test_models_and_features_that_do_not_fit(trained: Any, tmp_path: Path) -> None:
    def attempt(**given: Any) -> Callable[[], Any]:
        return lambda: import_keras([trained.models / "model_0.h5"], tmp_path / "out", **given)

    few = npz(tmp_path / "few.npz", mean=MEAN, scale=SCALE)
    names = tmp_path / "names.txt"
    names.write_text("\n".join(NAMES))
    others = as_json(
        tmp_path / "others.json", {"mean": MEAN, "scale": SCALE, "features": NAMES[::-1]}
    )
    width = len(FEATURE_NAMES)
    for attempted, message in (
        (attempt(), r"model_0\.h5 does not scale its inputs .*--scaler"),
        (attempt(scaler=few), f"for 3 features, but there are {width}"),
        (attempt(scaler=trained.scaler, features=names), f"for {width} features, but there are 3"),
        (attempt(scaler=few, features=names), f"takes {width} numbers but would get 3"),
        (attempt(scaler=others, features=names), "or for another order"),
    ):
        with pytest.raises((DataError, InputError), match=message):
            attempted()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["benign", "attack"], "no class 'attack'"),
        (["scan", "dos"], "benign and at least one more"),
        (["benign", "scan", "scan"], "once each"),
        (["benign"], "at least one more"),
        (["benign", "dos"], "tells 3 classes apart"),
        (None, "tells 3 classes apart; name them in its order with --classes"),
    ],
)
def test_classes_that_do_not_fit(
    classes: list[str] | None, message: str, trained: Any, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        import_keras(
            [trained.models / "three.h5"],
            tmp_path / "out",
            scaler=trained.scaler,
            classes=classes,
        )


def test_a_feature_that_hardly_varies(trained: Any, tmp_path: Path) -> None:
    """Rounding a mean to single precision may move a feature by as much as it varies."""
    with np.load(trained.scaler) as arrays:
        mean, scale = arrays["mean"].copy(), arrays["scale"].copy()
    mean[0], scale[0] = 7.123456789, 2e-6
    made = import_keras(
        [trained.models / "model_0.h5"],
        tmp_path / "bundle",
        scaler=npz(tmp_path / "narrow.npz", mean=mean, scale=scale),
    )
    rows = trained.matrix[:200].copy()
    rows[:, 0] = np.float32(mean[0])
    rows[100:, 0] = np.nan
    inputs = np.nan_to_num((rows.astype(np.float64) - mean) / scale)
    with np.errstate(all="ignore"):
        wanted = _by_hand(trained.models / "model_0.h5", inputs)
    assert np.abs(Ensemble(made.bundle).score(rows).score - wanted).max() < 1e-5


def _by_hand(path: Path, x: np.ndarray) -> np.ndarray:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:
        for name in ("dense", "dense_1", "dense_2"):
            layer = file[f"model_weights/{name}/sequential/{name}"]
            x = x @ layer["kernel"][:].astype(np.float64) + layer["bias"][:]
            x = x if name == "dense_2" else np.maximum(x, 0)
    return 1 / (1 + np.exp(-x[:, 0]))
