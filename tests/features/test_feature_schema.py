"""The schema is what bundles are pinned to: names, units and transforms must hold together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.features.feature_schema import (
    COUNTED,
    FEATURE_NAMES,
    FEATURES,
    MOST_COUNTED,
    SCHEMA_HASH,
    WINDOWS,
    Feature,
)


def test_names_are_unique_and_plain() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURES)
    for name in FEATURE_NAMES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


def test_every_feature_says_what_it_is() -> None:
    for feature in FEATURES:
        assert feature.unit
        assert feature.description


def test_no_feature_is_an_address_a_port_or_a_time_of_day() -> None:
    forbidden = {"ts", "orig_h", "resp_h", "orig_p", "resp_p", "uid", "hour", "weekday"}
    assert not forbidden & set(FEATURE_NAMES)


def test_every_feature_is_documented() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "features.md").read_text()
    assert f"one row of {len(FEATURES)} numbers" in text
    for feature in FEATURES:
        log = "log" if feature.transform == "log1p" else ""
        assert f"| `{feature.name}` | {feature.unit} | {log} | {feature.description} |" in text


def test_the_hash_is_a_sha256() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", SCHEMA_HASH)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
@given(value=st.floats(0.0, 1e6))
def test_natural_undoes_stored(feature: Feature, value: float) -> None:
    expected = min(value, MOST_COUNTED) if feature.unit in COUNTED else value
    assert feature.natural(feature.stored(value)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("window", WINDOWS)
def test_each_window_has_its_four_keys(window: int) -> None:
    for key in ("src", "dst", "pair", "dport"):
        assert f"{key}{window}_flows" in FEATURE_NAMES
