"""Bounds on what a tracker remembers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on memory; an incident or window past them ends early, and is counted."""

    # groups with a window, and rows in all windows together; both count once for each different
    # window among the detectors of one group_by
    groups: int = 65_536
    rows: int = 131_072
    incidents: int = 16_384  # incidents open at a time
    values: int = 500_000  # distinct hosts and ports that all open incidents together remember
