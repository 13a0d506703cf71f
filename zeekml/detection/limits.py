"""Bounds on what a tracker remembers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on memory; an incident or window past them ends early, and is counted.

    Attributes
    ----------
    groups, rows
        Groups with a window, and rows in all windows together; both count once for each
        different `window` among the detectors of one `group_by`.
    incidents
        Incidents open at a time.
    values
        Distinct hosts and ports that all open incidents together remember.
    """

    groups: int = 65_536
    rows: int = 131_072
    incidents: int = 16_384
    values: int = 500_000
