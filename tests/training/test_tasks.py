from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from zeekml.datasets.environment import UNLABELLED, Environment
from zeekml.training.tasks import (
    TaskSource,
    draw_support,
    draw_task,
    host_groups,
    part_hosts,
)

Make = Callable[..., Environment]


def source(labels: list[int], hosts: list[int], time: list[float] | None = None) -> TaskSource:
    y = np.array(labels, dtype=np.int8)
    return TaskSource(
        name="here",
        x=np.zeros((len(y), 1), dtype=np.float32),
        labels=y,
        weights=(y >= 0).astype(float),
        hosts=np.array(hosts),
        time=np.arange(len(y), dtype=float) if time is None else np.array(time),
    )


def site(hosts: int = 12, flows: int = 30) -> TaskSource:
    """Even hosts attack in half of their flows, odd ones never do."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(hosts), flows)
    labels = np.where((numbers % 2 == 0) & (rng.random(len(numbers)) < 0.5), 1 + numbers % 3, 0)
    return source(labels.tolist(), numbers.tolist(), rng.random(len(numbers)).tolist())


@pytest.mark.parametrize("ordered", [False, True])
def test_sides_share_no_host_and_are_ordered_when_asked(ordered: bool) -> None:
    here, rng = site(), np.random.default_rng(1)
    for _ in range(50):
        parted = part_hosts(here, rng, ordered=ordered)
        assert parted is not None
        first, second = parted
        assert not set(here.hosts[first]) & set(here.hosts[second])
        for side in parted:
            assert {0} < set(here.labels[side].tolist())
        if ordered:
            assert here.time[first].max() <= here.time[second].min()


def test_an_environment_with_one_attacker_cannot_be_parted() -> None:
    here = source([0] * 10 + [1] * 10, [1] * 5 + [2] * 5 + [3] * 10)
    assert part_hosts(here, np.random.default_rng(0)) is None
    assert draw_task(here, 2, 2, np.random.default_rng(0)) is None


def test_one_with_benign_rows_alone_neither() -> None:
    here = source([0] * 10, list(range(10)))
    assert part_hosts(here, np.random.default_rng(0), ordered=True) is None


def test_tasks_take_few_labels_of_some_threats() -> None:
    here, rng = site(), np.random.default_rng(2)
    threats = set()
    for _ in range(60):
        task = draw_task(here, 3, 5, rng)
        assert task is not None
        assert not set(here.hosts[task.support]) & set(here.hosts[task.query])
        labels = here.labels[task.support]
        assert (labels == 0).sum() == 3
        assert 1 <= (labels > 0).sum() <= 3
        threats.add(frozenset(here.labels[task.query].tolist()))
    assert len(threats) > 3


def test_unlabelled_rows_are_never_drawn() -> None:
    here = source([UNLABELLED] * 20 + [0, 0, 1, 1], [0] * 20 + [1, 2, 3, 4])
    rows = draw_support(here, np.ones(24, dtype=bool), 10, np.random.default_rng(0))
    assert sorted(rows.tolist()) == [20, 21, 22, 23]


def test_rows_are_drawn_by_weight() -> None:
    here = source([0] * 3, [0, 1, 2])
    here.weights[:] = [0.0, 1.0, 99.0]
    rng, side = np.random.default_rng(0), np.ones(3, dtype=bool)
    drawn = [int(draw_support(here, side, 1, rng)[0]) for _ in range(200)]
    assert drawn.count(0) == 0
    assert drawn.count(2) > 180


def test_forged_addresses_belong_to_what_they_attack(
    make_environment: Make, make_table: Callable[..., pa.Table]
) -> None:
    rows = make_table(benign=20, malicious=6).to_pylist()
    for number, row in enumerate(row for row in rows if row["label"] == "scan"):
        # three forged ones at one target, and one host that scans
        if number < 3:
            row.update({"id.orig_h": f"198.51.100.{number}", "id.resp_h": "10.9.9.9"})
    environment = make_environment(pa.Table.from_pylist(rows))
    groups = host_groups(environment)
    originators = np.array(environment.flows["id.orig_h"].to_pylist())
    forged = np.char.startswith(originators.astype(str), "198.51.100.")
    assert forged.sum() == 3
    assert len(set(groups[forged].tolist())) == 1
    for originator in set(originators[~forged].tolist()):
        assert len(set(groups[originators == originator].tolist())) == 1
    assert not set(groups[forged].tolist()) & set(groups[~forged].tolist())
