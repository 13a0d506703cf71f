"""Which notices a sink gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeekml.detection.notice import SEVERITIES
from zeekml.sink_config import AnySink


def about_sink(name: str) -> str:
    """What a health notice about a sink is about."""
    return f"sink {name}"


def wants(name: str, settings: AnySink, values: Mapping[str, Any]) -> bool:
    """Whether a sink is to get the line of notice.log that has these values."""
    severity = values.get("zeekml_severity")
    if severity not in SEVERITIES:
        return False
    if SEVERITIES.index(severity) < SEVERITIES.index(settings.severity):
        return False
    if "zeekml_threat" in values:
        state = values.get("zeekml_state")
        return values["zeekml_threat"] in settings.threats and state in settings.states
    # nobody is told by a sink that this very sink tells nothing
    return settings.health and f"stream={about_sink(name)}" not in values.get("zeekml_why", ())
