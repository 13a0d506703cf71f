"""The watcher itself: poll, write, commit, wait; and what it does when one of these fails.

One loop does everything, so there is nothing to synchronise. What a poll brings is written to the
outputs and brought to disk before it is committed. If either cannot be done, nothing further is
read until it can (back-pressure): the sensor's log is the buffer, and memory stays what it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from zeekml.config import Config
from zeekml.core.directory_lock import TakenError
from zeekml.core.text import printable
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import load_bundle
from zeekml.errors import ConfigError, OutputError
from zeekml.feeds.feed_directory import refuse_feed
from zeekml.live.allowlist_reload import AllowlistReloader
from zeekml.live.bundle_reload import BundleReloader
from zeekml.live.health import problems
from zeekml.live.health.problems import ProblemKind
from zeekml.live.health.reporter import Reporter
from zeekml.live.health.systemd import ServiceManager
from zeekml.live.memory_trim import shed_library_pages, trim_heap
from zeekml.live.receivers import Receivers
from zeekml.live.shadow import Shadow
from zeekml.live.startup import Startup
from zeekml.live.stream import SHED, LiveStream, PollResult
from zeekml.live.tail.file_events import FileEvents
from zeekml.live.tail.inputs import StreamLogs
from zeekml.outputs import ENRICHED, OutputOptions, refuse_nested

log = logging.getLogger("zeekml.watch")

LINGER: Final = 0.1
"""Least seconds from one poll to the next: a log that is written all the time is read in pieces
that are worth the effort."""

POLL: Final = 0.25
CHECK_EVERY: Final = 1.0  # seconds between looks at whether outputs and allowlist are in place
_DRAIN: Final = 10.0  # most seconds for sinks at the end of the input
_RETRY: Final = (0.2, 5.0)  # seconds between tries to write, from the first to the last
_TRIM_EVERY: Final = 60.0  # seconds between two times that memory no longer needed is given back
_FIRST_TRIM: Final = 5.0  # seconds after the start until the first time
_PATIENCE: Final = 600.0
"""Most seconds that the service manager is asked to wait until the context is restored."""


@dataclass(frozen=True)
class WatchJob:
    """What to watch, and how."""

    logs: Sequence[StreamLogs]
    out: Path  # directory of the outputs
    state: Path  # directory of what is remembered
    config: Config = field(default_factory=Config)
    bundle: Path | None = None  # None for what comes with zeekml, as `rules`
    rules: Path | None = None
    options: OutputOptions = field(default_factory=OutputOptions)
    feed: Path | None = None  # directory of the files that sensors read
    # gives ids of incidents whose hosts are not to be in the feed
    false_alarms: Callable[[], Collection[str]] = tuple
    suricata_socket: Path | None = None  # where the Suricata listens whose datasets are fed
    shadow: Path | None = None  # a bundle that only looks on
    until_idle: float | None = None  # seconds without anything new until the end; None for ever


class Watcher:
    """Runs a `WatchJob`; a context manager that gives everything back.

    `run` does all of it. Step by step it is `start`, `step` as often as wanted, `finish` if the
    input is over, and `checkpoint`.

    `begun` has its state and logs, where they were taken hold of before; whoever did that gives
    them back. Nothing that is reported about flows rests on `wall`, the time of day, but on
    `clock`, seconds that never go backwards and that `sleep` waits for. Raises `BundleError`,
    `ConfigError` and `OutputError` where bundle, rules, and outputs or state cannot be used.
    """

    def __init__(
        self,
        job: WatchJob,
        begun: Startup | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._job = job
        self._clock = clock
        self._sleep = sleep
        self._stop = False
        self._reload = False
        self._complaint = ""
        self._manager = ServiceManager.from_environment()
        self._checked = self._quiet_since = clock()
        # what starting needed is given back once the first records have come
        self._trimmed = clock() - _TRIM_EVERY + _FIRST_TRIM
        with ExitStack() as stack:
            refuse_nested(job.out, job.state)
            if job.feed is not None:
                refuse_feed(job.feed, job.out, job.state)
            if begun is None:
                begun = stack.enter_context(Startup(job.logs, job.state, clock=clock))
            self.state = begun.state
            self._manager.starting("loading the models and the last hour", _PATIENCE)
            self._bundles = BundleReloader(job.bundle, job.config)
            self.bundle = self._bundles.current
            self.policy = load_policy(job.rules)
            self.policy.thresholds(self.bundle.manifest.thresholds)
            self._allowlist = AllowlistReloader(job.rules)
            self._reporter = Reporter(job, self.bundle, self.policy, self.state, clock, wall)
            stack.callback(self._reporter.close)
            asked = self.state, self._allowlist.current, self._reporter.opening
            self.receivers = Receivers(job, *asked, clock, wall)
            stack.callback(self.receivers.close)
            self.streams: list[LiveStream] = []
            common = (
                self.state,
                self.bundle,
                self.policy,
                job.config,
                self.receivers.outputs.rejects,
            )
            for logs in job.logs:
                stream = LiveStream(
                    logs,
                    *common,
                    allowlist=self._allowlist.current,
                    version=self._bundles.version,
                    keep_originals=job.options.enriched,
                    tails=begun.tails,
                    clock=clock,
                )
                stack.callback(stream.close)
                stream.pipeline.drift = self._reporter.drift
                self.streams.append(stream)
            self._shadow = self._look_on()
            directories = {path.parent for logs in job.logs for path in logs.paths}
            self._file_events = stack.enter_context(FileEvents(directories, poll=POLL))
            self._stack = stack.pop_all()

    def _look_on(self) -> Shadow | None:
        """Have the shadow look on at all streams, from what is read now on."""
        if self._job.shadow is None:
            return None
        bundle = load_bundle(self._job.shadow, public_key=self._job.config.bundle_public_key)
        self.policy.thresholds(bundle.manifest.thresholds)
        shadow = Shadow(bundle, self._job.state, self._job.config)
        self._attach(shadow)
        log.info("shadow %s looks on and raises nothing", bundle.short_digest)
        return shadow

    def _attach(self, shadow: Shadow) -> None:
        for stream in self.streams:
            told = stream.logs.sensor, stream.logs.name, self.policy, self._allowlist.current
            stream.pipeline.shadow = shadow.stream(*told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def scored_nothing(self) -> bool:
        """Whether there was something to read, and never anything that could be scored."""
        counters = [stream.record.counters for stream in self.streams]
        return any(c.records_read for c in counters) and not any(c.accepted for c in counters)

    # -- from signal handlers --------------------------------------------------------------------

    def stop(self) -> None:
        """End `run` after what is in hand has been committed."""
        self._stop = True
        self._file_events.set()

    def reload(self) -> None:
        """Have the next step read the rules, and open the outputs again if they were moved."""
        self._reload = True
        self._file_events.set()

    # -- the loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """Watch until `stop` is called, or until nothing has come for `until_idle` seconds.

        Raises `OutputError` if `stop` was called while something could not be written. Nothing is
        lost: it was not committed, and is read again by the next run.
        """
        self.start()
        self._manager.ready(self._reporter.status(self.streams))
        while not self._stop:
            begun = self._clock()
            wait = self.step()
            if wait is None:
                self.finish()
                break
            if wait and not self._stop:
                self._file_events.wait(wait)
            if not self._stop:
                self._sleep(max(LINGER - (self._clock() - begun), 0.0))
        self._manager.stopping()
        self.checkpoint()
        if not self._stop:
            self.receivers.push.drain(_DRAIN, lambda: self._stop)
        log.info("stopped: %s", self._reporter.status(self.streams))
        self._reporter.publish(self.streams, self.receivers.push.figures(), up=False, due=True)

    def start(self) -> None:
        """Say what is watched, and commit against what the outputs hold now."""
        say = self.receivers.add_health
        cut = [problems.output_shortened(*lost) for lost in self.receivers.shortened]
        say(self._reporter.of_watch(ProblemKind.OUTPUT, cut))
        problem = self._file_events.problem
        say(self._reporter.start(self.streams, self.receivers.push.names, problem))
        self._persist(self.streams)
        self.receivers.feeds.publish(now=True)
        self.receivers.push.start()
        self._quiet_since = self._clock()

    def step(self) -> float | None:
        """Poll all logs once, write and commit what came, and look after everything else.

        Tells how many seconds may be waited until the next step: 0 while there is more to read
        already, None when nothing has come for `WatchJob.until_idle` seconds.
        """
        if self._reload:
            self._reload = False
            self._read_rules_again()
        if self._poll():
            self._quiet_since = self._clock()
        elif all(stream.idle and not stream.waiting for stream in self.streams):
            limit = self._job.until_idle
            if limit is not None and self._clock() - self._quiet_since >= limit:
                return None
            # what is held back was read, but may still make lines that are there already
            if not any(stream.pipeline.held for stream in self.streams):
                self.receivers.outputs.forget_already()
        self._look_after()
        return POLL if all(stream.idle for stream in self.streams) else 0.0

    def finish(self) -> None:
        """The end of the input, as far as anybody can tell: close what is open."""
        for stream in self.streams:
            self._take(stream, stream.finish())
        self.receivers.add_health(self._reporter.ended(self.streams))
        self._settle()

    def checkpoint(self) -> None:
        """Commit all, and with it what makes the next start quick."""
        if self._shadow is not None:
            self._shadow.report(self.bundle, last=True)
        self._persist(self.streams, anchor=True)
        if kept := [stream for stream in self.streams if stream.keep_context()]:
            self._persist(kept)
        self.receivers.feeds.publish(now=True)

    # -- what the logs bring ---------------------------------------------------------------------

    def _poll(self) -> bool:
        """Poll all logs once; whether anything came."""
        changed = []
        for stream in self.streams:
            # lines are left out to catch up, where the configuration allows it; never quietly
            limit, name = self._job.config.shed_lag, printable(stream.logs.name)
            if limit > 0 and not stream.shedding and stream.lag > limit:
                stream.shedding = True
                behind = "%s: %.0f s behind; lines are left out until the end of the log is reached"
                log.error(behind, name, stream.lag)
            elif stream.shedding and stream.idle:
                stream.shedding = False
                left_out = f"{stream.record.counters.skipped[SHED]:,}"
                log.warning("%s: caught up; %s lines were left out so far", name, left_out)
            result = stream.poll()
            self._take(stream, result)
            if result.progress:
                changed.append(stream)
        sinks = self.receivers.push.figures()
        health = self._reporter.observe(self.streams, self.receivers.feeds.suricata, sinks)
        self.receivers.add_health(health)
        if changed or health:
            self._persist(changed)
        return bool(changed)

    def _take(self, stream: LiveStream, result: PollResult) -> None:
        left_out = sum(self.receivers.outputs.add_batch(batch) for batch in result.batches)
        if left_out:
            held = "%s: %s records that were held back by a run without --enriched are not in %s"
            log.warning(held, printable(stream.logs.name), f"{left_out:,}", ENRICHED)
        self.receivers.add(stream.logs.name, result.notices)
        self.receivers.outputs.add_silenced(result.silenced)
        self.receivers.add_health(self._reporter.happened(stream, result.events))

    def _settle(self) -> None:
        """Do what the streams have decided, once that is committed."""
        self._persist(self.streams)
        for stream in self.streams:
            self._take(stream, stream.settle())

    # -- writing ---------------------------------------------------------------------------------

    def _persist(self, streams: Sequence[LiveStream], *, anchor: bool = False) -> None:
        """Bring everything to disk and commit it; waits until that succeeds.

        Raises `TakenError` where another watch has taken the place of the outputs or the state, and
        `OutputError` if it did not succeed and `stop` was called.
        """
        commits = [stream.to_commit(anchor=anchor) for stream in streams]
        pause, most = _RETRY
        while True:
            try:
                # written again where somebody removed it
                missing = self.state.put_back(self._manager.watchdog)
                if missing is not None:
                    found = problems.state_put_back(str(self._job.state), missing)
                    self.receivers.add_health(self._reporter.of_watch(ProblemKind.STATE, [found]))
                marks = self.receivers.flush()
                notes = self._reporter.notes(last=anchor)
                self.state.commit(commits, marks, self.receivers.incidents, notes)
                break
            except OutputError as error:
                self._complain(error)
                if self._stop:
                    raise
                self._manager.watchdog()
                end = self._clock() + pause
                while not self._stop and self._clock() < end:
                    self._sleep(LINGER)
                pause = min(2 * pause, most)
        self.receivers.committed()
        for stream, commit in zip(streams, commits, strict=True):
            stream.committed(commit)
        if self._complaint:
            log.warning("written again; nothing was lost meanwhile")
            self._complaint = ""
            self._manager.status(self._reporter.status(self.streams))

    def _complain(self, error: OutputError) -> None:
        """Say once what is wrong, the same again is no news; raise what waiting does not help."""
        if isinstance(error, TakenError):
            raise error
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.error("%s; reading waits until it can be written", error)
            self._manager.status(f"waiting: {error}")

    def _look_after(self) -> None:
        """What is done now and then, whether or not there are records."""
        self._manager.watchdog()
        if self._reporter.publish(self.streams, self.receivers.push.figures()):
            if not self._complaint:
                self._manager.status(self._reporter.status(self.streams))
            if self._shadow is not None:
                self._shadow.report(self.bundle)
        self.receivers.feeds.publish()
        if self._clock() - self._trimmed >= _TRIM_EVERY:
            self._trimmed = self._clock()
            shed_library_pages()
            trim_heap()
        if self._clock() - self._checked < CHECK_EVERY:
            return
        self._checked = self._clock()
        self._check_outputs()
        if self._bundles.changed(self.policy):
            self.bundle = self._bundles.current
            self._reporter.go_by(self.bundle, self.policy)
            self._change_rules()
        if self._allowlist.changed():
            self._change_rules()

    def _check_outputs(self) -> None:
        """Make new files in the place of those that were renamed or removed."""
        try:
            if self.state.in_place:
                self.receivers.flush()
            else:
                self._persist(())
        except OutputError as error:
            self._complain(error)

    def _change_rules(self) -> None:
        self.receivers.feeds.hosts.allow(self._allowlist.current)
        for stream in self.streams:
            stream.change_rules(self.bundle, self.policy, self._allowlist.current)
        self._settle()
        self._persist(self.streams)

    def _read_rules_again(self) -> None:
        self._manager.reloading()
        try:
            policy = load_policy(self._job.rules)
            policy.thresholds(self.bundle.manifest.thresholds)
        except ConfigError as error:
            log.error("%s; the rules read before stay in force", error)
        else:
            self.policy = policy
            self._reporter.go_by(self.bundle, policy)
            self._allowlist.read_again()
            self._change_rules()
            if self._shadow is not None:
                self._attach(self._shadow)
            log.info("rules read again")
        self._check_outputs()
        self._manager.ready(self._reporter.status(self.streams))
