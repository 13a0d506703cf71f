from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from zeekml.datasets.environment import UNLABELLED, Environment
from zeekml.features.feature_schema import EVENT_START
from zeekml.training.leave_one_out import (
    Fold,
    as_dict,
    as_markdown,
    leave_one_out,
    measure,
)
from zeekml.training.mlp import Recipe
from zeekml.training.trained_ensemble import Prediction
from zeekml.training.trainer import MemberPlan, TrainingSettings, train
from zeekml.training.training_rows import prepare

Make = Callable[..., Environment]


def fold(environment: Environment, log_odds: np.ndarray) -> Fold:
    prediction = Prediction(log_odds, log_odds[:, None], None)
    return Fold(prepare(environment, seed=0), prediction)


def test_figures_of_a_perfect_and_an_inverted_ranking(make_environment: Make) -> None:
    environment = make_environment()
    truth = (environment.labels > 0).astype(np.float64)
    good, bad = measure(fold(environment, truth)), measure(fold(environment, -truth))
    assert good.views["raw"][0] == 1
    assert np.isnan(good.views["raw"][1:]).all()
    assert good.by_class == {"scan": 1.0}
    assert (good.benign, good.malicious) == (500, 80)
    assert bad.by_class == {"scan": 0.0}
    assert good.resolvable == {1e-2: False, 1e-3: False}


def test_unlabelled_rows_do_not_count(make_environment: Make) -> None:
    environment = make_environment()
    truth = (environment.labels > 0).astype(np.float64)
    expected = measure(fold(environment, truth))
    rows = np.flatnonzero(environment.labels == 0)[:50]
    environment.labels[rows] = UNLABELLED
    truth[rows] = 5
    found = measure(fold(environment, truth))
    assert found.views["raw"][0] == expected.views["raw"][0]
    assert found.benign == 450


def test_leave_one_out_and_its_table(make_environment: Make) -> None:
    prepared = [prepare(make_environment(name=f"e{s}", seed=s), seed=0) for s in range(2)]
    prepared.append(prepare(make_environment(name="calm", seed=5, malicious=0), seed=0))
    seen: list[str] = []
    folds = leave_one_out(
        prepared,
        TrainingSettings(0, MemberPlan(1, 1), Recipe(hidden=(8,), steps=80, batch=128)),
        lambda name, done, total: seen.append(f"{name} {done}/{total}"),
    )
    assert [f.prepared.name for f in folds] == ["e0", "e1"]
    assert seen == ["e0 1/2", "e0 2/2", "e1 1/2", "e1 2/2"]
    figures = [measure(f) for f in folds]
    # the other site's scan is enough to find this one's
    assert min(item.views["raw"][0] for item in figures) > 0.9
    table = json.loads(json.dumps(as_dict(figures), allow_nan=False))
    assert table["mean"]["environments"] == 2
    assert set(table["environments"]["e0"]["recall_at_fpr_0.01_by_class"]) == {"scan"}
    lines = as_markdown(figures).splitlines()
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1
    # 500 benign rows tell nothing about one false positive in a hundred, or a thousand
    assert lines[2].count("n/r") == 4
    assert table["environments"]["e0"]["raw"]["recall_at_fpr_0.001"] is None
    assert table["mean"]["raw"]["recall_at_fpr_0.001"] is None
    assert as_dict([])["mean"] is None


def test_no_fold_if_the_others_teach_nothing(make_environment: Make) -> None:
    prepared = [
        prepare(make_environment(name="one"), seed=0),
        prepare(make_environment(name="calm", malicious=0), seed=0),
    ]
    assert leave_one_out(prepared, TrainingSettings(seed=0)) == []


def test_a_fold_knows_what_it_would_be_without_events(make_environment: Make) -> None:
    prepared = prepare(make_environment(name="a"), seed=0)
    ensemble = train([prepared], TrainingSettings(0, MemberPlan(1, 1), Recipe(steps=20, batch=32)))
    assert Fold.of(prepared, ensemble).without_events() is None, "its sensor logged none"
    matrix = prepared.matrix.copy()
    matrix[:, EVENT_START:] = np.random.default_rng(0).random(matrix[:, EVENT_START:].shape)
    told = Fold.of(replace(prepared, matrix=matrix), ensemble)
    silent = told.without_events()
    assert silent is not None
    assert silent.without_events() is None
    assert np.isnan(silent.prepared.matrix[:, EVENT_START:]).all()
    np.testing.assert_array_equal(
        silent.prediction.log_odds, Fold.of(prepared, ensemble).prediction.log_odds
    )
    assert (told.prediction.log_odds != silent.prediction.log_odds).any()
