"""Health checks of one stream's figures: each with its limit, its text and its remedy.

Each check is fed with the figures of every moment and judges when it has seen enough. What it says
holds until it says something else; what it remembers across restarts is in `Remembered`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from zeekml.config import Config
from zeekml.core.units import amount_of_data, counted, duration, when
from zeekml.live.health.figures import WINDOW, StreamFigures
from zeekml.live.health.problems import HealthFinding, ProblemKind
from zeekml.live.health.sides import FLOWS
from zeekml.live.health.unscored import unscored
from zeekml.readers.one_sided import CAUSES, REMEDY

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

Verdict = tuple[ProblemKind, HealthFinding | None]


@dataclass(slots=True)
class Remembered:
    """What checks of a stream know from before the service started; stored with the state."""

    alive: bool = False  # whether there ever was a record
    scored: bool = False  # whether one was ever scored
    coverage: float = 0.0  # long-run mean,
    windows: int = 0  # and of how many windows
    drops: int | None = None  # the sensor's totals when last seen
    packets: int | None = None
    total: int = 0  # records that were scored
    unscored: float = 0.0  # seconds of watching since one last was
    skipped: dict[str, int] = field(default_factory=dict)  # totals at that time, by type
    rejected: dict[str, int] = field(default_factory=dict)  # and by reason


class StreamChecks:
    """All checks of one stream; `remembered` is kept up to date.

    `limits` says what is still normal, in seconds; 0 switches a check off.
    """

    def __init__(self, limits: Config, remembered: Remembered) -> None:
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

    def check(self, now: float, wall: float, figures: StreamFigures) -> Iterator[Verdict]:
        """Yield what the checks say at the moment `now`; None for what is in order."""
        last = figures if self._last is None else self._last
        if self._last is None:
            self._remembered.alive |= figures.records_read > 0
        self._last = figures
        read = _grown(last.records_read, figures.records_read)
        scored = _grown(last.records_scored, figures.records_scored)
        self._read += read
        self._rejected += _grown(sum(last.rejected.values()), sum(figures.rejected.values()))
        self._scored += scored
        yield from self._stalled(now, wall, read, figures.records_scored > 0)
        yield from self._unscored(now, figures)
        yield from self._rejects()
        yield from self._coverage(figures)
        yield from _one_sided(figures)
        yield from self._behind(now, figures)
        if last.bytes_behind == 0 and figures.bytes_behind == 0:
            yield from self._clock(now, wall, scored, figures)
        yield from self._drops(now, figures)

    def _stalled(self, now: float, wall: float, read: int, scored: bool) -> Iterator[Verdict]:
        known = self._remembered
        known.scored |= scored
        if read or self._silent is None:
            self._silent = (now, wall)
        limit = self._limits.stall_after
        if read or limit <= 0:
            known.alive |= read > 0
            yield ProblemKind.STALLED, None
        elif self._is_stalled(now):
            seconds = now - self._silent[0]
            finding = HealthFinding(
                f"no new record for {duration(seconds)}",
                f"none since {when(self._silent[1])} UTC; see whether the sensor "
                "runs, gets traffic and still writes to this file; where such silence is normal, "
                "allow for more",
                "high",
                {"seconds": round(seconds)},
            )
            yield ProblemKind.STALLED, finding

    def _unscored(self, now: float, figures: StreamFigures) -> Iterator[Verdict]:
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
            known.skipped = dict(figures.skipped)
            known.rejected = dict(figures.rejected)
            yield ProblemKind.UNSCORED, None
        elif known.unscored >= limit and not self._is_stalled(now):
            finding = self.nothing_scored(figures, known.unscored)
            if finding is not None:
                yield ProblemKind.UNSCORED, finding

    def _is_stalled(self, now: float) -> bool:
        """Whether a log that had flows has fallen silent, which is a problem of its own."""
        if self._silent is None or not (self._remembered.alive and self._remembered.scored):
            return False
        return now - self._silent[0] >= self._limits.stall_after

    def nothing_scored(
        self, figures: StreamFigures, seconds: float | None = None
    ) -> HealthFinding | None:
        """What there is instead of records that can be scored; None where there is nothing new.

        It has been so for `seconds`; None at the end of the input.
        """
        known = self._remembered
        skipped = _more(known.skipped, figures.skipped)
        rejected = _more(known.rejected, figures.rejected)
        if not (skipped or rejected) and (known.scored or figures.records_read):
            return None
        since = replace(figures, skipped=skipped, rejected=rejected)
        return unscored(seconds, since, ever=known.scored)

    def _rejects(self) -> Iterator[Verdict]:
        if self._read >= WINDOW:
            read, rejected = self._read, self._rejected
            self._read = self._rejected = 0
            msg = f"{rejected / read:.1%} of the last {read:,} lines cannot be read"
            sub = (
                "see the rejects for the lines and the reasons; the format of the log may have "
                "changed, or something else writes to the file"
            )
            finding = HealthFinding(msg, sub, details={"rejected": rejected, "lines": read})
            yield ProblemKind.REJECTS, finding if rejected / read > _MAX_REJECTED else None

    def _coverage(self, figures: StreamFigures) -> Iterator[Verdict]:
        if self._scored < WINDOW or figures.coverage is None:
            return
        self._scored = 0
        known, value = self._remembered, figures.coverage
        if known.windows >= _WINDOWS_BEFORE:
            usual = known.coverage
            finding = HealthFinding(
                f"records have only {value:.0%} of their values, usually {usual:.0%}",
                "scores rest on less than usual; see whether the sensor was updated or "
                "reconfigured: fields removed from its log, analysis switched off, or one "
                "direction of traffic missing",
                details={"coverage": value, "usual": usual},
            )
            yield ProblemKind.COVERAGE, finding if value < _COLLAPSED * usual else None
        known.windows = min(known.windows + 1, _LONG_RUN)
        known.coverage += (value - known.coverage) / known.windows

    def _behind(self, now: float, figures: StreamFigures) -> Iterator[Verdict]:
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
                unread = figures.bytes_behind
                finding = HealthFinding(
                    f"{duration(lag)} behind the log, and falling back further",
                    f"{amount_of_data(unread)} not read yet; notices come late; give zeekml more "
                    "processor time, or let the sensor log fewer connections",
                    details={"lag_seconds": lag, "bytes_behind": unread},
                )
                yield ProblemKind.BEHIND, finding

    def _clock(
        self, now: float, wall: float, scored: int, figures: StreamFigures
    ) -> Iterator[Verdict]:
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
            where = "ahead of" if offset > 0 else "behind"
            finding = HealthFinding(
                f"records are {duration(abs(offset))} {where} this machine's clock",
                "compare the clock and time zone of the sensor with those of this machine; times "
                "in notices are the records'; this is said once per start, and of no matter for "
                "a replay",
                details={"offset_seconds": offset},
            )
            yield ProblemKind.CLOCK, finding
        elif abs(offset) <= _MAX_OFFSET:
            # once per start is enough
            self._clock_done = self._clock_found
            yield ProblemKind.CLOCK, None

    def _drops(self, now: float, figures: StreamFigures) -> Iterator[Verdict]:
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
                share = None if not seen else min(lost / seen, 1.0)
                much = "" if share is None else f" ({share:.2%})"
                finding = HealthFinding(
                    f"the sensor lost {counted(lost, 'packet')}{much}",
                    "connections in its log are incomplete and their scores worth less; give the "
                    "sensor more processor time or larger capture buffers, or less traffic",
                    "low" if share is not None and share < 0.01 else "medium",
                    {"packets_lost": lost} | ({} if seen is None else {"packets": seen}),
                )
                yield ProblemKind.DROPS, finding
                return
        if now >= self._dropped_at + _DROPS_OVER:
            yield ProblemKind.DROPS, None


def _one_sided(figures: StreamFigures) -> Iterator[Verdict]:
    share = figures.one_sided
    if share is not None:
        finding = HealthFinding(
            f"{share:.0%} of the last {FLOWS:,} TCP and UDP flows have packets of one side alone",
            f"scores of such flows are worth little; {CAUSES}; {REMEDY}",
            details={"share": share},
        )
        yield ProblemKind.ONE_SIDED, finding if figures.lacks_side else None


def _grown(before: int, now: int) -> int:
    """By how much a total grew; one that fell has begun anew."""
    return now - before if now >= before else now


def _more(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """What was added to totals; to all of them where they began anew."""
    if any(now.get(key, 0) < n for key, n in before.items()):
        before = {}
    return {key: n - before.get(key, 0) for key, n in now.items() if n > before.get(key, 0)}
