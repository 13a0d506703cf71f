"""Checks of one stream's figures: what has an opinion says whether something is the matter.

Each check is fed with the figures of every moment and judges when it has seen enough. What it says
holds until it says something else; what it remembers across restarts is in `Remembered`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from zeekml.live.health import text as wording
from zeekml.live.health.text import HealthFinding, ProblemKind
from zeekml.live.health.unscored import Instead, unscored

_WINDOW: Final = 1000
"""Lines or records that a share is taken of, at least."""

_MAX_REJECTED: Final = 0.05
_COLLAPSED: Final = 0.5
_WINDOWS_BEFORE: Final = 10
_LONG_RUN: Final = 500
"""Windows over which coverage is averaged: a lasting change becomes usual some day."""

_LAG_APART: Final = 60.0
_LAG_GROWN: Final = 1.0
_CLOCK_RECORDS: Final = 20
_CLOCK_APART: Final = 60.0
_MAX_OFFSET: Final = 3600.0
_DROPS_OVER: Final = 600.0

Opinion = tuple[ProblemKind, HealthFinding | None]


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """What is still normal; 0 switches a check off.

    Attributes
    ----------
    stall_after
        Seconds without a record in a log that had some, or without one that is scored.
    lag_after
        Seconds that reading may be behind.
    """

    stall_after: float = 3600.0
    lag_after: float = 300.0


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """Figures of one stream at one moment. Totals never fall while the service runs.

    Attributes
    ----------
    records_read, records_rejected, records_scored
        Totals of lines, of those that cannot be read, and of records that were scored.
    bytes_behind
        Bytes that are there and not read yet; 0 at the end of the log.
    lag
        Seconds between what is read and what could be; None if not known.
    record_clock
        Stream clock, epoch seconds; None before the first record.
    coverage
        Share of values that are there, among those this kind of sensor can provide, over the last
        thousand records or more; None if not known.
    drops, packets
        The sensor's own totals of packets that it lost, and that it was to see; None if it does
        not say.
    """

    records_read: int = 0
    records_rejected: int = 0
    records_scored: int = 0
    bytes_behind: int = 0
    lag: float | None = None
    record_clock: float | None = None
    coverage: float | None = None
    drops: int | None = None
    packets: int | None = None
    instead: Instead = field(default_factory=Instead)


@dataclass(slots=True)
class Remembered:
    """What checks of a stream know from before the service started.

    Attributes
    ----------
    alive
        Whether there ever was a record.
    scored
        Whether one was ever scored.
    coverage, windows
        Long-run mean, and how many windows it is of.
    drops, packets
        The sensor's totals when last seen.
    total
        Records that were scored.
    unscored
        Seconds of watching since one last was.
    skipped, rejected
        Totals at that time, by type and by reason.
    """

    alive: bool = False
    scored: bool = False
    coverage: float = 0.0
    windows: int = 0
    drops: int | None = None
    packets: int | None = None
    total: int = 0
    unscored: float = 0.0
    skipped: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)


class StreamChecks:
    """All checks of one stream.

    Parameters
    ----------
    limits : HealthLimits
        What is normal.
    remembered : Remembered
        Kept up to date.
    """

    def __init__(self, limits: HealthLimits, remembered: Remembered) -> None:
        self._limits = limits
        self._remembered = remembered
        self._last: StreamFigures | None = None
        self._looked: float | None = None
        # since when, by the clock that never goes back and by that on the wall
        self._silent: tuple[float, float] | None = None
        # lines and rejected ones, and records, of the windows that are not full yet
        self._read = self._rejected = self._scored = 0
        self._lag: tuple[float, float] | None = None
        # first moment and offset of what came live, and records since
        self._offset: tuple[float, float] | None = None
        self._live = 0
        self._clock_found = self._clock_done = False
        self._dropped_at: float | None = None

    def look(self, now: float, wall: float, figures: StreamFigures) -> Iterator[Opinion]:
        """Yield what there is to say at the moment `now`; None for what is in order."""
        last = figures if self._last is None else self._last
        if self._last is None:
            self._remembered.alive |= figures.records_read > 0
        self._last = figures
        read = _grown(last.records_read, figures.records_read)
        scored = _grown(last.records_scored, figures.records_scored)
        self._read += read
        self._rejected += _grown(last.records_rejected, figures.records_rejected)
        self._scored += scored
        yield from self._stalled(now, wall, read, figures.records_scored > 0)
        yield from self._unscored(now, figures)
        yield from self._rejects()
        yield from self._coverage(figures)
        yield from self._behind(now, figures)
        if last.bytes_behind == 0 and figures.bytes_behind == 0:
            yield from self._clock(now, wall, scored, figures)
        yield from self._drops(now, figures)

    def _stalled(self, now: float, wall: float, read: int, scored: bool) -> Iterator[Opinion]:
        known = self._remembered
        known.scored |= scored
        if read or self._silent is None:
            self._silent = (now, wall)
        limit = self._limits.stall_after
        if read or limit <= 0:
            known.alive |= read > 0
            yield ProblemKind.STALLED, None
        elif self._is_stalled(now):
            yield ProblemKind.STALLED, wording.stalled(now - self._silent[0], self._silent[1])

    def _unscored(self, now: float, figures: StreamFigures) -> Iterator[Opinion]:
        known = self._remembered
        # much may have come before the first look of a run
        scored = _grown(known.total, figures.records_scored)
        known.total = figures.records_scored
        if self._looked is not None:
            known.unscored += now - self._looked
        self._looked = now
        limit = self._limits.stall_after
        if scored or limit <= 0:
            known.unscored = 0.0
            known.skipped = dict(figures.instead.skipped)
            known.rejected = dict(figures.instead.rejected)
            yield ProblemKind.UNSCORED, None
        elif known.unscored >= limit and not self._is_stalled(now):
            finding = self.nothing_scored(figures, known.unscored)
            if finding is not None:
                yield ProblemKind.UNSCORED, finding

    def _is_stalled(self, now: float) -> bool:
        """Whether a log that had flows has fallen silent, which is told of as such."""
        if self._silent is None or not (self._remembered.alive and self._remembered.scored):
            return False
        return now - self._silent[0] >= self._limits.stall_after

    def nothing_scored(
        self, figures: StreamFigures, seconds: float | None = None
    ) -> HealthFinding | None:
        """What there is instead of records that can be scored; None where there is nothing new.

        Parameters
        ----------
        seconds
            For how long that has been so; None at the end of the input.
        """
        known, totals = self._remembered, figures.instead
        skipped = _more(known.skipped, totals.skipped)
        rejected = _more(known.rejected, totals.rejected)
        read = sum(skipped.values()) + sum(rejected.values())
        if not read and (known.scored or figures.records_read):
            return None
        instead = replace(totals, read=read, skipped=skipped, rejected=rejected, ever=known.scored)
        return unscored(seconds, instead)

    def _rejects(self) -> Iterator[Opinion]:
        if self._read >= _WINDOW:
            read, rejected = self._read, self._rejected
            self._read = self._rejected = 0
            bad = rejected / read > _MAX_REJECTED
            yield ProblemKind.REJECTS, wording.rejects(rejected, read) if bad else None

    def _coverage(self, figures: StreamFigures) -> Iterator[Opinion]:
        if self._scored < _WINDOW or figures.coverage is None:
            return
        self._scored = 0
        known, value = self._remembered, figures.coverage
        if known.windows >= _WINDOWS_BEFORE:
            bad = value < _COLLAPSED * known.coverage
            yield ProblemKind.COVERAGE, wording.coverage(value, known.coverage) if bad else None
        known.windows = min(known.windows + 1, _LONG_RUN)
        known.coverage += (value - known.coverage) / known.windows

    def _behind(self, now: float, figures: StreamFigures) -> Iterator[Opinion]:
        lag, limit = figures.lag, self._limits.lag_after
        if lag is None or figures.bytes_behind == 0 or limit <= 0 or lag <= limit:
            self._lag = None
            yield ProblemKind.BEHIND, None
            return
        if self._lag is None:
            self._lag = (now, lag)
        elif now >= self._lag[0] + _LAG_APART:
            before, self._lag = self._lag[1], (now, lag)
            # what catches up is left to do so
            if lag > before + _LAG_GROWN:
                yield ProblemKind.BEHIND, wording.behind(lag, figures.bytes_behind)

    def _clock(
        self, now: float, wall: float, scored: int, figures: StreamFigures
    ) -> Iterator[Opinion]:
        """Compare the clocks over records that came while all before them was read."""
        if not scored or figures.record_clock is None or self._clock_done:
            return
        offset = figures.record_clock - wall
        self._live += scored
        if self._offset is None:
            self._offset = (now, offset)
        if self._live < _CLOCK_RECORDS or now < self._offset[0] + _CLOCK_APART:
            return
        first = self._offset[1]
        self._offset, self._live = None, 0
        # both ends, so that a clock that is just being set is not taken for a wrong one
        if min(offset, first) > _MAX_OFFSET or max(offset, first) < -_MAX_OFFSET:
            self._clock_found = True
            yield ProblemKind.CLOCK, wording.wrong_clock(offset)
        elif abs(offset) <= _MAX_OFFSET:
            # once per start is enough
            self._clock_done = self._clock_found
            yield ProblemKind.CLOCK, None

    def _drops(self, now: float, figures: StreamFigures) -> Iterator[Opinion]:
        known = self._remembered
        if self._dropped_at is None:
            # a problem from before the start is over only after a while, too
            self._dropped_at = now
        if figures.drops is not None:
            lost = 0 if known.drops is None else _grown(known.drops, figures.drops)
            seen = None
            if figures.packets is not None and known.packets is not None:
                seen = _grown(known.packets, figures.packets)
            known.drops, known.packets = figures.drops, figures.packets
            if lost:
                self._dropped_at = now
                yield ProblemKind.DROPS, wording.drops(lost, seen)
                return
        if now >= self._dropped_at + _DROPS_OVER:
            yield ProblemKind.DROPS, None


def _grown(before: int, now: int) -> int:
    """By how much a total grew; one that fell has begun anew."""
    return now - before if now >= before else now


def _more(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """What was added to totals; to all of them where they began anew."""
    if any(now.get(key, 0) < n for key, n in before.items()):
        before = {}
    return {key: n - before.get(key, 0) for key, n in now.items() if n > before.get(key, 0)}
