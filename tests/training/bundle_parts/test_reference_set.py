"""Which rows of the training data a bundle carries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from zeekml.datasets.environment import Environment
from zeekml.ensemble.classes import CLASSES
from zeekml.ensemble.reference_rows import BENIGN
from zeekml.errors import InputError
from zeekml.training.bundle_parts.reference_set import EPISODES, ROWS, reference_set
from zeekml.training.training_rows import Prepared, prepare

Make = Callable[..., Environment]


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def prepared(make_environment: Make) -> list[Prepared]:
    return [
        prepare(make_environment(name=name, seed=seed), seed=1)
        for seed, name in enumerate(("here", "there"))
    ]


def test_recorded_attacks_come_whole_and_synthetic_ones_fill_up(prepared: list[Prepared]) -> None:
    found = reference_set(prepared, 1, tell=silent)
    labels = {CLASSES[label] for label in found.labels}
    assert {"benign", "scan"} < labels
    assert len(labels) > 4
    assert ((found.labels == 0) == (found.episodes == BENIGN)).all()
    for label in range(1, len(CLASSES)):
        own = found.labels == label
        episodes, counts = np.unique(found.episodes[own], return_counts=True)
        assert len(episodes) <= EPISODES
        assert (counts <= ROWS).all()
    again = reference_set(prepared, 1, tell=silent)
    np.testing.assert_array_equal(found.matrix, again.matrix)
    np.testing.assert_array_equal(found.episodes, again.episodes)


def test_it_can_be_restricted(prepared: list[Prepared]) -> None:
    found = reference_set(prepared, 1, names=["there"], tell=silent)
    alone = reference_set(prepared[1:], 1, tell=silent)
    np.testing.assert_array_equal(found.matrix, alone.matrix)
    with pytest.raises(InputError, match="no environment is called nowhere; here, there"):
        reference_set(prepared, 1, names=["nowhere"], tell=silent)
