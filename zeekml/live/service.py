"""The watcher itself: look, write, commit, wait; and what it does when one of these fails.

One loop does everything, so there is nothing to keep in step. What a look brings is written to the
outputs and brought to disk before it is committed. If either cannot be done, nothing further is
read until it can: the sensor's log is the buffer, and memory stays what it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from zeekml.alerts.eve_alert import encode_alert
from zeekml.alerts.evidence_line import encode_evidence
from zeekml.alerts.zeek_notice import encode_json
from zeekml.config import Config
from zeekml.core.directory_lock import TakenError
from zeekml.core.text import printable
from zeekml.detection.notice import Notice
from zeekml.detection.policy import Policy, load_policy
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.errors import ConfigError, OutputError
from zeekml.live.allowlist_reload import AllowlistReloader
from zeekml.live.health.reporter import Facts, Reporter
from zeekml.live.health.systemd import ServiceManager
from zeekml.live.memory_trim import shed_library_pages, trim_heap
from zeekml.live.outputs.live_outputs import LiveOutputs
from zeekml.live.startup import Startup, begin
from zeekml.live.state.database import IncidentLine
from zeekml.live.stream import SHED, LiveStream, Look
from zeekml.live.tail.file_events import FileEvents
from zeekml.live.tail.stream_logs import StreamLogs
from zeekml.live.warm_up import prime_once
from zeekml.outputs import (
    ENRICHED,
    EVE_JSON,
    NOTICE_LOG,
    OutputOptions,
    refuse_nested,
)

log = logging.getLogger("zeekml.watch")

LINGER: Final = 0.1
"""Least seconds from one look to the next: a log that is written all the time is read in pieces
that are worth the effort."""

POLL: Final = 0.25
_RETRY: Final = (0.2, 5.0)  # seconds between tries to write, from the first to the last
_SLIM: Final = 60.0  # seconds between two times that memory no longer needed is given back
_FIRST_SLIM: Final = 5.0  # seconds after the start until the first time
_PATIENCE: Final = 600.0
"""Most seconds that the service manager is asked to wait until the context is restored."""

_OUTPUT_CHECK: Final = 1.0  # seconds between looks at whether the outputs are in place


@dataclass(frozen=True)
class WatchJob:
    """What to watch, and how.

    Attributes
    ----------
    logs
        The streams.
    out, state
        Directories of the outputs and of what is remembered.
    bundle, rules
        Paths; None for what comes with zeekml.
    until_idle
        Stop when nothing has come for so many seconds; None to go on for ever.
    """

    logs: Sequence[StreamLogs]
    out: Path
    state: Path
    config: Config = field(default_factory=Config)
    bundle: Path | None = None
    rules: Path | None = None
    options: OutputOptions = field(default_factory=OutputOptions)
    until_idle: float | None = None


class Watcher:
    """Runs a `WatchJob`; a context manager that gives everything back.

    Parameters
    ----------
    job
        What to do.
    begun
        Its state and logs, where they were taken hold of before; whoever did that gives them back.
    clock, wall
        Seconds that never go backwards, and the time of day; nothing that is reported about flows
        rests on the latter.

    Raises
    ------
    BundleError, ConfigError
        The bundle or the rules cannot be used.
    OutputError
        The outputs or the state cannot be used.
    """

    def __init__(
        self,
        job: WatchJob,
        begun: Startup | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._job = job
        self._clock = clock
        self._stop = False
        self._reload = False
        self._incidents: list[IncidentLine] = []
        self._complaint = ""
        self._manager = ServiceManager.from_environment()
        self._checked = clock()
        # what starting needed is let go once the first records have come
        self._slimmed = clock() - _SLIM + _FIRST_SLIM
        with ExitStack() as stack:
            refuse_nested(job.out, job.state)
            if begun is None:
                begun = stack.enter_context(begin(job.logs, job.state, clock=clock))
            self._state = begun.state
            self._manager.starting("loading the models and the last hour", _PATIENCE)
            self.bundle: Bundle = load_bundle(job.bundle, pin=job.config.bundle_sha256)
            self.policy: Policy = load_policy(job.rules)
            self.policy.thresholds(self.bundle.manifest.thresholds)
            self._allowlist = AllowlistReloader(job.rules)
            facts = Facts(
                job.logs, job.out, job.state, job.config, job.options, self.bundle, self.policy
            )
            self.oversight = Reporter(facts, self._state, clock, wall)
            self._outputs = LiveOutputs(
                job.out,
                job.options,
                self._state.marks(),
                self.oversight.opening,
                wall,
                {NOTICE_LOG: self._state.notice_lines, EVE_JSON: self._state.alert_lines},
            )
            stack.callback(self._outputs.close)
            for sensor in sorted({logs.sensor for logs in job.logs}):
                prime_once(sensor, self.bundle, self.policy, job.config, hold=1.0)
            self.followers = [
                LiveStream(
                    logs,
                    self._state,
                    self.bundle,
                    self.policy,
                    job.config,
                    self._outputs.rejects,
                    allowlist=self._allowlist.current,
                    keep_originals=job.options.enriched,
                    tails=begun.tails,
                    clock=clock,
                )
                for logs in job.logs
            ]
            for follower in self.followers:
                stack.callback(follower.close)
            self._wake = stack.enter_context(
                FileEvents({path.parent for logs in job.logs for path in logs.paths}, poll=POLL)
            )
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    # -- from signal handlers --------------------------------------------------------------------

    @property
    def scored_nothing(self) -> bool:
        """Whether there was something to read, and never anything that could be scored."""
        counters = [follower.record.counters for follower in self.followers]
        return any(c.records_read for c in counters) and not any(c.accepted for c in counters)

    def stop(self) -> None:
        """End `run` after what is in hand has been committed."""
        self._stop = True
        self._wake.set()

    def reload(self) -> None:
        """Read the rules again, and open the outputs again if they were moved."""
        self._reload = True
        self._wake.set()

    # -- the loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """Watch until `stop` is called, or until nothing has come for `until_idle` seconds.

        Raises
        ------
        OutputError
            `stop` was called while something could not be written. Nothing is lost: it was not
            committed, and is read again by the next run.
        """
        self._begin()
        self._manager.ready(self.oversight.status(self.followers))
        quiet_since = self._clock()
        while not self._stop:
            begun = self._clock()
            if self._reload:
                self._reload = False
                self._read_rules_again()
            if self._look():
                quiet_since = self._clock()
            elif all(follower.idle and not follower.waiting for follower in self.followers):
                if self._is_over(quiet_since):
                    self._finish()
                    break
                # what is held back was read, but may still make lines that are there already
                if not any(follower.held for follower in self.followers):
                    self._outputs.forget_already()
            self._keep_up_appearances()
            if all(follower.idle for follower in self.followers) and not self._stop:
                self._wake.wait(POLL)
            if not self._stop:
                time.sleep(max(LINGER - (self._clock() - begun), 0.0))
        self._manager.stopping()
        self._put_away()
        log.info("stopped: %s", self.oversight.status(self.followers))
        self.oversight.publish(self.followers, self._state, up=False, now=True)

    def _begin(self) -> None:
        self._tell(self.oversight.shortened(self._outputs.shortened))
        self._tell(self.oversight.start(self.followers, self._wake.problem))
        # what comes is committed against what the outputs hold now
        self._persist(self.followers)

    def _is_over(self, quiet_since: float) -> bool:
        limit = self._job.until_idle
        return limit is not None and self._clock() - quiet_since >= limit

    def _look(self) -> bool:
        """Look at all logs once; tell whether anything came."""
        changed = []
        for follower in self.followers:
            self._shed_if_asked(follower)
            look = follower.look()
            self._take(follower, look)
            if look.progress:
                changed.append(follower)
        told = self.oversight.observe(self.followers)
        self._tell(told)
        if changed or told:
            self._persist(changed)
        return bool(changed)

    def _shed_if_asked(self, follower: LiveStream) -> None:
        """Leave lines out to catch up, where the configuration allows it; never quietly."""
        limit = self._job.config.shed_lag
        if limit > 0 and not follower.shedding and follower.lag > limit:
            follower.shedding = True
            log.error(
                "%s: %.0f s behind; lines are left out until the end of the log is reached",
                printable(follower.logs.name),
                follower.lag,
            )
        elif follower.shedding and follower.idle:
            follower.shedding = False
            log.warning(
                "%s: caught up; %s lines were left out so far",
                printable(follower.logs.name),
                f"{follower.record.counters.skipped[SHED]:,}",
            )

    def _take(self, follower: LiveStream, look: Look) -> None:
        left_out = sum(self._outputs.add_batch(batch) for batch in look.outcome.batches)
        if left_out:
            log.warning(
                "%s: %s records that were held back by a run without --enriched are not in %s",
                printable(follower.logs.name),
                f"{left_out:,}",
                ENRICHED,
            )
        self._add_notices(follower, look.outcome.notices)
        self._outputs.add_silenced(look.outcome.silenced)
        self._tell(self.oversight.happened(follower, look.happened))

    def _add_notices(self, follower: LiveStream, notices: Sequence[Notice]) -> None:
        self._outputs.add_notices(notices)
        for notice in notices:
            self._incidents.append(
                IncidentLine(
                    id=notice.id,
                    stream=follower.logs.name,
                    note=notice.note,
                    state=notice.state,
                    severity=notice.severity,
                    seq=notice.seq,
                    first_ts=notice.first_ts,
                    last_ts=notice.last_ts,
                    line=encode_json(notice),
                    uid=notice.flow.uid,
                    evidence=None if notice.evidence is None else encode_evidence(notice.evidence),
                    alert=encode_alert(notice) if notice.seq == 0 else None,
                )
            )

    def _tell(self, lines: Sequence[bytes]) -> None:
        self._outputs.add_lines(lines)

    def _finish(self) -> None:
        """The end of the input, as far as anybody can tell: close what is open."""
        for follower in self.followers:
            self._take(follower, follower.finish())
        self._tell(self.oversight.ended(self.followers))
        self._settle()

    def _put_away(self) -> None:
        """At a stop: commit all, so that the next start is quick."""
        self._persist(self.followers, anchor=True)
        if kept := [follower for follower in self.followers if follower.keep_context()]:
            self._persist(kept)

    def _settle(self) -> None:
        """Do what the followers have decided, once that is written down."""
        self._persist(self.followers)
        for follower in self.followers:
            self._take(follower, follower.settle())

    # -- writing ---------------------------------------------------------------------------------

    def _persist(self, followers: Sequence[LiveStream], *, anchor: bool = False) -> None:
        """Bring everything to disk and commit it; waits until that succeeds.

        Raises
        ------
        TakenError
            Another watch has taken the place of the outputs or the state.
        OutputError
            It did not, and `stop` was called.
        """
        commits = [(follower, follower.to_commit(anchor=anchor)) for follower in followers]
        pause, most = _RETRY
        while True:
            try:
                self._keep_state()
                self._outputs.flush()
                self._state.commit(
                    [commit for _, commit in commits],
                    self._outputs.marks,
                    self._incidents,
                    self.oversight.notes(),
                )
                break
            except TakenError:
                raise
            except OutputError as error:
                self._complain(error)
                if self._stop:
                    raise
                self._manager.watchdog()
                self._pause(pause)
                pause = min(2 * pause, most)
        self._outputs.committed()
        for follower, commit in commits:
            follower.committed(commit)
        self._incidents.clear()
        if self._complaint:
            log.warning("written again; nothing was lost meanwhile")
            self._complaint = ""
            self._manager.status(self.oversight.status(self.followers))

    def _keep_state(self) -> None:
        """Have the state written again where somebody removed it."""
        missing = self._state.put_back(self._manager.watchdog)
        if missing is not None:
            self._tell(self.oversight.state_put_back(missing))

    def _pause(self, seconds: float) -> None:
        end = self._clock() + seconds
        while not self._stop and self._clock() < end:
            time.sleep(LINGER)

    def _complain(self, error: OutputError) -> None:
        """Say once what is wrong; the same again is no news."""
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.error("%s; reading waits until it can be written", error)
            self._manager.status(f"waiting: {error}")

    def _keep_up_appearances(self) -> None:
        """What is done now and then, whether or not there are records."""
        self._manager.watchdog()
        if self.oversight.publish(self.followers, self._state) and not self._complaint:
            self._manager.status(self.oversight.status(self.followers))
        if self._clock() - self._slimmed >= _SLIM:
            self._slimmed = self._clock()
            shed_library_pages()
            trim_heap()
        if self._clock() - self._checked < _OUTPUT_CHECK:
            return
        self._checked = self._clock()
        self._check_outputs()
        if self._allowlist.changed():
            self._change_rules()

    def _check_outputs(self) -> None:
        """Make new files in the place of those that were renamed or removed."""
        try:
            if self._state.in_place:
                self._outputs.flush()
            else:
                self._persist(())
        except TakenError:
            raise
        except OutputError as error:
            self._complain(error)

    def _change_rules(self) -> None:
        for follower in self.followers:
            follower.change_rules(self.policy, self._allowlist.current)
        self._settle()
        self._persist(self.followers)

    def _read_rules_again(self) -> None:
        self._manager.reloading()
        try:
            policy = load_policy(self._job.rules)
            policy.thresholds(self.bundle.manifest.thresholds)
        except ConfigError as error:
            log.error("%s; the rules read before stay in force", error)
        else:
            self.policy = policy
            self._allowlist.read_again()
            self._change_rules()
            log.info("rules read again")
        self._check_outputs()
        self._manager.ready(self.oversight.status(self.followers))
