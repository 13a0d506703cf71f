from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from zeekml.evaluation.few_shot import (
    Learned,
    Support,
    areas,
    as_they_are,
    feedback,
    few_shot,
    member_weights,
    tuned,
    weighed,
)
from zeekml.training.meta_learning import AdaptationRule
from zeekml.training.mlp import Mlp, RowSampler
from zeekml.training.tasks import TaskSource

LABELS = np.array([True, False, True, False, False])


def looks_at(feature: int, strength: float = 1.0) -> Mlp:
    """A network whose log-odds are one of two features."""
    weight = np.zeros((2, 2), dtype=np.float32)
    weight[1, feature] = strength
    return Mlp([weight], [np.zeros(2, dtype=np.float32)])


def site(hosts: int = 16, flows: int = 60) -> TaskSource:
    """Feature 0 tells malicious flows; feature 1 tells nothing, but is loud on benign flows."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(hosts), flows)
    labels = ((numbers % 2 == 0) & (rng.random(len(numbers)) < 0.5)).astype(np.int8)
    x = rng.standard_normal((len(numbers), 2)).astype(np.float32)
    x[:, 0] += 2.5 * labels
    x[:, 1] += 1.5 * (1 - labels)
    return TaskSource("here", x, labels, np.ones(len(labels)), numbers, rng.random(len(labels)))


@pytest.fixture
def learned() -> Learned:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, 2)).astype(np.float32)
    replay = RowSampler.of(x, (x[:, 0] > 0).astype(np.int8), np.ones(300))
    return Learned([looks_at(0), looks_at(1)], [True, True], [replay, replay])


def test_weighing_finds_the_member_that_knows_the_site(learned: Learned) -> None:
    ways = {"none": partial(as_they_are, learned), "weighed": partial(weighed, learned)}
    found = few_shot(site(), ways, seed=0, counts=(1, 10), draws=10)
    assert len(found) == 2 * 2 * 10
    by_way = {
        (way, count): np.mean(
            [o.average_precision for o in found if (o.way, o.labels) == (way, count)]
        )
        for way in ways
        for count in (1, 10)
    }
    # one label is malicious, and ranks nothing
    assert by_way["weighed", 1] == by_way["none", 1]
    assert by_way["weighed", 10] > by_way["none", 10] + 0.1


def test_labels_and_what_is_judged_share_no_host(learned: Learned) -> None:
    here = site()
    # rows carry their number, so that a way can tell which it was given
    here.x[:, 1] = np.arange(len(here.x))
    met = []

    def spy(support: Support, x: np.ndarray) -> np.ndarray:
        labelled, judged = (here.hosts[rows[:, 1].astype(int)] for rows in (support.x, x))
        met.append(set(labelled.tolist()) & set(judged.tolist()))
        assert len(support.labels) == 10
        assert (support.labels > 0).sum() == 5
        return x[:, 0].astype(float)

    few_shot(here, {"spy": spy}, seed=0, counts=(10,), draws=5)
    assert met == [set()] * 5


def test_nothing_comes_of_an_environment_that_cannot_be_parted(learned: Learned) -> None:
    here = site(hosts=1)
    assert few_shot(here, {"none": partial(as_they_are, learned)}, seed=0) == []


def test_the_same_seed_gives_the_same_outcomes(learned: Learned) -> None:
    ways = {"tuned": partial(tuned, learned, AdaptationRule(steps=5))}
    found = [few_shot(site(), ways, seed=3, counts=(5,), draws=3) for _ in range(2)]
    assert found[0] == found[1]


def test_marking_false_alarms_quietens_them(learned: Learned) -> None:
    loud = Learned([looks_at(1)], [True], learned.replays[:1])
    found = {(o.way, o.labels): o for o in feedback(site(), loud, seed=0)}
    assert found["none", 50].recall[0] < 0.05
    assert found["feedback", 50].average_precision > found["none", 50].average_precision


def test_no_feedback_where_all_happens_at_once(learned: Learned) -> None:
    here = site()
    here.time[:] = 0.0
    assert feedback(here, learned, seed=0) == []


def test_areas_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    said = np.round(rng.standard_normal((60, 4)), 1)
    malicious = rng.random(60) < 0.4
    expected = [roc_auc_score(malicious, said[:, member]) for member in range(4)]
    assert areas(said, malicious) == pytest.approx(expected)


def test_who_ranks_better_counts_more() -> None:
    good, bad = np.where(LABELS, 1.0, -1.0), np.where(LABELS, -1.0, 1.0)
    weights = member_weights(np.column_stack([bad, good, good * 9]), LABELS)
    assert weights[1] == weights[2] > 1000 * weights[0]


@pytest.mark.parametrize("labels", [np.zeros(5, dtype=bool), np.ones(5, dtype=bool), LABELS[:0]])
def test_labels_of_one_side_say_nothing(labels: np.ndarray) -> None:
    said = np.random.default_rng(0).standard_normal((len(labels), 4))
    assert member_weights(said, labels).tolist() == [0.25] * 4


@given(arrays(np.float64, (5, 3), elements=st.floats(-50, 50)), st.permutations(range(3)))
def test_weights_add_up_and_follow_their_members(said: np.ndarray, order: list[int]) -> None:
    weights = member_weights(said, LABELS)
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).all()
    assert member_weights(said[:, order], LABELS) == pytest.approx(weights[order])
    # ranks alone count, and doubling keeps them
    assert member_weights(said * 2, LABELS).tolist() == weights.tolist()
