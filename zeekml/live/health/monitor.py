"""The health monitor: problems of sensors, logs and the watch become notices, debounced.

The monitor has two clocks: one that never goes back, which all durations are measured with, and the
one on the wall, which notices are dated with. So a jump of the latter neither raises nor hides a
problem.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import msgspec

from zeekml.alerts.health_notice import (
    MODEL_DRIFT,
    SENSOR_PROBLEM,
    HealthNotice,
    HealthState,
    health_id,
)
from zeekml.config import Config
from zeekml.core.text import printable
from zeekml.core.units import duration
from zeekml.errors import InputError
from zeekml.live.health import problems
from zeekml.live.health.checks import Remembered, StreamChecks
from zeekml.live.health.figures import StreamFigures
from zeekml.live.health.problems import HealthFinding, ProblemKind
from zeekml.live.tail.events import Cause, Gap, Recovered, Trouble
from zeekml.sinks.push import SinkFigures
from zeekml.sinks.sink_filter import about_sink

Clock = Callable[[], float]

_APART: Final = 3600.0
"""Seconds between two openings of the same kind of problem of the same stream."""

_TROUBLE_AGAIN: Final = 60.0
"""Seconds after a restart in which trouble from before is reported again if it lasts."""

_OURS: Final = ""
"""The stream of what is about the watch as a whole."""

_GAP_PREFIX: Final = f"{ProblemKind.GAP.value} "
_KEYS: Final = frozenset(
    [kind.value for kind in ProblemKind if kind is not ProblemKind.GAP]
    + [_GAP_PREFIX + cause.value for cause in Cause]
)


@dataclass(slots=True)
class _Problem:
    """The last problem of a kind."""

    id: str  # of its notices
    opened: float  # when it was reported; in storage, how many seconds ago
    open: bool  # whether its end is still to be reported
    severity: str
    further: int = 0  # what has happened since and is not reported yet: how often,
    at_least: int = 0  # and how many bytes


@dataclass(slots=True)
class _Stream:
    problems: dict[str, _Problem] = field(default_factory=dict)
    remembered: Remembered = field(default_factory=Remembered)


@dataclass(slots=True)
class _Stored:
    wall: float
    number: int
    streams: dict[str, _Stream]


class HealthMonitor:
    """Raises `ZeekML::Sensor_Problem` when a problem begins and when it is over, and
    `ZeekML::Model_Drift` when it is the traffic that changed.

    Of one kind and stream at most one problem is opened per hour; what is still wrong after the
    hour is reported then. What just happens (a gap, a lost context) has a single line; what happens
    again within the hour is summed up after it.

    `clock` gives seconds that never go back, `wall` those of the epoch. Most methods give the
    notices of what began or ended.
    """

    def __init__(self, sensor: str, limits: Config, clock: Clock, wall: Clock) -> None:
        self._sensor, self._limits = sensor, limits
        self._clock, self._wall_clock = clock, wall
        self._streams: dict[str, _Stream] = {}
        self._checks: dict[str, StreamChecks] = {}
        self._trouble: dict[str, Trouble] = {}
        self._number = 0
        # the latest moment by both clocks, and the first one
        self._now, self._wall = clock(), wall()
        self._began = self._now

    def observe(self, stream: str, figures: StreamFigures) -> list[HealthNotice]:
        """Take a stream's figures of this moment; to be called often, at least every minute."""
        state = self._at(stream)
        if stream not in self._checks:
            self._checks[stream] = StreamChecks(self._limits, state.remembered)
        notices: list[HealthNotice] = []
        trouble = self._trouble.get(stream)
        for kind, finding in self._checks[stream].check(self._now, self._wall, figures):
            # of a log that cannot be read, silence says nothing
            silent = kind is ProblemKind.STALLED or (
                kind is ProblemKind.UNSCORED and not figures.records_read
            )
            if not silent or finding is None or trouble is None:
                notices += self._open_or_close(stream, kind, finding)
        if trouble is not None:
            notices += self._open_or_close(stream, ProblemKind.TROUBLE, problems.trouble(trouble))
        elif self._now >= self._began + _TROUBLE_AGAIN:
            notices += self._open_or_close(stream, ProblemKind.TROUBLE, None)
        for key, problem in list(state.problems.items()):
            further = problem.further
            if further and self._now >= problem.opened + _APART:
                finding = problems.context_lost(f"{further} more times in an hour")
                if key.startswith(_GAP_PREFIX):
                    cause = Cause(key.removeprefix(_GAP_PREFIX))
                    finding = problems.further_gaps(cause, further, problem.at_least)
                notices.append(self._raise(stream, key, finding, "closed"))
        return notices

    def event(self, stream: str, event: Gap | Trouble | Recovered) -> list[HealthNotice]:
        """Take an event of a stream's tail."""
        self._at(stream)
        if isinstance(event, Gap):
            key = _GAP_PREFIX + event.cause.value
            return self._report_once(stream, key, problems.gap(event), event.at_least)
        if isinstance(event, Trouble):
            self._trouble[stream] = event
            return self._open_or_close(stream, ProblemKind.TROUBLE, problems.trouble(event))
        self._trouble.pop(stream, None)
        return self._open_or_close(stream, ProblemKind.TROUBLE, None)

    def ended(self, stream: str, figures: StreamFigures) -> list[HealthNotice]:
        """Take that the input is over and none of it was scored."""
        notices = self.observe(stream, figures)
        finding = self._checks[stream].nothing_scored(figures)
        if finding is None or (stream in self._trouble and not figures.records_read):
            return notices
        return notices + self._open_or_close(stream, ProblemKind.UNSCORED, finding)

    def context_lost(self, stream: str, reason: str) -> list[HealthNotice]:
        """Tell that the journal of the context is of no use for this reason."""
        self._at(stream)
        return self._report_once(stream, ProblemKind.CONTEXT, problems.context_lost(reason))

    def sink(self, figures: SinkFigures) -> list[HealthNotice]:
        """Take how a sink stands at this moment; to be called often."""
        stream = about_sink(figures.name)
        self._at(stream)
        finding = problems.sink_fails(figures)
        if finding is None and (figures.failing or not figures.succeeded):
            return []  # after a restart it is not known yet
        return self._open_or_close(stream, ProblemKind.SINK, finding)

    def of_watch(self, kind: ProblemKind, finding: HealthFinding) -> HealthNotice:
        """Tell of what happened to the watch's own files, each time."""
        self._at(_OURS)
        return self._raise(_OURS, kind.value, finding, "closed")

    def traffic(self, finding: HealthFinding | None) -> list[HealthNotice]:
        """Take whether the traffic of all streams is not what the bundle was calibrated on."""
        self._at(_OURS)
        return self._open_or_close(_OURS, ProblemKind.DRIFT, finding)

    def suricata(self, finding: HealthFinding | None) -> list[HealthNotice]:
        """Take whether a Suricata that is to be told of hosts does not hold them."""
        self._at(_OURS)
        return self._open_or_close(_OURS, ProblemKind.SURICATA, finding)

    def keep_only(self, streams: Collection[str]) -> list[HealthNotice]:
        """Forget all other streams, and close what is open of them."""
        notices: list[HealthNotice] = []
        self._at(_OURS)
        for stream in [s for s in self._streams if s not in streams and s != _OURS]:
            for key, problem in self._streams[stream].problems.items():
                if problem.open:
                    notices.append(self._close(stream, key, problem, "no longer watched"))
            del self._streams[stream]
            self._checks.pop(stream, None)
            self._trouble.pop(stream, None)
        return notices

    @property
    def open_problems(self) -> list[tuple[str, str]]:
        """Streams and kinds of the problems that are open."""
        known = [(s, *item) for s, of in self._streams.items() for item in of.problems.items()]
        return [(stream, key) for stream, key, problem in known if problem.open]

    def save(self) -> dict[str, Any]:
        """What is to be known after a restart, as values that JSON knows.

        Its size is bounded by the number of streams: some hundred bytes each.
        """
        known = _Stored(self._wall, self._number, self._streams)
        stored: dict[str, Any] = msgspec.to_builtins(known)
        for state in stored["streams"].values():
            for problem in state["problems"].values():
                problem["opened"] = self._now - problem["opened"]
        return stored

    def load(self, stored: Any) -> None:
        """Go on from what `save` gave; before anything else.

        What is nothing of that kind is an `InputError`, and the monitor knows as little as before.
        """
        try:
            converted = msgspec.convert(stored, _Stored)
        except msgspec.ValidationError as error:
            raise InputError(f"stored state of the health monitor is damaged: {error}") from error
        away = max(self._wall - converted.wall, 0.0)
        for state in converted.streams.values():
            if unknown := state.problems.keys() - _KEYS:
                shown = printable(min(unknown))
                raise InputError(f"stored state of the health monitor is damaged: {shown}")
            for problem in state.problems.values():
                problem.opened = self._now - away - problem.opened
        self._number, self._streams = converted.number, converted.streams

    def _at(self, stream: str) -> _Stream:
        """What is known of a stream, at a new moment."""
        self._now, self._wall = self._clock(), self._wall_clock()
        return self._streams.setdefault(stream, _Stream())

    # -- problems --------------------------------------------------------------------------------

    def _open_or_close(
        self, stream: str, kind: ProblemKind, finding: HealthFinding | None
    ) -> list[HealthNotice]:
        """Open or close a problem if that is due."""
        problem = self._streams[stream].problems.get(kind.value)
        if finding is None:
            if problem is None or not problem.open:
                return []
            return [self._close(stream, kind.value, problem, kind.over)]
        if problem is not None and (problem.open or self._now < problem.opened + _APART):
            return []
        return [self._raise(stream, kind.value, finding, "open")]

    def _report_once(
        self, stream: str, key: str, finding: HealthFinding, at_least: int = 0
    ) -> list[HealthNotice]:
        """Tell of what began and ended at once, or count it until the hour is over."""
        problem = self._streams[stream].problems.get(key)
        if problem is None or (self._now >= problem.opened + _APART and not problem.further):
            return [self._raise(stream, key, finding, "closed")]
        problem.further += 1
        problem.at_least += at_least
        return []

    def _raise(
        self, stream: str, key: str, finding: HealthFinding, state: HealthState
    ) -> HealthNotice:
        self._number += 1
        moment = (f"{self._wall:.6f}", str(self._number))
        name = health_id(_note(key), key, self._sensor, stream, *moment)
        problem = _Problem(name, self._now, state == "open", finding.severity)
        self._streams[stream].problems[key] = problem
        return self._notice(stream, key, name, finding, state, 0)

    def _close(self, stream: str, key: str, problem: _Problem, what: str) -> HealthNotice:
        problem.open = False
        lasted = max(self._now - problem.opened, 0.0)
        sub = f"the problem lasted {duration(lasted)}; nothing is to be done"
        finding = HealthFinding(what, sub, problem.severity, {"seconds": round(lasted)})
        return self._notice(stream, key, problem.id, finding, "closed", 1)

    def _notice(
        self, stream: str, key: str, name: str, finding: HealthFinding, state: HealthState, seq: int
    ) -> HealthNotice:
        return HealthNotice(
            ts=self._wall,
            note=_note(key),
            msg=printable(f"{stream}: {finding.msg}" if stream else finding.msg, 400),
            sub=printable(finding.sub, 1000),
            state=state,
            seq=seq,
            id=name,
            severity=finding.severity,
            stream=printable(stream),
            sensor=printable(self._sensor),
            details=MappingProxyType({"problem": key.split()[0], **finding.details}),
        )


def _note(key: str) -> str:
    return MODEL_DRIFT if key == ProblemKind.DRIFT else SENSOR_PROBLEM
