"""Which notices a sink gets."""

from __future__ import annotations

from typing import Any

import pytest

from zeekml.sink_config import CommandSettings
from zeekml.sinks.sink_filter import wants

DETECTION = {"zeekml_severity": "medium", "zeekml_threat": "scan", "zeekml_state": "update"}
HEALTH = {"zeekml_severity": "high", "zeekml_state": "open", "zeekml_why": ["stream=sink chat"]}


@pytest.mark.parametrize(
    ("settings", "values", "wanted"),
    [
        ({}, DETECTION, True),
        ({"severity": "medium"}, DETECTION, True),
        ({"severity": "high"}, DETECTION, False),
        ({"threats": ("c2", "scan")}, DETECTION, True),
        ({"threats": ("c2",)}, DETECTION, False),
        ({"states": ("open", "closed")}, DETECTION, False),
        ({"health": False}, DETECTION, True),
        ({}, HEALTH, True),
        ({"threats": (), "states": ()}, HEALTH, True),
        ({"severity": "critical"}, HEALTH, False),
        ({"health": False}, HEALTH, False),
        ({}, {**HEALTH, "zeekml_why": ["sensor=x", "stream=sink soc"]}, False),
        ({}, {**DETECTION, "zeekml_why": ["stream=sink soc"]}, True),
        ({}, {"zeekml_severity": "unheard of"}, False),
        ({}, {}, False),
    ],
)
def test_filters(settings: dict[str, Any], values: dict[str, Any], wanted: bool) -> None:
    assert wants("soc", CommandSettings(argv=("/bin/true",), **settings), values) is wanted
