"""Words about an incident that a screen and a page share."""

from __future__ import annotations

from zeekml.core.text import utc


def when(ts: float) -> str:
    """A moment in UTC, to the second."""
    return f"{utc(ts):%Y-%m-%d %H:%M:%S}"
