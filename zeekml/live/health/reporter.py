"""The watch's self-monitoring: its log messages, health notices, status and metrics."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from zeekml._version import __version__
from zeekml.alerts.formats import encode_in_form
from zeekml.alerts.health_notice import HealthNotice, first_notice, health_event
from zeekml.core.text import printable
from zeekml.core.units import counted
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.errors import InputError
from zeekml.features.feature_schema import FEATURES, SCHEMA_HASH
from zeekml.feeds.suricata_feed import SuricataStatus
from zeekml.live.event_tails import event_paths, reads_events
from zeekml.live.health import problems
from zeekml.live.health.drift import TrafficDrift
from zeekml.live.health.figures import StreamFigures
from zeekml.live.health.monitor import HealthMonitor
from zeekml.live.health.problems import HealthFinding, ProblemKind
from zeekml.live.health.prometheus import render
from zeekml.live.health.publisher import Publisher
from zeekml.live.interim_tails import interim_paths
from zeekml.live.outputs.live_outputs import notice_encoder
from zeekml.live.state.database import State
from zeekml.live.state.reader import ABOUT, Problem, Status, budget_of, decode_about, encode_about
from zeekml.live.stream import SHED, LiveStream
from zeekml.live.tail.events import Event, FileOpened, Gap, Lines, Trouble
from zeekml.live.tail.inputs import StreamLogs
from zeekml.outputs import EVE_JSON, NOTICE_LOG
from zeekml.readers.events.event_schema import BRING
from zeekml.sinks.push import SinkFigures
from zeekml.sinks.sink_filter import about_sink

if TYPE_CHECKING:
    from zeekml.live.service import WatchJob

log = logging.getLogger("zeekml.watch")

_NOTE: Final = "health"
_TRAFFIC: Final = "traffic"
_OBSERVE_EVERY: Final = 1.0
_PUBLISH_EVERY: Final = 10.0
_FIRST_RECORDS: Final = 1000
_SURICATA_MAY_TAKE: Final = 60.0  # seconds to start, and to read its rules


class Reporter:
    """Reports about the watch: in its log, as notices, which most methods give, and as figures.
    The state remembers which problems are open.
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
        self._job, self._bundle, self._state = job, bundle, state
        self._clock = clock
        self._wall = wall
        self._host = socket.gethostname()
        self._encoded = notice_encoder(job.options)
        self._monitor = HealthMonitor(self._host, job.config, clock, wall)
        if (stored := state.note(_NOTE)) is not None:
            try:
                self._monitor.load(json.loads(stored))
            except (InputError, ValueError) as error:
                log.warning("%s; problems that are open may be told of again", error)
        self.drift = TrafficDrift(bundle)
        try:
            self.drift.load(state.note(_TRAFFIC) or "")
        except InputError as error:
            log.warning("%s; a day is counted anew", error)
        self._about = _status(bundle, policy)
        before = decode_about(state.note(ABOUT) or "")
        open_before = before.problems if before is not None and self._monitor.open_problems else []
        self._problems = {problem.id: problem for problem in open_before}
        self._observed = self._published = -_PUBLISH_EVERY
        self._unseen: set[str] = {logs.name for logs in job.logs}
        self._envelopes: set[tuple[str, str]] = set()
        self._publisher = Publisher(job.config, clock)
        self._suricata: SuricataStatus | None = None
        self._no_suricata_since: float | None = None

    def go_by(self, bundle: Bundle, policy: Policy) -> None:
        """Tell of another bundle or policy from now on."""
        self._bundle = bundle
        self.drift.go_by(bundle)
        now = self._about
        self._about = replace(_status(bundle, policy), lag=now.lag, problems=now.problems)

    def _facts(self) -> dict[str, str]:
        """What the watch is about, by name, in the order in which it is reported."""
        job, bundle = self._job, self._bundle
        notices = f"{job.out / NOTICE_LOG} ({job.options.notice_format}), {job.out / EVE_JSON}"
        notices += "".join(f", {also.path} ({also.form})" for also in job.options.also)
        thresholds = (f"{t} {value:.4f}" for t, value in sorted(self._about.thresholds.items()))
        config, manifest = job.config, bundle.manifest
        limits = f"{config.context_records:,} records of context, {config.journal_mb:,} MB of "
        limits += f"journal, held {config.suricata_hold:g} s (Suricata)"
        return {
            "follows": ", ".join(f"{log.sensor} {path}" for log in job.logs for path in log.paths),
            "notices": notices,
            "state": str(job.state),
            "bundle": f"{manifest.name} {bundle.short_digest} ({len(manifest.members)} members)",
            "features": f"{len(FEATURES)}, schema {SCHEMA_HASH[:12]}",
            "thresholds": ", ".join(thresholds),
            "drift": _drift_fact(self.drift),
            "local_nets": ", ".join(config.local_nets),
            "limits": limits,
            "version": __version__,
        }

    def opening(self, name: str) -> list[bytes]:
        """The lines that a new output file of this name begins with."""
        also = {also.name: also.form for also in self._job.options.also}
        if name not in (NOTICE_LOG, EVE_JSON, *also):
            return []
        msg = f"zeekml {__version__} writes its notices here"
        notice = first_notice(self._wall(), msg, self._facts(), sensor=self._host)
        if name in also:
            return [encode_in_form(also[name], notice)]
        return [health_event(notice)] if name == EVE_JSON else [self._encoded(notice)]

    def start(
        self, streams: Sequence[LiveStream], sinks: Sequence[str], wake_problem: str | None
    ) -> list[HealthNotice]:
        """Report the start."""
        for name, fact in self._facts().items():
            log.info("%s: %s", name, printable(fact, 2000))
        if wake_problem is not None:
            shown = printable(wake_problem)
            log.warning("changes of logs are not seen at once but by looking (%s)", shown)
        watched = [stream.logs.name for stream in streams]
        notices = self._monitor.keep_only([*watched, *map(about_sink, sinks)])
        for stream in streams:
            name = stream.logs.name
            for path in _missing(stream.logs):
                log.warning("%s: is not there yet; waiting for it", printable(str(path), 4096))
            _tell_of_events(stream.logs)
            if (scored := f"{stream.record.counters.accepted:,}") != "0":
                log.info("%s: goes on after %s records scored before", printable(name), scored)
            for problem in stream.problems:
                log.warning("%s: %s", printable(name), printable(problem, 400))
                notices += self._monitor.context_lost(name, problem)
        return self._noted(notices)

    def of_watch(self, kind: ProblemKind, findings: Iterable[HealthFinding]) -> list[HealthNotice]:
        """Report what happened to the watch's own files."""
        return self._warned([self._monitor.of_watch(kind, finding) for finding in findings])

    def happened(self, stream: LiveStream, events: Sequence[Event]) -> list[HealthNotice]:
        """Report what happened to the logs."""
        notices: list[HealthNotice] = []
        name = printable(stream.logs.name)
        for envelope in stream.record.counters.unwrapped:
            # once for each kind: that records do not stand alone in their lines
            if (name, envelope) not in self._envelopes:
                self._envelopes.add((name, envelope))
                log.info("%s: records are taken out of what is around them (%s)", name, envelope)
        for event in events:
            if isinstance(event, Lines):
                continue
            source = printable(event.source, 4096)
            if isinstance(event, FileOpened):
                log.info("%s: reading (%s)", source, event.how)
                continue
            if isinstance(event, Gap):
                lost = "%s: from line %d on (byte %d) data is lost, at least %d bytes (%s)"
                log.error(lost, source, event.line, event.offset, event.at_least, event.cause)
            elif isinstance(event, Trouble):
                reason = printable(event.reason)
                log.error("%s: %s; tried again until it can be read", source, reason)
            else:
                log.warning("%s: can be read again", source)
            notices += self._monitor.event(stream.logs.name, event)
        return self._noted(notices)

    def observe(
        self,
        streams: Sequence[LiveStream],
        suricata: SuricataStatus | None = None,
        sinks: Sequence[SinkFigures] = (),
    ) -> list[HealthNotice]:
        """Look at the figures once a second; `suricata` is who is told of hosts, if anybody is."""
        now = self._clock()
        if now < self._observed + _OBSERVE_EVERY:
            return []
        self._observed = now
        self._about = replace(self._about, lag=_lag_of(streams))
        notices: list[HealthNotice] = []
        for stream in streams:
            self._log_first_records(stream)
            notices += self._monitor.observe(stream.logs.name, _figures_of(stream))
        notices += self._monitor.traffic(self.drift.finding)
        for sink in sinks:
            notices += self._monitor.sink(sink)
        self._suricata = suricata
        return self._warned(notices + self._of_suricata(now))

    def _of_suricata(self, now: float) -> list[HealthNotice]:
        """Whether Suricata takes what it is told; one that is being started has time for it."""
        status = self._suricata
        if status is None or (status.connected and status.trouble is None):
            self._no_suricata_since = None
            return self._monitor.suricata(None)
        if self._no_suricata_since is None:
            self._no_suricata_since = now
        if status.trouble is None or now < self._no_suricata_since + _SURICATA_MAY_TAKE:
            return []
        return self._monitor.suricata(problems.suricata(status.trouble))

    def ended(self, streams: Sequence[LiveStream]) -> list[HealthNotice]:
        """Look at what came until the input was over."""
        # the others have flows, if only not lately
        without = [stream for stream in streams if not stream.record.counters.accepted]
        found = [self._monitor.ended(stream.logs.name, _figures_of(stream)) for stream in without]
        return self._warned([notice for notices in found for notice in notices])

    def _warned(self, notices: Sequence[HealthNotice]) -> list[HealthNotice]:
        for notice in notices:
            log.warning("%s", notice.msg)
            if notice.state == "open":
                log.warning("%s", notice.sub)
        return self._noted(notices)

    def notes(self, *, last: bool = False) -> dict[str, str]:
        """What is to be remembered with the next commit, or with the last one."""
        # the latest
        about = replace(self._about, problems=list(self._problems.values())[-100:])
        known = {_NOTE: json.dumps(self._monitor.save()), ABOUT: encode_about(about)}
        if self.drift.due or last:
            # large, and of no use to the second
            known[_TRAFFIC] = self.drift.save()
        return known

    def status(self, streams: Sequence[LiveStream]) -> str:
        """The state of things in a few words."""
        scored = sum(stream.record.counters.accepted for stream in streams)
        opened = sum(stream.record.notices.total() for stream in streams)
        return (
            f"{scored:,} records scored, {opened:,} incidents, {_lag_of(streams):.0f} s behind, "
            f"{len(self._monitor.open_problems)} problems open"
        )

    def publish(
        self,
        streams: Sequence[LiveStream],
        sinks: Sequence[SinkFigures] = (),
        *,
        up: bool = True,
        due: bool = False,
    ) -> bool:
        """Publish the figures for Prometheus, if that is due; tell whether it was."""
        clock = self._clock()
        if clock < self._published + _PUBLISH_EVERY and not due:
            return False
        self._published = clock
        if self._publisher.wanted:
            figures = render(
                streams,
                self._bundle,
                sinks,
                commits=self._state.commits,
                up=up,
                now=self._wall(),
                suricata=self._suricata,
            )
            self._publisher.publish(figures)
        return True

    def close(self) -> None:
        """Publish no more."""
        self._publisher.close()

    def _log_first_records(self, stream: LiveStream) -> None:
        """Once there are some records: whether they can be read, and tell what they should."""
        counters, share = stream.record.counters, stream.coverage.share
        name, read = stream.logs.name, stream.record.counters.records_read
        if name not in self._unseen or share is None or read < _FIRST_RECORDS:
            return
        self._unseen.discard(name)
        log.info(
            "%s: %s; %s lines read, %s scored, %.2f %% could not be read; "
            "%.0f %% of the values that features are made of are there",
            *(printable(name), " and ".join(stream.formats), f"{read:,}"),
            *(f"{counters.accepted:,}", 100 * counters.rejected.total() / read, 100 * share),
        )

    def _noted(self, notices: Sequence[HealthNotice]) -> list[HealthNotice]:
        for notice in notices:
            if notice.state == "closed":
                self._problems.pop(notice.id, None)
            else:
                problem = Problem(notice.id, notice.ts, notice.severity, notice.msg)
                self._problems[notice.id] = problem
        return list(notices)


def _figures_of(stream: LiveStream) -> StreamFigures:
    counters = stream.record.counters
    stats = [decoder.stats for _, decoder in stream.tails]
    return StreamFigures(
        sensor=stream.logs.sensor,
        records_read=counters.records_read,
        records_scored=counters.accepted,
        skipped={kind: n for kind, n in counters.skipped.items() if kind != SHED},
        rejected=dict(counters.rejected),
        reject=stream.rejects.first,
        formats=tuple(stream.formats),
        absent=() if counters.records_read else tuple(map(str, _missing(stream.logs))),
        bytes_behind=0 if stream.idle else stream.bytes_behind(),
        lag=stream.lag,
        record_clock=stream.stream_clock,
        coverage=stream.coverage.share,
        one_sided=stream.record.sides.share,
        lacks_side=stream.record.sides.lacking,
        drops=max((s.drops for s in stats if s.drops is not None), default=None),
        packets=max((s.packets for s in stats if s.packets is not None), default=None),
    )


def _missing(logs: StreamLogs) -> list[Path]:
    """The logs that are not there yet."""
    # unlike Path.exists, this takes what cannot be looked at for missing
    return [path for path in logs.paths if not os.path.exists(path)]  # noqa: PTH110


def _lag_of(streams: Sequence[LiveStream]) -> float:
    """Seconds by which reading is behind, the largest of all streams."""
    return max((stream.lag for stream in streams), default=0.0)


def _tell_of_events(logs: StreamLogs) -> None:
    """Say which logs are read beside a log of flows, and what others of events would bring."""
    if not reads_events(logs):
        return
    paths = list(event_paths(logs.paths[0]).values())
    there = [path.name for path in paths if os.path.exists(path)]  # noqa: PTH110
    missing = [path.name for path in paths if path.name not in there]
    interim = interim_paths(logs.paths[0]).values()
    there += [path.name for path in interim if os.path.exists(path)]  # noqa: PTH110
    name = printable(logs.name)
    if there:
        log.info("%s: reads %s beside it", name, printable(", ".join(there)))
    if missing:
        log.info("%s: not there: %s, which %s", name, printable(", ".join(missing)), BRING)


def _status(bundle: Bundle, policy: Policy) -> Status:
    thresholds = policy.thresholds(bundle.manifest.thresholds)
    budget = budget_of(bundle.manifest.evaluation)
    return Status(bundle=bundle.short_digest, thresholds=thresholds, notices_per_day=budget)


def _drift_fact(drift: TrafficDrift) -> str:
    """Whether there is something to compare the traffic with."""
    if drift.profile is None:
        return "not looked for, since the bundle was not calibrated on a site (zeekml calibrate)"
    flows, days = drift.profile.flows, counted(drift.profile.days, "day")
    return f"looked for each hour, against {flows:,} flows of {days} at calibration"
