"""How a site's flows are spread over the inputs, and whether they moved."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zeekml.ensemble.bundle import load_bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.traffic_profile import INTERVALS, TrafficProfile, profile_of
from zeekml.errors import BundleError
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES

INPUTS = ["duration", "orig_pkts", "proto_udp"]


def rows(number: int, seed: int = 1, **columns: float) -> np.ndarray:
    """Rows with made-up inputs, or with one value in some."""
    matrix = np.full((number, len(FEATURES)), np.nan, np.float32)
    drawn = np.random.default_rng(seed)
    matrix[:, FEATURE_INDEX["duration"]] = drawn.exponential(1.0, number)
    matrix[:, FEATURE_INDEX["orig_pkts"]] = drawn.integers(0, 4, number)
    matrix[:, FEATURE_INDEX["proto_udp"]] = drawn.random(number) < 0.3
    for name, value in columns.items():
        matrix[:, FEATURE_INDEX[name]] = value
    return matrix


def profile(days: int = 1, **columns: float) -> TrafficProfile:
    return profile_of(rows(2000, 1, **columns), np.zeros(2000), np.arange(2000.0) % days, INPUTS)


def psi(of: TrafficProfile, matrix: np.ndarray, score: float = 0.0) -> list[float]:
    counted = of.counts(of.columns(matrix, np.full(len(matrix), score)))
    told: list[float] = of.psi(counted).tolist()
    return told


def test_the_same_traffic_has_not_moved() -> None:
    assert max(psi(profile(), rows(2000))) < 1e-6
    other = psi(profile(), rows(1000, seed=2))
    assert max(other) < 0.05
    assert profile().moved(np.array(other)) == 0.0


def test_what_changes_is_told_of_that_input_alone() -> None:
    for name, value in (("duration", 9.0), ("duration", np.nan), ("proto_udp", 1.0)):
        found = psi(profile(), rows(1000, seed=2, **{name: value}))
        assert [told > 0.25 for told in found] == [at == name for at in (*INPUTS, "score")]
    assert psi(profile(), rows(1000), score=0.3)[-1] > 0.25


@pytest.mark.parametrize("usual", [0.0, 1.0])
def test_a_flag_that_never_differed_is_seen_to_differ(usual: float) -> None:
    assert psi(profile(proto_udp=usual), rows(1000, proto_udp=1.0 - usual))[2] > 5.0


def test_an_input_that_was_never_known_is_seen_to_be_known() -> None:
    of = profile(duration=np.nan)
    assert of.inputs["duration"].shares == (1.0, 0, 0, 0, 0, 0)
    assert psi(of, rows(1000, duration=np.nan))[0] < 1e-6
    assert psi(of, rows(1000))[0] > 5.0


def test_what_varies_from_day_to_day_may_move() -> None:
    assert profile(days=4).days == 4
    assert profile(days=4).varies == 0.0
    assert profile(days=4).most_moved == 0.4
    assert profile(days=20).days == 0  # too few flows each
    matrix = rows(2000)
    matrix[1000:, FEATURE_INDEX["duration"]] = 50.0
    uneven = profile_of(matrix, np.zeros(2000), np.arange(2000.0) // 1000, INPUTS)
    assert uneven.varies == pytest.approx(1 / 3, abs=1e-6)
    assert uneven.most_moved == pytest.approx(1 / 3 + 0.15, abs=1e-6)


values = st.floats(-5, 5, width=32) | st.just(math.nan)


@settings(max_examples=60, deadline=None)
@given(
    columns=arrays(np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=values),
    cut=st.integers(0, 40),
)
def test_every_row_is_in_one_interval_however_they_are_cut(columns: np.ndarray, cut: int) -> None:
    matrix = rows(len(columns))
    matrix[:, [FEATURE_INDEX[name] for name in INPUTS]] = columns
    of = profile_of(matrix, np.zeros(len(matrix)), np.zeros(len(matrix)), INPUTS)
    whole = of.columns(matrix, np.zeros(len(matrix)))
    counted = of.counts(whole)
    assert counted.shape == (len(INTERVALS), len(INPUTS) + 1)
    assert (counted.sum(axis=0) == len(matrix)).all()
    assert (counted == of.counts(whole[:cut]) + of.counts(whole[cut:])).all()
    assert max(of.psi(counted)) < 1e-3
    assert not list(of.reasons_against(INPUTS))
    assert msgspec.json.decode(msgspec.json.encode(of), type=TrafficProfile) == of


def test_a_bundle_keeps_it_and_refuses_a_wrong_one(tmp_path: Path) -> None:
    parent = NewBundle.from_parent(load_bundle())
    right = profile_of(rows(1000), np.zeros(1000), np.zeros(1000), parent.features)
    made = write_bundle(tmp_path / "right", replace(parent, profile=right))
    assert load_bundle(made.path).manifest.profile == right
    assert NewBundle.from_parent(made).profile == right
    spread = right.inputs["duration"]
    for wrong, reason in (
        (profile(), "not about the bundle's features"),
        (msgspec.structs.replace(right, varies=2.0), "varies by no share"),
        (
            msgspec.structs.replace(
                right, score=msgspec.structs.replace(spread, edges=(2.0, 1.0, 3.0))
            ),
            "of score is not in ascending order",
        ),
    ):
        with pytest.raises(BundleError, match=reason):
            write_bundle(tmp_path / "wrong", replace(parent, profile=wrong))
