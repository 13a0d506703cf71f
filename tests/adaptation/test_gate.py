"""The gate's arithmetic, and which of the changes that pass is taken."""

from __future__ import annotations

import pytest

from zeekml.adaptation.bundle_change import BundleChange
from zeekml.adaptation.examples import Example, folds_of, named_alike
from zeekml.adaptation.gate import Figures, Verdict, by_chance, chosen
from zeekml.ensemble.reference_rows import ReferenceRows

FIGURES = Figures(0, 0, 0, {}, 0, {})


def verdict(name: str, gain: float, *against: str) -> Verdict:
    return Verdict(name, BundleChange("rules"), FIGURES, list(against), gain)


def test_the_mildest_of_the_best_is_taken() -> None:
    mild, strong = verdict("mild", 0.75), verdict("strong", 0.8)
    assert chosen([mild, strong]) is mild
    assert chosen([verdict("weak", 0.5), strong]) is strong
    assert chosen([verdict("best", 1.0, "loses recall"), mild]) is mild
    assert chosen([verdict("best", 1.0, "loses recall")]) is None
    assert chosen([]) is None


def test_chance_is_that_of_fishers_test() -> None:
    # all five false ones gone, all five true ones not: one of 252 ways
    assert by_chance(5, 5, 0, 5) == pytest.approx(1 / 252)
    assert by_chance(2, 5, 2, 5) > 0.5


def test_parts_are_stretches_of_time(reference: ReferenceRows) -> None:
    at = [5.0, 1.0, 4.0, 2.0, 3.0]
    examples = [Example(f"{n}", False, "web", t, reference.matrix[:1]) for n, t in enumerate(at)]
    parts = folds_of(examples, 2)
    assert [sorted(at[n] for n in part) for part in parts] == [[1.0, 2.0, 3.0], [4.0, 5.0]]
    assert [len(part) for part in folds_of(examples, 9)] == [1] * 5


def test_contradictions_are_named(reference: ReferenceRows) -> None:
    row = reference.matrix[:1]
    told = named_alike(
        [Example("a", True, "web", 0.0, row), Example("b", False, "web", 1.0, row.copy())]
    )
    assert told == ["a and b look the same and are labelled differently"]
    alike = [Example("a", True, "web", 0.0, row), Example("b", False, "scan", 1.0, row)]
    assert named_alike(alike) == []
