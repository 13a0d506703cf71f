"""Keras models in a bundle give what they give in Keras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zeekml as library
from zeekml.ensemble.bundle import load_bundle
from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES
from zeekml.ensemble.direction import asks_own_web_server
from zeekml.ensemble.scoring import Ensemble
from zeekml.features.feature_schema import FEATURE_NAMES
from zeekml.keras_import.convert import import_keras

KERAS2 = Path(__file__).parent / "keras2"
FIVE = ("model_0.h5", "model_1.keras", "model_2.h5", "model_3.keras", "model_4.keras")
LOG = Path(__file__).parent.parent.parent / "sample_logs" / "zeek_tsv"


def test_five_models_and_their_mean(zeekml: Any, trained: Any, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = zeekml(
        "bundle", "import-keras", *(trained.models / name for name in FIVE),
        "--scaler", trained.scaler, "--out", out, "--name", "five", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [m["file"] for m in told["members"]] == list(FIVE)
    assert {tuple(m["outputs"]) for m in told["members"]} == {BINARY_CLASSES}
    assert zeekml("bundle", "verify", out).returncode == 0
    wanted = trained.mean(*FIVE)
    # from the log, not from the table: features, scaling and all
    scored = library.score(LOG, bundle=load_bundle(out))
    score = scored["score"].to_numpy()
    assert len(score) == len(wanted)
    assert np.abs(score - wanted).max() < 1e-5
    accuracy = ((score > 0.5) == trained.labels).mean()
    assert accuracy == ((wanted > 0.5) == trained.labels).mean()
    assert accuracy > 0.9
    assert scored["threat"].isna().all()


@pytest.mark.parametrize("name", [*FIVE, "model_5.keras", "model_6.h5", "sure.keras"])
def test_each_model_alone(name: str, trained: Any, tmp_path: Path) -> None:
    made = import_keras([trained.models / name], tmp_path / "bundle", scaler=trained.scaler)
    scores = Ensemble(made.bundle).score(trained.matrix)
    assert np.abs(scores.score - trained.mean(name)).max() < 1e-5
    if name == "sure.keras":
        # at least one end is reached, as far as single precision goes
        far = np.minimum(trained.mean(name), 1 - trained.mean(name))
        assert far.min() < 1e-7
        assert far.max() > 0.01
        assert np.isfinite(scores.log_odds).all()


def test_both_formats_give_the_same_member(trained: Any, tmp_path: Path) -> None:
    made = import_keras(
        [
            trained.models / n
            for n in ("model_2.h5", "model_5.keras", "model_6.h5", "model_1.keras")
        ],
        tmp_path / "bundle",
        scaler=trained.scaler,
    )
    first, second, third, fourth = made.bundle.models
    assert first == second
    assert third == fourth


@pytest.mark.parametrize("name", ["adapted.keras", "given.h5", "same.keras"])
def test_models_that_scale_by_themselves(name: str, trained: Any, tmp_path: Path) -> None:
    made = import_keras([trained.models / name], tmp_path / "bundle")
    scores = Ensemble(made.bundle).score(trained.matrix)
    assert np.abs(scores.score - trained.mean(name)).max() < 1e-5


def test_models_that_know_threats(trained: Any, tmp_path: Path) -> None:
    order = ("benign", "scan", "dos")
    made = import_keras(
        [trained.models / "three.h5", trained.models / "model_0.h5"],
        tmp_path / "bundle",
        scaler=trained.scaler,
        classes=order,
    )
    scores = Ensemble(made.bundle).score(trained.matrix)
    assert np.abs(scores.score - trained.mean("three.h5", "model_0.h5")).max() < 1e-5
    given = trained.expected["three.h5"].astype(np.float64)
    shares = np.zeros((len(given), len(CLASSES)))
    shares[:, [CLASSES.index(name) for name in order]] = given
    wanted = shares[:, 1:] / shares[:, 1:].sum(axis=1, keepdims=True)
    clear = trained.mean("three.h5") > 1e-3
    assert np.abs(scores.classes - wanted)[clear].max() < 1e-4
    assert set(np.unique(scores.threat)) <= {CLASSES.index("scan") - 1, CLASSES.index("dos") - 1}


def test_eight_classes_are_ours_in_our_order(trained: Any, tmp_path: Path) -> None:
    made = import_keras([trained.models / "eight.keras"], tmp_path / "a", scaler=trained.scaler)
    assert made.outputs == (CLASSES,)
    scores = Ensemble(made.bundle).score(trained.matrix)
    assert np.abs(scores.score - trained.mean("eight.keras")).max() < 1e-5
    named = import_keras(
        [trained.models / "eight.keras"],
        tmp_path / "b",
        scaler=trained.scaler,
        classes=[CLASSES[0], *reversed(CLASSES[1:])],
    )
    other = Ensemble(named.bundle).score(trained.matrix)
    # where the direction of a flow has a say in its threat, names do not only change places
    rows = np.setdiff1d(np.arange(len(trained.matrix)), asks_own_web_server(trained.matrix))
    assert len(rows) > 1000
    assert np.abs(other.classes[rows] - scores.classes[rows, ::-1]).max() < 1e-6


def test_a_model_that_calls_malicious_0(trained: Any, tmp_path: Path) -> None:
    made = import_keras(
        [trained.models / "model_0.h5"],
        tmp_path / "bundle",
        scaler=trained.scaler,
        classes=["malicious", "benign"],
    )
    scores = Ensemble(made.bundle).score(trained.matrix)
    assert np.abs(1 - scores.score - trained.mean("model_0.h5")).max() < 1e-5


@pytest.mark.parametrize("name", ["sequential.h5", "functional.h5", "functional.keras"])
def test_files_of_keras_2(name: str, tmp_path: Path) -> None:
    # saved by tf_keras 2.21, the last of Keras 2, with what it predicted; see keras2/README.md
    pytest.importorskip("h5py")
    with np.load(KERAS2 / "expected.npz") as arrays:
        rows, wanted = arrays["x"], arrays[name.partition(".")[0]][:, -1]
    (tmp_path / "names.txt").write_text("\n".join(FEATURE_NAMES[10:16]) + "\n")
    np.savez(tmp_path / "scaler.npz", mean=np.zeros(6), scale=np.ones(6))
    made = import_keras(
        [KERAS2 / name],
        tmp_path / "bundle",
        scaler=tmp_path / "scaler.npz",
        features=tmp_path / "names.txt",
    )
    matrix = np.full((len(rows), len(FEATURE_NAMES)), np.nan, np.float32)
    matrix[:, 10:16] = rows
    assert made.models[0].keras_version == "2.21.0"
    assert np.abs(Ensemble(made.bundle).score(matrix).score - wanted).max() < 1e-6


def test_notices_of_models_that_name_no_threat(zeekml: Any, trained: Any, tmp_path: Path) -> None:
    out, bundle = tmp_path / "out", tmp_path / "bundle"
    files = [trained.models / name for name in FIVE]
    made = zeekml("bundle", "import-keras", *files, "--scaler", trained.scaler, "--out", bundle)
    assert made.returncode == 0, made.stderr
    done = zeekml("score", LOG, "--out", out, "--bundle", bundle)
    assert done.returncode == 0, done.stderr
    notices = [json.loads(line) for line in (out / "notice.log").read_text().splitlines()]
    # without a threat there is one note for all, but for those that floors name; the message says
    # that the threat is not known
    by_models = [n for n in notices if "floor" not in n["zeekml_why"][0]]
    assert {notice["note"] for notice in by_models} == {"ZeekML::Malware_Spread"}
    assert all("threat unknown" in notice["msg"] for notice in by_models)
    assert {notice["zeekml_threshold"] for notice in by_models} == {0.5}
    sources = {notice["src"] for notice in by_models if "src" in notice}
    assert {"10.20.5.66", "198.51.100.66"} & sources
    assert "data that the bundle does not state" in zeekml("bundle", "show", bundle).stdout


def test_the_same_files_give_the_same_bytes(trained: Any, tmp_path: Path) -> None:
    digests = {
        import_keras(
            [trained.models / name for name in FIVE], tmp_path / place, scaler=trained.scaler
        ).bundle.digest
        for place in ("a", "b")
    }
    assert len(digests) == 1
