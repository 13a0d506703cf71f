"""What the tests of following logs share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from follower import Follower
from small_disk import SmallDisk

from zeekml.detection.policy import Policy, load_policy
from zeekml.ensemble.bundle import Bundle, load_bundle


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "current").mkdir()
    return tmp_path / "current" / "eve.json"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.remove()


@pytest.fixture
def follower(log: Path) -> Iterator[Follower]:
    follower = Follower(log)
    follower.poll(1)
    yield follower
    follower.tail.close()


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return load_bundle()


@pytest.fixture(scope="session")
def policy() -> Policy:
    return load_policy()
