"""What the tests of the dashboard share."""

from __future__ import annotations

import pytest

from zeekml.detection.policy import Policy, load_policy


@pytest.fixture(scope="session")
def policy() -> Policy:
    return load_policy()
