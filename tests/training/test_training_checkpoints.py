"""A run that was cut short goes on from the members it had trained, to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zeekml.datasets.environment import Environment
from zeekml.errors import OutputError
from zeekml.training.build import build_bundle
from zeekml.training.distillation import Distillation
from zeekml.training.mlp import Recipe
from zeekml.training.trained_ensemble import TrainedEnsemble, TrainedMember
from zeekml.training.trainer import MemberPlan, TrainingSettings, train
from zeekml.training.training_checkpoints import TrainingCheckpoints
from zeekml.training.training_rows import Prepared, prepare

PLAN = MemberPlan(binary=2, eight_class=1)
RECIPE = Recipe(steps=20, hidden=(8,))

Make = Callable[..., Environment]


class CutError(Exception):
    """Stands for a run's sudden end."""


@pytest.fixture
def prepared(make_environment: Make) -> list[Prepared]:
    return [prepare(make_environment(name=f"net{n}", seed=n), seed=1) for n in range(2)]


def same(one: TrainedEnsemble, other: TrainedEnsemble) -> bool:
    return all(same_member(a, b) for a, b in zip(one.members, other.members, strict=True))


def same_member(one: TrainedMember, other: TrainedMember) -> bool:
    arrays = zip(
        [*one.network.weights, *one.network.biases],
        [*other.network.weights, *other.network.biases],
        strict=True,
    )
    return (one.outputs, one.left_out) == (other.outputs, other.left_out) and all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays
    )


def test_members_that_learn_from_others_are_kept_likewise(
    prepared: list[Prepared], tmp_path: Path
) -> None:
    plan = replace(PLAN, distillation=Distillation(members=2, rows=500, recipe=RECIPE))
    whole = train(prepared, TrainingSettings(seed=3, plan=plan, recipe=RECIPE))
    assert [member.network.weights[0].shape[0] for member in whole.members] == [8, 8]
    for taken in (0, plan.steps):
        kept = TrainingCheckpoints.beside(tmp_path / "out")
        again = train(
            prepared, TrainingSettings(seed=3, plan=plan, recipe=RECIPE, checkpoints=kept)
        )
        assert kept.taken == taken
        assert same(again, whole)


def test_members_are_taken_as_they_were(prepared: list[Prepared], tmp_path: Path) -> None:
    whole = train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE))
    first = TrainingCheckpoints.beside(tmp_path / "out")
    train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE, checkpoints=first))
    again = TrainingCheckpoints.beside(tmp_path / "out")
    taken = train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE, checkpoints=again))
    assert (first.taken, again.taken) == (0, 3)
    assert same(taken, whole)
    # what is taken can go on learning
    assert taken.members[0].network.weights[0].flags.writeable


@pytest.mark.parametrize("other", ["seed", "recipe", "data"])
def test_nothing_else_is_taken(
    prepared: list[Prepared], make_environment: Make, tmp_path: Path, other: str
) -> None:
    kept = TrainingCheckpoints.beside(tmp_path / "out")
    train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE, checkpoints=kept))
    seed, recipe = 3, RECIPE
    if other == "seed":
        seed = 4
    elif other == "recipe":
        recipe = Recipe(steps=21, hidden=(8,))
    else:
        prepared = [prepared[0], prepare(make_environment(name="net1", seed=9), seed=1)]
    again = TrainingCheckpoints.beside(tmp_path / "out")
    trained = train(
        prepared, TrainingSettings(seed=seed, plan=PLAN, recipe=recipe, checkpoints=again)
    )
    assert again.taken == 0
    assert same(trained, train(prepared, TrainingSettings(seed=seed, plan=PLAN, recipe=recipe)))


def test_a_damaged_member_is_trained_again(prepared: list[Prepared], tmp_path: Path) -> None:
    kept = TrainingCheckpoints.beside(tmp_path / "out")
    whole = train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE, checkpoints=kept))
    damaged, cut, _ = sorted(kept.directory.iterdir())
    data = bytearray(damaged.read_bytes())
    data[-9] ^= 1
    damaged.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:-5])
    again = TrainingCheckpoints.beside(tmp_path / "out")
    assert same(
        train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE, checkpoints=again)),
        whole,
    )
    assert again.taken == 1


def test_remove_leaves_what_others_put_there(prepared: list[Prepared], tmp_path: Path) -> None:
    kept = TrainingCheckpoints.beside(tmp_path / "out")
    train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE, checkpoints=kept))
    (kept.directory / "notes.txt").write_text("mine")
    kept.remove()
    assert [path.name for path in kept.directory.iterdir()] == ["notes.txt"]
    (kept.directory / "notes.txt").unlink()
    kept.remove()
    assert not kept.directory.exists()


def test_a_place_that_cannot_be_written_is_said(prepared: list[Prepared], tmp_path: Path) -> None:
    (tmp_path / "out.unfinished").write_text("a file, no directory")
    kept = TrainingCheckpoints.beside(tmp_path / "out")
    with pytest.raises(OutputError, match=r"out\.unfinished: cannot keep trained members"):
        train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE, checkpoints=kept))


def test_nothing_is_taken_where_others_may_write(prepared: list[Prepared], tmp_path: Path) -> None:
    kept = TrainingCheckpoints.beside(tmp_path / "out")
    train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE, checkpoints=kept))
    assert kept.directory.stat().st_mode & 0o077 == 0
    kept.directory.chmod(0o777)
    again = TrainingCheckpoints.beside(tmp_path / "out")
    with pytest.raises(OutputError, match="nobody else may write to"):
        train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE, checkpoints=again))
    assert again.taken == 0


def test_folders_above_are_made(prepared: list[Prepared], tmp_path: Path) -> None:
    kept = TrainingCheckpoints.beside(tmp_path / "new" / "folder" / "out")
    train(prepared, TrainingSettings(seed=3, plan=PLAN, recipe=RECIPE, checkpoints=kept))
    assert len(list((tmp_path / "new" / "folder" / "out.unfinished").iterdir())) == 3


def test_a_bundle_in_the_way_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    told: list[str] = []
    with pytest.raises(OutputError, match="exists already"):
        build_bundle(["x"], tmp_path / "out", progress=lambda what, *_: told.append(what))
    with pytest.raises(OutputError, match="not a bundle"):
        build_bundle(["x"], tmp_path / "out", overwrite=True)
    assert told == []


def test_a_bundle_after_a_cut_is_that_of_one_run(make_environment: Make, tmp_path: Path) -> None:
    tables = [f"net{n}={tmp_path / f'net{n}.parquet'}" for n in range(3)]
    for n in range(3):
        make_environment(name=f"net{n}", seed=n)
    whole = build_bundle(tables, tmp_path / "whole", plan=PLAN, recipe=RECIPE)

    def cut(what: str, done: int, _total: int) -> None:
        if what.startswith("evaluating on net1") and done:
            raise CutError

    out = tmp_path / "cut"
    with pytest.raises(CutError):
        build_bundle(tables, out, plan=PLAN, recipe=RECIPE, progress=cut)
    assert not out.exists()
    again = build_bundle(tables, out, plan=PLAN, recipe=RECIPE)
    assert again.taken >= len(PLAN.outputs()) + 1
    assert again.bundle.digest == whole.bundle.digest
    assert not (tmp_path / "cut.unfinished").exists()
