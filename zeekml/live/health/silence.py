"""Silence of a stream: whether it lasts, so that nothing in it will move its clock on.

Silence is that of the log. By the clock of the machine it counts only while the ends of all logs
are in sight and nothing at all is added to them: a watch that was stopped, or is behind, has seen
no silence. Suricata's stats events come without traffic, too; where there is nothing else, it is
they that tell how much time has passed.
"""

from __future__ import annotations

from collections.abc import Callable


class Silence:
    """Measures for how long nothing has come, by a clock that never goes backwards."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._stats_since: float | None = None

    def flows(self) -> None:
        """There were flows."""
        self._stats_since = None

    def seconds(
        self, looked: float, stats: float | None, *, grown: bool, at_end: bool, in_sight: bool
    ) -> float:
        """For how long it has been silent, after a look at the logs that began at `looked`.

        `stats` is the time of the latest stats event since the latest flow, `in_sight` whether all
        logs can be read, and none is still being waited for.
        """
        if not at_end:
            # what was not read yet may be flows
            self._since = self._stats_since = None
            return 0.0
        by_stats = 0.0
        if stats is not None:
            if self._stats_since is None:
                self._stats_since = stats
            by_stats = stats - self._stats_since
        if grown or not in_sight:
            self._since = None
            return by_stats
        if self._since is None:
            self._since = self._clock()
        return max(looked - self._since, by_stats)
