from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from zeekml.training.member_weights import areas, member_weights

LABELS = np.array([True, False, True, False, False])


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
    with pytest.raises(ValueError, match="benign and malicious"):
        areas(said, labels)


@given(arrays(np.float64, (5, 3), elements=st.floats(-50, 50)), st.permutations(range(3)))
def test_weights_add_up_and_follow_their_members(said: np.ndarray, order: list[int]) -> None:
    weights = member_weights(said, LABELS)
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).all()
    assert member_weights(said[:, order], LABELS) == pytest.approx(weights[order])
    # ranks alone count, and doubling keeps them
    assert member_weights(said * 2, LABELS).tolist() == weights.tolist()
