"""The watch's self-monitoring: its log messages, health notices, status and metrics."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zeekml._version import __version__
from zeekml.alerts.health_notice import HealthNotice, first_notice, health_event
from zeekml.core.text import printable
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.errors import InputError, OutputError
from zeekml.features.feature_schema import FEATURES, SCHEMA_HASH
from zeekml.live.health import problems
from zeekml.live.health.checks import HealthLimits, StreamFigures
from zeekml.live.health.monitor import HealthMonitor
from zeekml.live.health.problems import HealthFinding, ProblemKind
from zeekml.live.health.prometheus import render, write_metrics
from zeekml.live.health.unscored import Instead
from zeekml.live.outputs.live_outputs import Shortened, notice_encoder
from zeekml.live.state.database import State
from zeekml.live.state.status import ABOUT, Problem, Status, budget_of, decode_about, encode_about
from zeekml.live.stream import SHED, LiveStream
from zeekml.live.tail.events import Event, FileOpened, Gap, Lines, Trouble
from zeekml.live.tail.inputs import StreamLogs
from zeekml.outputs import EVE_JSON, NOTICE_LOG

if TYPE_CHECKING:
    from zeekml.live.service import WatchJob

log = logging.getLogger("zeekml.watch")

_NOTE: Final = "health"
_OBSERVE_EVERY: Final = 1.0
_MOST_PROBLEMS: Final = 100
_PUBLISH_EVERY: Final = 10.0
_FIRST_RECORDS: Final = 1000


class Reporter:
    """Reports about the watch: in its log, as lines for notice.log, which most methods give, and
    as figures. The state remembers which problems are open.
    """

    def __init__(
        self,
        job: WatchJob,
        bundle: Bundle,
        policy: Policy,
        state: State,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._job, self._bundle = job, bundle
        self._clock = clock
        self._wall = wall
        self._host = socket.gethostname()
        self._encoded = notice_encoder(job.options)
        self._monitor = HealthMonitor(
            self._host, HealthLimits(job.config.stall_after, job.config.lag_after)
        )
        if (stored := state.note(_NOTE)) is not None:
            try:
                self._monitor.load(json.loads(stored), clock(), wall())
            except (InputError, ValueError) as error:
                log.warning("%s; problems that are open may be told of again", error)
        self._thresholds = policy.thresholds(bundle.manifest.thresholds)
        self._budget = budget_of(bundle.manifest.evaluation)
        self._lag = 0.0
        before = decode_about(state.note(ABOUT) or "")
        open_before = before.problems if before is not None and self._monitor.open_problems else []
        self._problems = {problem.id: problem for problem in open_before}
        self._observed = self._published = -_PUBLISH_EVERY
        self._unseen: set[str] = {logs.name for logs in job.logs}
        self._envelopes: set[tuple[str, str]] = set()
        self._metrics_failed = ""

    def _facts(self) -> dict[str, str]:
        """What the watch is about, by name, in the order in which it is reported."""
        job, bundle = self._job, self._bundle
        notices = f"{job.out / NOTICE_LOG} ({job.options.notice_format}), {job.out / EVE_JSON}"
        thresholds = (f"{t} {value:.4f}" for t, value in sorted(self._thresholds.items()))
        return {
            "follows": ", ".join(f"{log.sensor} {path}" for log in job.logs for path in log.paths),
            "notices": notices,
            "state": str(job.state),
            "bundle": f"{bundle.manifest.name} {bundle.short_digest} "
            f"({len(bundle.manifest.members)} members)",
            "features": f"{len(FEATURES)}, schema {SCHEMA_HASH[:12]}",
            "thresholds": ", ".join(thresholds),
            "local_nets": ", ".join(job.config.local_nets),
            "limits": f"{job.config.context_records:,} records of context, "
            f"{job.config.journal_mb:,} MB of journal, held {job.config.suricata_hold:g} s "
            "(Suricata)",
            "version": __version__,
        }

    def opening(self, name: str) -> list[bytes]:
        """The lines that a new output file of this name begins with."""
        if name not in (NOTICE_LOG, EVE_JSON):
            return []
        msg = f"zeekml {__version__} writes its notices here"
        notice = first_notice(self._wall(), msg, self._facts(), sensor=self._host)
        return [health_event(notice)] if name == EVE_JSON else [self._encoded(notice)]

    def start(self, streams: Sequence[LiveStream], wake_problem: str | None) -> list[bytes]:
        """Report the start."""
        for name, fact in self._facts().items():
            log.info("%s: %s", name, printable(fact, 2000))
        if wake_problem is not None:
            log.warning(
                "changes of logs are not seen at once but by looking (%s)", printable(wake_problem)
            )
        now, wall = self._clock(), self._wall()
        notices = self._monitor.keep_only([s.logs.name for s in streams], now, wall)
        for stream in streams:
            name = stream.logs.name
            for path in _missing(stream.logs):
                log.warning("%s: is not there yet; waiting for it", printable(str(path), 4096))
            if (scored := stream.record.counters.accepted) > 0:
                log.info(
                    "%s: goes on after %s records scored before", printable(name), f"{scored:,}"
                )
            for problem in stream.problems:
                log.warning("%s: %s", printable(name), printable(problem, 400))
                notices += self._monitor.context_lost(name, now, wall, problem)
        return self._lines(notices)

    def shortened(self, outputs: Sequence[Shortened]) -> list[bytes]:
        """Report outputs that lacked something at the start."""
        found = [problems.output_shortened(lost.name, lost.lines, lost.size) for lost in outputs]
        return self._of_watch(ProblemKind.OUTPUT, found)

    def state_put_back(self, missing: str) -> list[bytes]:
        """Report that the state had to be written again."""
        finding = problems.state_put_back(str(self._job.state), missing)
        return self._of_watch(ProblemKind.STATE, [finding])

    def _of_watch(self, kind: ProblemKind, findings: Iterable[HealthFinding]) -> list[bytes]:
        now, wall = self._clock(), self._wall()
        return self._warned([self._monitor.of_watch(now, wall, kind, f) for f in findings])

    def happened(self, stream: LiveStream, events: Sequence[Event]) -> list[bytes]:
        """Report what happened to the logs."""
        notices: list[HealthNotice] = []
        self._log_envelopes(stream)
        for event in events:
            if isinstance(event, Lines):
                continue
            source = printable(event.source, 4096)
            if isinstance(event, FileOpened):
                log.info("%s: reading (%s)", source, event.how)
                continue
            if isinstance(event, Gap):
                log.error(
                    "%s: from line %d on (byte %d) data is lost, at least %d bytes (%s)",
                    source,
                    event.line,
                    event.offset,
                    event.at_least,
                    event.cause,
                )
            elif isinstance(event, Trouble):
                log.error(
                    "%s: %s; tried again until it can be read", source, printable(event.reason)
                )
            else:
                log.warning("%s: can be read again", source)
            notices += self._monitor.event(stream.logs.name, self._clock(), self._wall(), event)
        return self._lines(notices)

    def observe(self, streams: Sequence[LiveStream]) -> list[bytes]:
        """Look at the figures once a second."""
        now = self._clock()
        if now < self._observed + _OBSERVE_EVERY:
            return []
        self._observed = now
        self._lag = _lag_of(streams)
        notices: list[HealthNotice] = []
        for stream in streams:
            self._log_first_records(stream)
            figures = _figures_of(stream)
            notices += self._monitor.observe(stream.logs.name, now, self._wall(), figures)
        return self._warned(notices)

    def ended(self, streams: Sequence[LiveStream]) -> list[bytes]:
        """Look at what came until the input was over."""
        notices: list[HealthNotice] = []
        for stream in streams:
            if stream.record.counters.accepted:
                # it has flows, if only not lately
                continue
            figures = _figures_of(stream)
            notices += self._monitor.ended(stream.logs.name, self._clock(), self._wall(), figures)
        return self._warned(notices)

    def _warned(self, notices: Sequence[HealthNotice]) -> list[bytes]:
        for notice in notices:
            log.warning("%s", notice.msg)
            if notice.state == "open":
                log.warning("%s", notice.sub)
        return self._lines(notices)

    def notes(self) -> dict[str, str]:
        """What is to be remembered with the next commit."""
        about = Status(
            bundle=self._bundle.short_digest,
            thresholds=self._thresholds,
            notices_per_day=self._budget,
            lag=self._lag,
            problems=list(self._problems.values())[-_MOST_PROBLEMS:],
        )
        return {_NOTE: json.dumps(self._monitor.save()), ABOUT: encode_about(about)}

    def status(self, streams: Sequence[LiveStream]) -> str:
        """The state of things in a few words."""
        scored = sum(stream.record.counters.accepted for stream in streams)
        opened = sum(stream.record.notices.total() for stream in streams)
        return (
            f"{scored:,} records scored, {opened:,} incidents, {_lag_of(streams):.0f} s behind, "
            f"{len(self._monitor.open_problems)} problems open"
        )

    def publish(
        self, streams: Sequence[LiveStream], state: State, *, up: bool = True, now: bool = False
    ) -> bool:
        """Write the figures for Prometheus, if that is asked for and due; tell whether it was."""
        clock = self._clock()
        if clock < self._published + _PUBLISH_EVERY and not now:
            return False
        self._published = clock
        if (path := self._job.config.metrics_file) is None:
            return True
        try:
            bundle, commits = self._bundle, state.commits
            write_metrics(Path(path), render(streams, bundle, commits=commits, up=up))
            self._metrics_failed = ""
        except OutputError as error:
            # figures are not worth stopping for
            if str(error) != self._metrics_failed:
                self._metrics_failed = str(error)
                log.error("%s", error)
        return True

    def _log_envelopes(self, stream: LiveStream) -> None:
        """Once for each kind: that records do not stand alone in their lines."""
        name = printable(stream.logs.name)
        for envelope in stream.record.counters.unwrapped:
            if (name, envelope) not in self._envelopes:
                self._envelopes.add((name, envelope))
                log.info("%s: records are taken out of what is around them (%s)", name, envelope)

    def _log_first_records(self, stream: LiveStream) -> None:
        """Once there are some records: whether they can be read, and tell what they should."""
        counters = stream.record.counters
        name = stream.logs.name
        if name not in self._unseen or stream.coverage.share is None:
            return
        if counters.records_read < _FIRST_RECORDS:
            return
        self._unseen.discard(name)
        rejected = counters.rejected.total() / counters.records_read
        log.info(
            "%s: %s; %s lines read, %s scored, %.2f %% could not be read; "
            "%.0f %% of the values that features are made of are there",
            printable(name),
            " and ".join(stream.formats),
            f"{counters.records_read:,}",
            f"{counters.accepted:,}",
            100 * rejected,
            100 * stream.coverage.share,
        )

    def _lines(self, notices: Sequence[HealthNotice]) -> list[bytes]:
        for notice in notices:
            if notice.state == "closed":
                self._problems.pop(notice.id, None)
            else:
                self._problems[notice.id] = Problem(
                    notice.id, notice.ts, notice.severity, notice.msg
                )
        return [self._encoded(notice) for notice in notices]


def _figures_of(stream: LiveStream) -> StreamFigures:
    counters, logs = stream.record.counters, stream.logs
    instead = Instead(
        sensor=logs.sensor,
        skipped={kind: n for kind, n in counters.skipped.items() if kind != SHED},
        rejected=counters.rejected,
        formats=tuple(stream.formats),
        reject=stream.first_reject,
        absent=() if counters.records_read else tuple(map(str, _missing(logs))),
    )
    return StreamFigures(
        records_read=counters.records_read,
        records_rejected=counters.rejected.total(),
        records_scored=counters.accepted,
        bytes_behind=0 if stream.idle else stream.bytes_behind(),
        lag=stream.lag,
        record_clock=stream.stream_clock,
        coverage=stream.coverage.share,
        drops=stream.drops,
        packets=stream.packets,
        instead=instead,
    )


def _missing(logs: StreamLogs) -> list[Path]:
    """The logs that are not there yet."""
    # unlike Path.exists, this takes what cannot be looked at for missing
    return [path for path in logs.paths if not os.path.exists(path)]  # noqa: PTH110


def _lag_of(streams: Sequence[LiveStream]) -> float:
    """Seconds by which reading is behind, the largest of all streams."""
    return max((stream.lag for stream in streams), default=0.0)
