from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zeekml.datasets.read import read_environment
from zeekml.ensemble.bundle import load_bundle
from zeekml.ensemble.scoring import Ensemble
from zeekml.errors import InputError
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.build import BuildReport, build_bundle
from zeekml.training.leave_one_out import as_markdown
from zeekml.training.meta_learning import MetaRecipe
from zeekml.training.mlp import Recipe
from zeekml.training.trained_ensemble import FEATURE_SET
from zeekml.training.trainer import MemberPlan
from zeekml.training.training_rows import prepare

Make = Callable[..., pa.Table]
QUICK = Recipe(hidden=(16, 8), steps=60, batch=128)
PAIR = MemberPlan(binary=1, eight_class=1, meta=MetaRecipe(steps=5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_table: Make) -> Path:
    folder = tmp_path_factory.mktemp("data") / "private | folder"
    folder.mkdir()
    for seed, name in enumerate(["alpha", "beta", "unwanted"]):
        pq.write_table(make_table(seed=seed), folder / f"{name}.parquet")
    pq.write_table(pa.table({"x": [1]}), folder / "stray.parquet")
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> BuildReport:
    return build(folder, folder.parent / "bundle")


def build(folder: Path, out: Path) -> BuildReport:
    steps: list[tuple[str, int, int]] = []
    report = build_bundle(
        [str(folder)],
        out,
        name="tiny",
        exclude=["unwanted"],
        seed=3,
        plan=PAIR,
        recipe=QUICK,
        progress=lambda *step: steps.append(step),
    )
    assert steps[0][0] == "reading"
    assert steps[-1] == ("writing", 1, 1)
    assert all(done <= total for _, done, total in steps)
    return report


def test_bundle_scores_as_the_trained_ensemble_did(report: BuildReport, folder: Path) -> None:
    bundle = load_bundle(report.bundle.path)
    assert bundle.digest == report.bundle.digest
    assert bundle.manifest.features == FEATURE_SET
    assert [source.environment for source in bundle.manifest.training] == ["alpha", "beta"]
    item = prepare(read_environment(folder / "alpha.parquet"), seed=3)
    scores = Ensemble(bundle).score(item.matrix)
    labels = item.environment.labels
    assert np.median(scores.score[labels > 0]) > np.quantile(scores.score[labels == 0], 0.95)
    assert bundle.manifest.thresholds == report.fitted.thresholds.values
    evaluation = bundle.manifest.evaluation
    assert set(evaluation["leave_one_environment_out"]["environments"]) == {"alpha", "beta"}
    assert evaluation["seed"] == 3


def test_a_second_run_gives_the_same_bytes(report: BuildReport, folder: Path) -> None:
    again = build(folder, folder.parent / "elsewhere")
    for file in sorted(report.bundle.path.iterdir()):
        assert (again.bundle.path / file.name).read_bytes() == file.read_bytes(), file.name


def test_usual_values_are_natural_and_of_benign_rows(report: BuildReport) -> None:
    usual = report.bundle.manifest.usual
    assert set(usual) == set(FEATURE_SET)
    assert usual["orig_pkts"].p50 == pytest.approx(8, abs=0.01)
    assert usual["service_none"].p95 == 0
    for name, values in usual.items():
        assert values.p05 <= values.p50 <= values.p95
        if FEATURES[FEATURE_INDEX[name]].transform == "flag":
            assert {values.p05, values.p95} <= {0.0, 1.0}


def test_card_tells_what_matters_and_no_folders(report: BuildReport, folder: Path) -> None:
    card = report.bundle.model_card
    for heading in (
        "Intended use",
        "Training data",
        "Recipe",
        "Leaving one environment out",
        "Scores and thresholds",
        "What it does not see",
        "How to make it again",
    ):
        assert f"## {heading}" in card
    assert "unwanted left out: excluded by request" in card
    assert "stray left out: no labelled flows (column 'ts' is missing)" in card
    assert str(folder.parent) not in card
    assert "--exclude unwanted" in card
    assert as_markdown(report.fitted.figures) in card
    assert "unknown: check before shipping" in card
    for line in card.splitlines():
        if line.startswith("| alpha"):
            assert line.endswith("|")


def test_one_environment_alone_cannot_be_calibrated(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no environment can be held out.*alpha"):
        build_bundle([str(folder / "alpha.parquet")], tmp_path / "out", recipe=QUICK, plan=PAIR)
    assert not (tmp_path / "out").exists()
