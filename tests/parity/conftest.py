"""The same flows as Zeek and as Suricata logged them, cut from our own lab recording."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
BENCHMARKS = HERE.parent.parent / "benchmarks"


@pytest.fixture(scope="session")
def sensor_pairs() -> ModuleType:
    """`benchmarks/sensor_pairs.py`, which reads, pairs and compares."""
    sys.path.append(str(BENCHMARKS))
    return importlib.import_module("sensor_pairs")


@pytest.fixture(scope="session")
def pairs(sensor_pairs: ModuleType) -> Any:
    """All pairs of the two logs."""
    return sensor_pairs.match(
        sensor_pairs.read_side(HERE / "zeek.log", "zeek"),
        sensor_pairs.read_side(HERE / "eve.json", "suricata"),
    )
