"""What a watcher says about itself: at its start, about trouble, and in figures."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml._version import __version__
from zeekml.alerts.health_notice import HealthNotice, first_notice, health_event
from zeekml.alerts.zeek_notice import TsvEncoder, encode_json
from zeekml.config import Config
from zeekml.core.text import printable
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.errors import InputError, OutputError
from zeekml.features.feature_schema import FEATURES, SCHEMA_HASH
from zeekml.live.health import text as wording
from zeekml.live.health.checks import HealthLimits, StreamFigures
from zeekml.live.health.monitor import HealthMonitor
from zeekml.live.health.prometheus import StreamMetrics, WatchMetrics, write_metrics
from zeekml.live.health.text import HealthFinding, ProblemKind
from zeekml.live.health.unscored import Instead
from zeekml.live.outputs.live_outputs import Shortened
from zeekml.live.state.database import State
from zeekml.live.state.status import ABOUT, Problem, Status, budget_of, decode_about, encode_about
from zeekml.live.stream import SHED, LiveStream
from zeekml.live.tail.events import Event, FileOpened, Gap, Recovered, Trouble
from zeekml.live.tail.stream_logs import StreamLogs
from zeekml.outputs import EVE_JSON, NOTICE_LOG, OutputOptions

log = logging.getLogger("zeekml.watch")

_NOTE: Final = "health"
_OBSERVE_EVERY: Final = 1.0
_MOST_PROBLEMS: Final = 100
_PUBLISH_EVERY: Final = 10.0
_FIRST_RECORDS: Final = 1000


@dataclass(frozen=True)
class Facts:
    """What a watch is about, as it is told at its start."""

    logs: Sequence[StreamLogs]
    out: Path
    state: Path
    config: Config
    options: OutputOptions
    bundle: Bundle
    policy: Policy

    def told(self) -> dict[str, str]:
        """The facts by name, in the order to be told."""
        manifest = self.bundle.manifest
        thresholds = self.policy.thresholds(manifest.thresholds)
        paths = [f"{log.sensor} {path}" for log in self.logs for path in log.paths]
        return {
            "follows": ", ".join(paths),
            "notices": f"{self.out / NOTICE_LOG} ({self.options.notice_format}), "
            f"{self.out / EVE_JSON}",
            "state": str(self.state),
            "bundle": f"{manifest.name} {self.bundle.short_digest} "
            f"({len(manifest.members)} members)",
            "features": f"{len(FEATURES)}, schema {SCHEMA_HASH[:12]}",
            "thresholds": ", ".join(f"{t} {value:.4f}" for t, value in sorted(thresholds.items())),
            "local_nets": ", ".join(self.config.local_nets),
            "limits": f"{self.config.context_records:,} records of context, "
            f"{self.config.journal_mb:,} MB of journal, held {self.config.suricata_hold:g} s "
            "(Suricata)",
            "version": __version__,
        }


class Reporter:
    """Reports about the watch, in its log, as notices, and as figures.

    Parameters
    ----------
    facts
        What it is about.
    state
        Remembers which problems are open.
    clock, wall
        Seconds that never go backwards, and the time of day.
    """

    def __init__(
        self, facts: Facts, state: State, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._facts = facts
        self._clock = clock
        self._wall = wall
        self._host = socket.gethostname()
        options = facts.options
        self._strict = options.strict_notice
        self._tsv = TsvEncoder(0.0, self._strict) if options.notice_format == "tsv" else None
        config = facts.config
        self._monitor = HealthMonitor(
            self._host, HealthLimits(stall_after=config.stall_after, lag_after=config.lag_after)
        )
        if (stored := state.note(_NOTE)) is not None:
            try:
                self._monitor.load(json.loads(stored))
            except (InputError, ValueError) as error:
                log.warning("%s; problems that are open may be told of again", error)
        manifest = facts.bundle.manifest
        self._thresholds = facts.policy.thresholds(manifest.thresholds)
        self._budget = budget_of(manifest.evaluation)
        self._lag = 0.0
        before = decode_about(state.note(ABOUT) or "")
        open_before = before.problems if before is not None and self._monitor.open_problems else []
        self._problems = {problem.id: problem for problem in open_before}
        self._observed = self._published = -_PUBLISH_EVERY
        self._unseen: set[str] = {logs.name for logs in facts.logs}
        self._envelopes: set[tuple[str, str]] = set()
        self._metrics_failed = ""

    def opening(self, name: str) -> list[bytes]:
        """The lines that a new output file of this name begins with."""
        if name not in (NOTICE_LOG, EVE_JSON):
            return []
        msg = f"zeekml {__version__} writes its notices here"
        notice = first_notice(self._wall(), msg, self._facts.told(), sensor=self._host)
        return [health_event(notice)] if name == EVE_JSON else [self._encoded(notice)]

    def start(self, followers: Sequence[LiveStream], wake_problem: str | None) -> list[bytes]:
        """Report the start; return lines for notice.log."""
        for name, fact in self._facts.told().items():
            log.info("%s: %s", name, printable(fact, 2000))
        if wake_problem is not None:
            log.warning(
                "changes of logs are not seen at once but by looking (%s)", printable(wake_problem)
            )
        now, wall = self._clock(), self._wall()
        notices = self._monitor.keep_only([f.logs.name for f in followers], now, wall)
        for follower in followers:
            name = follower.logs.name
            for path in _missing(follower.logs):
                log.warning("%s: is not there yet; waiting for it", printable(str(path), 4096))
            if (scored := follower.record.counters.accepted) > 0:
                log.info(
                    "%s: goes on after %s records scored before", printable(name), f"{scored:,}"
                )
            for problem in follower.problems:
                log.warning("%s: %s", printable(name), printable(problem, 400))
                notices += self._monitor.context_lost(name, now, wall, problem, cut=False)
        return self._lines(notices)

    def shortened(self, outputs: Sequence[Shortened]) -> list[bytes]:
        """Report outputs that lacked something at the start; return lines for notice.log."""
        return [
            line
            for lost in outputs
            for line in self._of_watch(
                ProblemKind.OUTPUT, wording.output_shortened(lost.name, lost.lines, lost.size)
            )
        ]

    def state_put_back(self, missing: str) -> list[bytes]:
        """Report that the state had to be written again; return lines for notice.log."""
        return self._of_watch(
            ProblemKind.STATE, wording.state_put_back(str(self._facts.state), missing)
        )

    def _of_watch(self, kind: ProblemKind, finding: HealthFinding) -> list[bytes]:
        notices = self._monitor.of_watch(self._clock(), self._wall(), kind, finding)
        for notice in notices:
            log.warning("%s", notice.msg)
        return self._lines(notices)

    def happened(self, follower: LiveStream, events: Sequence[Event]) -> list[bytes]:
        """Report what happened to the logs; return lines for notice.log."""
        notices: list[HealthNotice] = []
        self._tell_of_envelopes(follower)
        for event in events:
            if isinstance(event, FileOpened):
                log.info("%s: reading (%s)", printable(event.source, 4096), event.how)
            elif isinstance(event, Gap | Trouble | Recovered):
                _log_event(event)
                notices += self._monitor.event(
                    follower.logs.name, self._clock(), self._wall(), event
                )
        return self._lines(notices)

    def observe(self, followers: Sequence[LiveStream]) -> list[bytes]:
        """Look at the figures once a second; return lines for notice.log."""
        now = self._clock()
        if now < self._observed + _OBSERVE_EVERY:
            return []
        self._observed = now
        self._lag = _lag_of(followers)
        notices: list[HealthNotice] = []
        for follower in followers:
            self._tell_of_first_records(follower)
            figures = _figures_of(follower)
            notices += self._monitor.observe(follower.logs.name, now, self._wall(), figures)
        return self._warned(notices)

    def ended(self, followers: Sequence[LiveStream]) -> list[bytes]:
        """Look at what came until the input was over; return lines for notice.log."""
        notices: list[HealthNotice] = []
        for follower in followers:
            if follower.record.counters.accepted:
                # it has flows, if only not lately
                continue
            figures = _figures_of(follower)
            notices += self._monitor.ended(follower.logs.name, self._clock(), self._wall(), figures)
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
            bundle=self._facts.bundle.short_digest,
            thresholds=self._thresholds,
            notices_per_day=self._budget,
            lag=self._lag,
            problems=list(self._problems.values())[-_MOST_PROBLEMS:],
        )
        return {_NOTE: json.dumps(self._monitor.save()), ABOUT: encode_about(about)}

    def _remember(self, notices: Sequence[HealthNotice]) -> None:
        """Keep in mind which problems are open, for those who look on."""
        for notice in notices:
            if notice.state == "closed":
                self._problems.pop(notice.id, None)
            else:
                self._problems[notice.id] = Problem(
                    notice.id, notice.ts, notice.severity, notice.msg
                )

    def status(self, followers: Sequence[LiveStream]) -> str:
        """The state of things in a few words."""
        scored = sum(follower.record.counters.accepted for follower in followers)
        opened = sum(follower.record.notices.total() for follower in followers)
        lag = _lag_of(followers)
        problems = len(self._monitor.open_problems)
        return (
            f"{scored:,} records scored, {opened:,} incidents, {lag:.0f} s behind, "
            f"{problems} problems open"
        )

    def publish(
        self, followers: Sequence[LiveStream], state: State, *, up: bool = True, now: bool = False
    ) -> bool:
        """Write the figures for Prometheus, if that is asked for and due; tell whether it was."""
        clock = self._clock()
        if clock < self._published + _PUBLISH_EVERY and not now:
            return False
        self._published = clock
        path = self._facts.config.metrics_file
        if path is not None:
            self._write_metrics(Path(path), followers, state, up)
        return True

    def _write_metrics(
        self, path: Path, followers: Sequence[LiveStream], state: State, up: bool
    ) -> None:
        bundle = self._facts.bundle
        metrics = WatchMetrics(
            streams={follower.logs.name: _metrics_of(follower) for follower in followers},
            state_commits=state.commits,
            bundle_sha256=bundle.digest,
            bundle_name=bundle.manifest.name,
            version=__version__,
            up=up,
        )
        try:
            write_metrics(path, metrics)
            self._metrics_failed = ""
        except OutputError as error:
            # figures are not worth stopping for
            if str(error) != self._metrics_failed:
                self._metrics_failed = str(error)
                log.error("%s", error)

    def _tell_of_envelopes(self, follower: LiveStream) -> None:
        """Once for each kind: that records do not stand alone in their lines."""
        name = printable(follower.logs.name)
        for envelope in follower.record.counters.unwrapped:
            if (name, envelope) not in self._envelopes:
                self._envelopes.add((name, envelope))
                log.info("%s: records are taken out of what is around them (%s)", name, envelope)

    def _tell_of_first_records(self, follower: LiveStream) -> None:
        """Once there are some records: whether they can be read, and tell what they should."""
        counters = follower.record.counters
        name = follower.logs.name
        if name not in self._unseen or follower.coverage.share is None:
            return
        if counters.records_read < _FIRST_RECORDS:
            return
        self._unseen.discard(name)
        rejected = counters.rejected.total() / counters.records_read
        log.info(
            "%s: %s; %s lines read, %s scored, %.2f %% could not be read; "
            "%.0f %% of the values that features are made of are there",
            printable(name),
            " and ".join(follower.formats),
            f"{counters.records_read:,}",
            f"{counters.accepted:,}",
            100 * rejected,
            100 * follower.coverage.share,
        )

    def _lines(self, notices: Sequence[HealthNotice]) -> list[bytes]:
        self._remember(notices)
        return [self._encoded(notice) for notice in notices]

    def _encoded(self, notice: HealthNotice) -> bytes:
        if self._tsv is not None:
            return self._tsv.encode(notice)
        return encode_json(notice, strict=self._strict)


def _figures_of(follower: LiveStream) -> StreamFigures:
    counters = follower.record.counters
    return StreamFigures(
        records_read=counters.records_read,
        records_rejected=counters.rejected.total(),
        records_scored=counters.accepted,
        bytes_behind=0 if follower.idle else follower.bytes_behind(),
        lag=follower.lag,
        record_clock=follower.stream_clock,
        coverage=follower.coverage.share,
        drops=follower.drops,
        packets=follower.packets,
        instead=_instead_in(follower),
    )


def _instead_in(follower: LiveStream) -> Instead:
    counters, logs = follower.record.counters, follower.logs
    return Instead(
        sensor=logs.sensor,
        skipped={kind: n for kind, n in counters.skipped.items() if kind != SHED},
        rejected=counters.rejected,
        formats=tuple(follower.formats),
        reject=follower.first_reject,
        absent=() if counters.records_read else tuple(map(str, _missing(logs))),
    )


def _missing(logs: StreamLogs) -> list[Path]:
    """The logs that are not there yet."""
    # unlike Path.exists, this takes what cannot be looked at for missing
    return [path for path in logs.paths if not os.path.exists(path)]  # noqa: PTH110


def _lag_of(followers: Sequence[LiveStream]) -> float:
    """Seconds by which reading is behind, the largest of all streams."""
    return max((follower.lag for follower in followers), default=0.0)


def _log_event(event: Gap | Trouble | Recovered) -> None:
    source = printable(event.source, 4096)
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
        log.error("%s: %s; tried again until it can be read", source, printable(event.reason))
    else:
        log.warning("%s: can be read again", source)


def _metrics_of(follower: LiveStream) -> StreamMetrics:
    record = follower.record
    counters = record.counters
    return StreamMetrics(
        records_read=counters.records_read,
        records_scored=counters.accepted,
        rejected=counters.rejected,
        skipped=counters.skipped,
        unknown=counters.values_unknown,
        lag_seconds=follower.lag,
        bytes_behind=follower.bytes_behind(),
        rotations=record.rotations,
        gaps=record.gaps,
        notices=record.notices,
        suppressed=follower.incidents.suppressed,
        silenced=record.silenced,
        open_incidents=follower.incidents.open_incidents,
        context_records=follower.context_records,
        late=follower.late,
        shed=counters.skipped[SHED],
        last_record_timestamp_seconds=follower.stream_clock,
    )
