"""A small bundle with random members, and the parts it is made of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.bundle_writer import NewBundle, NewMember, write_bundle
from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES, THREATS
from zeekml.ensemble.manifest import Calibration, TrainingSource, Usual
from zeekml.ensemble.scaler import Scaler
from zeekml.ensemble.tflite_file import write_mlp
from zeekml.features.feature_schema import FEATURES

INPUTS = [f.name for f in FEATURES if f.family != "coverage"]


def random_mlp(rng: np.random.Generator, sizes: list[int]) -> bytes:
    pairs = list(pairwise(sizes))
    weights = [rng.normal(size=(n, m)) / m**0.5 for m, n in pairs]
    return write_mlp(weights, [rng.normal(size=n) for _, n in pairs])


@pytest.fixture
def parts() -> dict[str, Any]:
    """Arguments of `NewBundle`."""
    rng = np.random.default_rng(7)
    width = len(INPUTS)
    members = [NewMember(random_mlp(rng, [width, 16, 8, len(CLASSES)])) for _ in range(2)]
    members += [NewMember(random_mlp(rng, [width, 12, 2]), BINARY_CLASSES) for _ in range(3)]
    return {
        "name": "test",
        "features": INPUTS,
        "members": members,
        "scaler": Scaler(
            mean=rng.normal(size=width).astype(np.float32),
            scale=rng.uniform(0.1, 2, size=width).astype(np.float32),
            fill=np.zeros(width, np.float32),
            clip=5.0,
        ),
        "calibration": Calibration(slope=1.3, intercept=-0.4),
        "thresholds": dict.fromkeys(THREATS, 0.9),
        "candidate_score": 0.4,
        "usual": {name: Usual(0.0, 0.5, 1.0) for name in INPUTS},
        "training": [
            TrainingSource(environment="here", rows=10, malicious=4, licence="CC0-1.0"),
            TrainingSource(environment="there", rows=9, malicious=1, licence="own", citation="x"),
        ],
        "evaluation": {"recall": {"here": 0.75}},
        "model_card": "# A card\n",
    }


@pytest.fixture
def make_bundle(tmp_path: Path, parts: dict[str, Any]) -> Callable[..., Bundle]:
    """Writes a bundle; keyword arguments replace its usual parts."""

    def make(*, overwrite: bool = False, **changed: Any) -> Bundle:
        return write_bundle(
            tmp_path / "bundle", NewBundle(**(parts | changed)), overwrite=overwrite
        )

    return make


@pytest.fixture
def bundle(make_bundle: Callable[..., Bundle]) -> Bundle:
    return make_bundle()
