"""Status of a watch for those who look on: its thresholds, its lag, its open problems.

Committed with everything else, so that whoever reads the state needs nothing from the watcher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

ABOUT: Final = "about"
"""Where it is in the state."""


class Problem(msgspec.Struct, frozen=True):
    """A health notice that is open."""

    id: str
    ts: float
    severity: str
    msg: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a watch stands."""

    bundle: str  # first 12 digits of its digest
    thresholds: dict[str, float]  # by threat
    notices_per_day: float | None = None  # what the bundle was calibrated for, if it was
    lag: float = 0.0  # seconds by which reading is behind the logs, the largest of all streams
    problems: list[Problem] = []  # those that are open


def budget_of(evaluation: Mapping[str, Any]) -> float | None:
    """The budget of notices a day that a bundle's manifest tells of, if it was calibrated."""
    site = evaluation.get("site")
    value = site.get("notices_per_day") if isinstance(site, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def encode_about(about: Status) -> str:
    """As it is kept in the state."""
    return msgspec.json.encode(about).decode()


def decode_about(text: str) -> Status | None:
    """What was kept; None if it is damaged or of another version: it is not worth an error."""
    try:
        return msgspec.json.decode(text, type=Status)
    except msgspec.MsgspecError:
        return None
