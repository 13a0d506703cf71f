"""The reference set and the site rules that a bundle may carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.npz import encode_arrays
from zeekml.ensemble.reference_rows import (
    BENIGN,
    ReferenceRows,
    decode_reference,
    encode_reference,
)
from zeekml.ensemble.site_rule import MOST_RULES, SiteRule
from zeekml.errors import BundleError
from zeekml.features.feature_schema import FEATURES

Make = Callable[..., Bundle]


def rows(seed: int = 0) -> ReferenceRows:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0, 5, (6, len(FEATURES))).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    labels = np.array([0, 0, 2, 2, 4, 4], np.int8)
    return ReferenceRows(matrix, labels, np.array([BENIGN, BENIGN, 0, 0, 1, 1], np.int32))


def test_a_bundle_carries_it(make_bundle: Make) -> None:
    bundle = load_bundle(make_bundle(reference_file=encode_reference(rows())).path)
    read = bundle.reference()
    assert read is not None
    np.testing.assert_allclose(read.matrix, rows().matrix, rtol=1e-3, equal_nan=True)
    np.testing.assert_array_equal(read.episodes, rows().episodes)


def test_a_bundle_may_have_none(bundle: Bundle) -> None:
    assert bundle.reference() is None


def test_equal_rows_give_equal_bytes() -> None:
    assert encode_reference(rows()) == encode_reference(rows())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": np.array([0, 0, 2, 2, 4, 9], np.int8)}, "no class"),
        ({"labels": np.array([0, 1, 2, 2, 4, 4], np.int8)}, "contradict"),
        ({"episodes": np.zeros(5, np.int32)}, "of this version"),
        ({"matrix": np.zeros((6, 3), np.float16)}, "of this version"),
        ({"more": np.zeros(1)}, "other arrays"),
    ],
)
def test_what_is_none_is_refused(changes: dict[str, Any], reason: str) -> None:
    good = rows()
    arrays: dict[str, Any] = {
        "matrix": good.matrix.astype(np.float16),
        "labels": good.labels,
        "episodes": good.episodes,
    }
    with pytest.raises(BundleError, match=reason):
        decode_reference(encode_arrays(arrays | changes))
    with pytest.raises(BundleError, match=r"not an \.npz archive"):
        decode_reference(b"PK nonsense")


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"name": "Not A Name"}, "no name"),
        ({"threat": "rain"}, "no threat"),
        ({"conditions": ()}, "1 to 16 conditions"),
        ({"conditions": ("src60_hosts >5",)}, "no condition"),
        ({"conditions": ("nonsense >=5",)}, "no condition"),
        ({"conditions": ("src60_hosts >=1e5",)}, "no condition"),
    ],
)
def test_site_rules_are_checked(make_bundle: Make, rule: dict[str, Any], reason: str) -> None:
    good: dict[str, Any] = {
        "name": "a",
        "threat": "scan",
        "conditions": ("src60_hosts >=5",),
        "labels": 3,
    }
    with pytest.raises(BundleError, match=reason):
        make_bundle(site_rules=[SiteRule(**(good | rule))])


def test_there_are_not_too_many_and_no_two_of_one_name(make_bundle: Make) -> None:
    def named(name: str) -> SiteRule:
        return SiteRule(name=name, threat="web", conditions=("duration <=1",), labels=1)

    with pytest.raises(BundleError, match="same name"):
        make_bundle(site_rules=[named("a"), named("a")])
    with pytest.raises(BundleError, match="more than"):
        make_bundle(site_rules=[named(f"a{n}") for n in range(MOST_RULES + 1)])
