"""Last layers fitted anew: near their start, and the rest of the member untouched."""

from __future__ import annotations

import numpy as np
import pytest

from zeekml.adaptation.bundle_change import BundleChange
from zeekml.adaptation.examples import Example
from zeekml.adaptation.heads import FARTHEST, STRENGTHS, HeadFit, HeadRows
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.reference_rows import ReferenceRows
from zeekml.ensemble.scoring import Ensemble
from zeekml.ensemble.tflite_file import is_plain_mlp, read_mlp


@pytest.fixture(scope="module")
def fit(shipped: Bundle, reference: ReferenceRows) -> HeadFit:
    return HeadFit(shipped, HeadRows.of(reference, reference.matrix[reference.labels == 0]))


def examples(reference: ReferenceRows, *, truth: bool) -> list[Example]:
    """Ten attacks, labelled one way or the other."""
    rows = np.flatnonzero(reference.labels == 2)[:100:10]
    return [Example(f"{n:024x}", truth, "scan", 0.0, reference.matrix[[n]]) for n in rows]


@pytest.mark.parametrize("strength", STRENGTHS)
def test_no_member_moves_far(
    shipped: Bundle, reference: ReferenceRows, fit: HeadFit, strength: float
) -> None:
    models = fit.fit(examples(reference, truth=False), strength)
    assert len(models) == len(shipped.models)
    for before, after in zip(shipped.models, models, strict=True):
        assert is_plain_mlp(after)
        (old, old_bias), (new, new_bias) = read_mlp(before), read_mlp(after)
        for a, b in zip([*old[:-1], *old_bias[:-1]], [*new[:-1], *new_bias[:-1]], strict=True):
            np.testing.assert_array_equal(a, b)
        moved = np.column_stack([new[-1] - old[-1], new_bias[-1] - old_bias[-1]])
        size = np.column_stack([old[-1], old_bias[-1]])
        assert np.linalg.norm(moved) <= FARTHEST * np.linalg.norm(size) * 1.001


def test_scores_follow_the_labels(shipped: Bundle, reference: ReferenceRows, fit: HeadFit) -> None:
    rows = np.concatenate([e.matrix for e in examples(reference, truth=True)])

    def score(models: tuple[bytes, ...]) -> float:
        changed = BundleChange("heads", models=models).on(shipped)
        return float(Ensemble(changed).score(rows).log_odds.mean())

    false, true = (
        fit.fit(examples(reference, truth=truth), STRENGTHS[-1]) for truth in (False, True)
    )
    assert score(false) < score(true)
    assert fit.fit(examples(reference, truth=False), STRENGTHS[-1]) == false


def test_only_plain_members_can_be_fitted(shipped: Bundle) -> None:
    assert HeadFit.possible(shipped)
    assert not HeadFit.possible(BundleChange("heads", models=(b"other",)).on(shipped))
