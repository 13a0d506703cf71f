from __future__ import annotations

from collections.abc import Callable

import click
import numpy as np
import pyarrow as pa
import pytest

from zeekml.cli.evaluate import evaluate as evaluate_command
from zeekml.cli.train import train as train_command
from zeekml.datasets.environment import OTHER_ATTACK, UNLABELLED, Environment
from zeekml.datasets.equal_rows import duplicate_weights, equal_records
from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES
from zeekml.features.extractor import feature_matrix
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.meta_learning import MetaRecipe
from zeekml.training.mlp import Recipe
from zeekml.training.trained_ensemble import FEATURE_SET, fit_scaler, member_inputs, standardised
from zeekml.training.trainer import (
    LEARNERS,
    Learner,
    MemberPlan,
    TrainingSettings,
    columns_of,
    train,
)
from zeekml.training.training_rows import (
    MAX_SOURCE_ROWS,
    ONE_SIDED_WEIGHT,
    Prepared,
    prepare,
    row_weights,
)

Make = Callable[..., Environment]
QUICK = Recipe(hidden=(8,), steps=60, batch=64)
PAIR = MemberPlan(binary=1, eight_class=1, meta=MetaRecipe(steps=5))


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, len(FEATURES))).astype(np.float32) * 9


@pytest.fixture
def prepared(make_environment: Make) -> list[Prepared]:
    return [prepare(make_environment(name=f"e{seed}", seed=seed), seed=0) for seed in range(2)]


def test_prepare_keeps_captures_apart(make_environment: Make) -> None:
    environment = make_environment()
    found = prepare(environment, seed=0)
    assert np.array_equal(found.matrix, feature_matrix(environment.flows), equal_nan=True)
    assert len(found.synthetic) == len(found.synthetic_labels) > 1000
    assert set(np.unique(found.synthetic_labels)) >= {0, 3, 4, 5}


def test_duplicates_by_flow_level_features_and_label() -> None:
    matrix = np.repeat(rows(2), 3, axis=0)
    labels = np.array([0, 0, 0, 1, 1, 0], dtype=np.int8)
    context = next(i for i, f in enumerate(FEATURES) if f.family == "src60")
    matrix[:, context] = np.arange(6)
    third = 1 / 3
    assert duplicate_weights(matrix, labels) == pytest.approx([third] * 3 + [0.5, 0.5, 1])
    assert len(np.unique(equal_records(matrix, labels))) == 3
    assert len(duplicate_weights(matrix[:0], labels[:0])) == 0


def test_benign_rows_are_half_and_classes_count_by_their_root() -> None:
    labels = np.array([0] * 10 + [1] * 16 + [2] * 4 + [UNLABELLED] * 5, dtype=np.int8)
    weights = row_weights(rows(len(labels)), labels)
    assert weights.sum() == pytest.approx(1)
    assert weights[labels == 0].sum() == pytest.approx(0.5)
    assert weights[labels == UNLABELLED].sum() == 0
    # 16 and 4 rows, none repeated: masses 4 to 2
    assert weights[labels == 1].sum() / weights[labels == 2].sum() == pytest.approx(2)


@pytest.mark.parametrize("label", [0, 1, OTHER_ATTACK])
def test_one_sided_environments_count_less(label: int) -> None:
    weights = row_weights(rows(6), np.full(6, label, dtype=np.int8))
    assert weights.sum() == pytest.approx(ONE_SIDED_WEIGHT)
    assert row_weights(rows(6), np.full(6, UNLABELLED, dtype=np.int8)).sum() == 0


def test_scaler_ignores_missing_values() -> None:
    x = np.array([[1, np.nan], [3, np.nan], [100, np.nan]], dtype=np.float32)
    scaler = fit_scaler(x, np.array([1.0, 1.0, 0.0]))
    assert scaler.mean.tolist() == [2, 0]
    assert scaler.scale == pytest.approx([1.01, 0.01])
    scaled = standardised(scaler, x)
    assert scaled.dtype == np.float32
    assert scaled[0, 0] == pytest.approx(-1 / 1.01)
    assert scaled[2].tolist() == [5, 0]
    scaler.check(2)


def test_training_repeats_itself_and_learns(prepared: list[Prepared]) -> None:
    seen: list[tuple[int, int]] = []
    first = train(
        prepared,
        TrainingSettings(seed=7, plan=PAIR, recipe=QUICK),
        lambda *done: seen.append(done),
    )
    second = train(prepared, TrainingSettings(seed=7, plan=PAIR, recipe=QUICK))
    assert seen == [(1, 2), (2, 2)]
    assert [m.outputs for m in first.members] == [BINARY_CLASSES, CLASSES]
    for a, b in zip(first.members, second.members, strict=True):
        assert [w.tobytes() for w in a.network.weights] == [w.tobytes() for w in b.network.weights]
    assert first.scaler.mean.tobytes() == second.scaler.mean.tobytes()
    labels = prepared[0].environment.labels
    log_odds = first.predict(prepared[0].matrix).log_odds
    assert np.median(log_odds[labels > 0]) > np.quantile(log_odds[labels == 0], 0.95)


def test_prediction_is_the_mean_of_the_members(prepared: list[Prepared]) -> None:
    ensemble = train(prepared, TrainingSettings(seed=0, plan=PAIR, recipe=QUICK))
    prediction = ensemble.predict(prepared[0].matrix[:20])
    x = member_inputs(ensemble.scaler, prepared[0].matrix[:20])
    binary = ensemble.members[0].network.logits(x)
    eight = ensemble.members[1].network.logits(x).astype(np.float64)
    malicious = np.log(np.exp(eight[:, 1:]).sum(axis=1))
    expected = np.stack([binary[:, 1] - binary[:, 0], malicious - eight[:, 0]], axis=1)
    assert np.allclose(prediction.member_log_odds, expected, atol=1e-5)
    assert np.allclose(prediction.log_odds, expected.mean(axis=1), atol=1e-5)
    shares = prediction.threat_shares
    assert shares is not None
    assert np.allclose(shares, np.exp(eight[:, 1:] - malicious[:, None]), atol=1e-5)


def test_binary_members_alone_know_no_threats(prepared: list[Prepared]) -> None:
    ensemble = train(
        prepared, TrainingSettings(seed=0, plan=MemberPlan(1, 0, meta=None), recipe=QUICK)
    )
    assert ensemble.predict(prepared[0].matrix[:3]).threat_shares is None


def test_members_leave_out_environments_from_four_on(prepared: list[Prepared]) -> None:
    few = train(prepared, TrainingSettings(seed=0, plan=PAIR, recipe=QUICK))
    assert all(member.left_out == () for member in few.members)
    many = train(
        prepared * 2, TrainingSettings(seed=0, plan=MemberPlan(2, 2, meta=None), recipe=QUICK)
    )
    assert all(len(member.left_out) == 1 for member in many.members)
    assert len({member.left_out for member in many.members}) > 1


def test_coverage_is_no_input() -> None:
    assert "window60_seen" in FEATURE_INDEX
    assert not any(name.endswith("_seen") for name in FEATURE_SET)


def test_big_sources_are_sampled(make_environment: Make) -> None:
    item = prepare(make_environment(), seed=0)
    many = 2 * MAX_SOURCE_ROWS
    labels = np.tile(np.array([0, 1], dtype=np.int8), many // 2)
    big = Prepared(item.environment, item.matrix, rows(many), labels)
    ensemble = train(
        [big], TrainingSettings(seed=0, plan=MemberPlan(1, 0, meta=None), recipe=QUICK)
    )
    assert np.isfinite(ensemble.scaler.mean).all()


def test_nothing_to_learn(make_environment: Make) -> None:
    only_benign = prepare(make_environment(name="calm", benign=20, malicious=0), seed=0)
    with pytest.raises(ValueError, match="benign and malicious"):
        train([only_benign], TrainingSettings(seed=0, recipe=QUICK))


def test_members_do_without_some_families(prepared: list[Prepared]) -> None:
    plan = MemberPlan(2, 0, meta=MetaRecipe(steps=2), without=((), ("port", "size")))
    whole, part = train(prepared, TrainingSettings(seed=0, plan=plan, recipe=QUICK)).members
    gone = columns_of(("port", "size"))
    assert len(gone) > 10
    assert (whole.network.weights[0][:, gone] != 0).any()
    assert (part.network.weights[0][:, gone] == 0).all()
    others = np.setdiff1d(np.arange(len(FEATURE_SET)), gone)
    assert (part.network.weights[0][:, others] != 0).any()


def test_what_a_member_never_saw_changes_nothing(prepared: list[Prepared]) -> None:
    plan = MemberPlan(1, 0, meta=None, without=(("port", "size"),))
    seen = train(prepared, TrainingSettings(seed=0, plan=plan, recipe=QUICK))
    columns = [FEATURE_INDEX[FEATURE_SET[i]] for i in columns_of(("port",))]
    rows = prepared[0].matrix
    changed = rows.copy()
    changed[:, columns] = 1 - changed[:, columns]
    assert np.array_equal(seen.predict(rows).log_odds, seen.predict(changed).log_odds)


@pytest.mark.parametrize("learner", LEARNERS)
def test_each_learner_has_a_plan(learner: Learner) -> None:
    plan = MemberPlan.of(learner)
    assert plan.learner == learner
    assert all((c.meta is None) == (learner == "joint") for c in plan.networks(QUICK))


def test_the_commands_offer_every_learner() -> None:
    for command in (train_command, evaluate_command):
        option = next(p for p in command.params if p.name == "learner")
        assert isinstance(option.type, click.Choice)
        assert tuple(option.type.choices) == LEARNERS
        assert option.default == MemberPlan().learner


def test_half_of_the_usual_members_do_without_what_is_site_bound() -> None:
    without = [member.without for member in MemberPlan().networks(QUICK)]
    assert sum(not families for families in without) == len(without) / 2
    assert all(len(columns_of([name])) for families in without for name in families)


def test_an_environment_may_know_next_to_nothing(
    make_table: Callable[..., pa.Table], make_environment: Make
) -> None:
    table = make_table(seed=4)
    for name in ("service", "duration", "conn_state", "orig_bytes", "resp_bytes", "orig_pkts"):
        empty = pa.nulls(len(table), table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), name, empty)
    poor = prepare(make_environment(table, name="poor"), seed=1)
    missing = np.isnan(poor.matrix).all(axis=0)
    assert missing.sum() > 3
    # no row is made up or dropped, and what is missing stays so
    assert len(poor.matrix) == len(table)

    rich = prepare(make_environment(name="rich", seed=5), seed=1)
    for sites in ([poor], [poor, rich]):
        ensemble = train(sites, TrainingSettings(seed=7, plan=PAIR, recipe=QUICK))
        for member in ensemble.members:
            for array in (*member.network.weights, *member.network.biases):
                assert np.isfinite(array).all()
        for site in sites:
            log_odds = ensemble.predict(site.matrix).log_odds
            labels = site.environment.labels
            assert np.isfinite(log_odds).all()
            assert np.median(log_odds[labels > 0]) > np.median(log_odds[labels == 0])
