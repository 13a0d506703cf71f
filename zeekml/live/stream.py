"""One live stream: polls its logs, scores their flows, and makes up what is to be committed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa

from zeekml.config import Config
from zeekml.detection.allowlist import EMPTY, Allowlist
from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.policy import Policy
from zeekml.detection.rules import DetectionRules
from zeekml.ensemble.bundle import Bundle
from zeekml.live.event_tails import EventTails, event_paths, reads_events
from zeekml.live.health.figures import Coverage, FirstReject, Silence
from zeekml.live.interim_tails import InterimTails, interim_paths
from zeekml.live.live_pipeline import LiveResult
from zeekml.live.startup import tail_of
from zeekml.live.state.context_files import ContextFiles
from zeekml.live.state.database import JournalRow, State, StreamCommit, StreamState
from zeekml.live.state.journal import InterimPlace, JournalEntry, joined_entries, pack
from zeekml.live.state.recovery import context_start, recover
from zeekml.live.tail.decoder import TailDecoder
from zeekml.live.tail.events import Event, FileOpened, Gap, Lines
from zeekml.live.tail.file_reader import place_of
from zeekml.live.tail.inputs import StreamLogs
from zeekml.live.tail.log_tail import LogTail
from zeekml.readers.events.events_column import count_events
from zeekml.readers.flow_schema import SURICATA
from zeekml.readers.rejects import RejectSink, SourceAccount, count_bounded
from zeekml.readers.stream_clock import flow_ends

LOGGERS_HOLD: Final = 2.0
"""Seconds for which the flows of several loggers of one sensor are held, to be put in order."""

SHED: Final = "shed"  # under which type lines are counted that were left out to catch up
ANCHOR_SECONDS: Final = 60.0
ANCHOR_ROWS: Final = 200_000
"""An anchor (a snapshot of incidents and clock) is made when one of these has passed since the last
one: it bounds how much is scored again at a restart."""


@dataclass
class PollResult(LiveResult):
    """What a poll of the logs brought."""

    events: list[Event] = field(default_factory=list)  # all but lines, in order
    progress: bool = False  # whether there is anything to commit


class LiveStream:
    """Follows the logs of one stream, each from the checkpoint in its state.

    `tails` are those that were begun already, by path; `version` finds bundles by how their digests
    begin, so that what was scored by an earlier one is scored by it again after a crash; `clock`
    gives seconds that never go backwards.
    """

    def __init__(
        self,
        logs: StreamLogs,
        state: State,
        bundle: Bundle,
        policy: Policy,
        config: Config,
        rejects: RejectSink,
        *,
        allowlist: Allowlist = EMPTY,
        version: Callable[[str], Bundle | None] = lambda digest: None,
        keep_originals: bool = False,
        tails: Mapping[Path, LogTail] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.logs = logs
        self.shedding = False  # whether lines are left out to catch up
        self._state = state
        self._bundle, self._config = bundle, config
        self._policy, self._allowlist = policy, allowlist
        self._clock = clock
        several_loggers = LOGGERS_HOLD * (len(logs.paths) > 1)
        self._hold = config.suricata_hold if logs.sensor == SURICATA else several_loggers
        self.record = StreamState.of(state, logs.name)
        opened = (state, logs.name, bundle, config, self._new_incidents)
        back = recover(*opened, hold=self._hold, originals=keep_originals, version=version)
        self.problems = back.problems  # what could not be brought back from the state, in words
        self.pipeline = back.pipeline
        self._memory = back.memory
        self._number = state.next_number(logs.name)
        self._snapshots = ContextFiles(state, logs.name, back.snapshot)
        first = None
        if not state.anchors(logs.name):
            first = self.pipeline.anchor(self._number, self._memory.save())
        self._decide()
        if first is not None or self.record.close or self.record.allowlist or self.record.bundle:
            state.commit([StreamCommit(logs.name, self.record.encode(), anchor=first)])
            if first is not None:
                self.pipeline.stored()
        self._anchored = clock()
        # what was scored again counts: who is stopped again and again would do ever more of it
        latest = state.anchors(logs.name)[-1].number
        self._rows_since = state.journal_size(logs.name, latest)[1]
        self._silence = Silence(clock)
        self._caught_up = clock()
        self.coverage = Coverage(logs.sensor)
        self.rejects = unread = FirstReject(rejects)
        # no method makes the accounts, so that decoders do not keep the stream
        counters = self.record.counters
        self._entries: list[JournalEntry] = []
        self.tails: list[tuple[LogTail, TailDecoder]] = []
        for path in logs.paths:
            tail = (tails or {}).get(path) or tail_of(path, self.record, clock)
            decoder = TailDecoder(
                logs.sensor,
                lambda source: SourceAccount(source, counters, unread),
                memory=self._memory,
                keep_originals=keep_originals,
            )
            self.tails.append((tail, decoder))
        beside = event_paths(logs.paths[0]) if reads_events(logs) else {}
        self._events = EventTails(
            [
                (kind, (tails or {}).get(path) or tail_of(path, self.record, clock))
                for kind, path in beside.items()
            ],
            self._memory,
            lambda source: SourceAccount(source, counters, unread),
            config.context_hold,
        )
        interim = interim_paths(logs.paths[0]) if reads_events(logs) else {}
        self._interim = InterimTails(
            [
                (name, (tails or {}).get(path) or tail_of(path, self.record, clock))
                for name, path in interim.items()
            ],
            lambda source: SourceAccount(source, counters, unread),
        )

    # -- figures ---------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether the last poll found the end of all logs."""
        return all(tail.idle for tail, _ in self.tails)

    @property
    def waiting(self) -> bool:
        """Whether time alone may bring more, such as a file that is still being compressed."""
        return any(tail.waiting for tail, _ in self.tails)

    @property
    def lag(self) -> float:
        """Seconds since the ends of all logs were last seen."""
        return 0.0 if self.idle else self._clock() - self._caught_up

    @property
    def stream_clock(self) -> float | None:
        """The stream's clock, epoch seconds; None before its first flow."""
        clock = self.pipeline.context.clock
        return clock.now / 1e6 if clock.seen else None

    @property
    def formats(self) -> list[str]:
        """Formats of the latest files, as far as they are known."""
        return sorted({str(decoder.kind) for _, decoder in self.tails if decoder.kind})

    def bytes_behind(self) -> int:
        """Bytes of the live files that have not been read, as far as can be told."""
        behind = 0
        for tail, _ in self.tails:
            with contextlib.suppress(OSError):
                status, at = tail.path.stat(), tail.checkpoint
                begun = at and at.identity and at.identity.place == place_of(status)
                behind += max(status.st_size - (at.offset if at and begun else 0), 0)
        return behind

    # -- following -------------------------------------------------------------------------------

    def poll(self) -> PollResult:
        """Take what the logs have now; never waits.

        What was decided before is done first, so that has to be committed by now.
        """
        result = self.settle()
        polled, grown = self._clock(), False
        self._read_events(self.pipeline.context.clock.now, result)
        for tail, decoder in self.tails:
            before = tail.checkpoint
            self._take(tail.poll(), decoder, result)
            grown |= tail.checkpoint != before
        result.progress |= grown
        if self.idle:
            self._caught_up = self._clock()
        times = [decoder.stats.time for _, decoder in self.tails]
        stats = max((time for time in times if time is not None), default=None)
        in_sight = not any(tail.waiting or tail.out_of_sight for tail, _ in self.tails)
        silent = self._silence.seconds(
            polled, stats, grown=grown, at_end=self.idle, in_sight=in_sight
        )
        if self.pipeline.held and silent >= self._hold:
            # nothing in the log moves its clock on: what waits for that must not wait for ever
            self.record.release = result.progress = True
        if changes := self._memory.changes():
            self._entries.append(JournalEntry(memory=changes))
        result.progress |= self._snapshots.wanted or self._snapshots.finished is not None
        return result

    def finish(self) -> PollResult:
        """Nobody writes any more: take what is left, and decide to close the incidents.

        `settle` does so, after a commit.
        """
        result = self.settle()
        self._count_gaps(self._events.finish())
        for tail, decoder in self.tails:
            self._take(tail.finish(), decoder, result)
        self.record.release = self.pipeline.held > 0
        self.record.close = result.progress = True
        return result

    def change_rules(self, bundle: Bundle, policy: Policy, allowlist: Allowlist) -> None:
        """Decide to judge what follows by other rules.

        After a change of the policy, what is open is closed under the old one; after one of the
        bundle or the allowlist, it goes on. `settle` does so, after a commit.
        """
        self._bundle, self._policy, self._allowlist = bundle, policy, allowlist
        self._decide()

    def settle(self) -> PollResult:
        """Do what was decided, and committed."""
        result = PollResult()
        if self.record.release:
            self.record.release = False
            result.progress = True
            if self.pipeline.held:
                self._feed(JournalEntry(release=True), result)
        if self.record.close:
            self.record.close = False
            result.progress = True
            self._add(self.pipeline.close_incidents(), result)
            if self._has_other_policy():
                self.pipeline.incidents = self._new_incidents()
                self.pipeline.score_with(self._bundle)
            self._rows_since = ANCHOR_ROWS
        if self.record.bundle:
            self.record.bundle = False
            result.progress = True
            if self._has_other_bundle():
                self.pipeline.incidents.judge_by(self._asked())
                self.pipeline.score_with(self._bundle)
            # what was scored by the one before must not be scored by this one again
            self._rows_since = ANCHOR_ROWS
        if self.record.allowlist:
            self.record.allowlist = False
            result.progress = True
            if self._has_other_allowlist():
                self.pipeline.incidents.change(self._allowlist)
                if self.pipeline.shadow is not None:
                    self.pipeline.shadow.change(self._allowlist)
            # what follows must not be judged by the old one again
            self._rows_since = ANCHOR_ROWS
        return result

    def close(self) -> None:
        """Close the logs."""
        for tail, _ in self.tails:
            tail.close()
        self._events.close()
        self._interim.close()
        self._snapshots.close()

    def _read_events(self, clock: int, result: PollResult) -> None:
        """Read the logs of events as far as a time of flows asks for."""
        before = [tail.checkpoint for tail in self._events.tails]
        self._count_gaps(self._events.read_until(clock))
        result.progress |= [tail.checkpoint for tail in self._events.tails] != before

    def _count_gaps(self, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            count_bounded(self.record.gaps, gap.cause)

    def _take(self, events: Sequence[Event], decoder: TailDecoder, result: PollResult) -> None:
        flows: list[pa.RecordBatch] = []
        for event in events:
            result.progress = True
            if isinstance(event, Lines):
                if self.shedding:
                    n = decoder.pass_over(event)
                    self.record.counters.records_read += n
                    count_bounded(self.record.counters.skipped, SHED, n)
                    continue
                flows += decoder.lines(event)
                continue
            result.events.append(event)
            if isinstance(event, FileOpened):
                decoder.opened(event)
                count_bounded(self.record.rotations, event.how)
            elif isinstance(event, Gap):
                count_bounded(self.record.gaps, event.cause)
        if flows:
            latest = max(int(flow_ends(batch).max()) for batch in flows)
            self._read_events(latest, result)
            flows = [self._events.attach(batch) for batch in flows]
            self._silence.flows()
            decoder.stats.time = None
            self.rejects.first = None
            for batch in flows:
                self.coverage.add(batch)
                self.record.sides.add(batch)
                self.record.counters.with_events += count_events(batch)
            interim, lost = self._interim.read_until(latest)
            self._count_gaps(lost)
            before = [InterimPlace(0, *batch) for batch in interim]
            self._feed(JournalEntry(flows, self._memory.changes(), interim=before), result)

    def _feed(self, entry: JournalEntry, result: PollResult) -> None:
        self._entries.append(entry)
        self._rows_since += entry.rows
        self._snapshots.feed(entry.rows)
        result.progress = True
        self._add(self.pipeline.take(entry), result)

    def _add(self, outcome: LiveResult, result: PollResult) -> None:
        result.add(outcome)
        for notice in outcome.notices:
            self.record.notices[notice.note] += notice.seq == 0
        self.record.silenced += sum(item.notice.seq == 0 for item in outcome.silenced)

    # -- committing ------------------------------------------------------------------------------

    def to_commit(self, *, anchor: bool = False) -> StreamCommit:
        """What is to be committed after the outputs are on disk.

        With `anchor`, one is made however long ago the last one was: the next start is quicker.
        """
        entry = None
        if any(self._entries):
            joined = joined_entries(self._entries)
            # flows in order go on at once; only of those held back is the record needed again
            packed = pack(joined, originals=self._hold > 0)
            entry = JournalRow(self._number, joined.rows, packed)
        following = self._number + (entry is not None)
        old = self._rows_since > 0 and self._clock() - self._anchored >= ANCHOR_SECONDS
        due = self._rows_since >= ANCHOR_ROWS or old or self._snapshots.wanted or anchor
        every = [*(tail for tail, _ in self.tails), *self._events.tails, *self._interim.tails]
        read = [(tail.path, tail.checkpoint) for tail in every]
        self.record.positions = {str(path): at.to_plain() for path, at in read if at is not None}
        made = self.pipeline.anchor(following, self._memory.save()) if due else None
        needed, record = self._no_longer_needed() if due else 0, self.record.encode()
        return StreamCommit(self.logs.name, record, entry, made, needed, self._snapshots.finished)

    def committed(self, commit: StreamCommit) -> None:
        """Note that a commit succeeded."""
        self._entries.clear()
        if commit.entry is not None:
            self._number = commit.entry.number + 1
        if commit.anchor is not None:
            self.pipeline.stored()
            self._anchored = self._clock()
            self._rows_since = 0
        self._snapshots.committed(commit, self.pipeline.context)

    def keep_context(self) -> bool:
        """After a last anchor: keep the context; whether there is something to commit."""
        return self._snapshots.last(self._number, self.pipeline.context)

    def _no_longer_needed(self) -> int:
        """The journal entry before which nothing is needed for the context any more."""
        anchors = self._state.anchors(self.logs.name)
        if not anchors:
            return 0
        clock = self.pipeline.context.clock
        start, _ = context_start(anchors, clock, self._config.context_records)
        most = self._config.journal_mb << 20
        for anchor in anchors:
            if anchor.number < start.number:
                continue
            if self._state.journal_size(self.logs.name, anchor.number)[0] <= most:
                return anchor.number
        return anchors[-1].number

    def _decide(self) -> None:
        """Note what is to be changed, so that it happens at the same place after a crash."""
        self.record.close |= self._has_other_policy()
        self.record.bundle |= self._has_other_bundle()
        self.record.allowlist |= self._has_other_allowlist()

    def _asked(self) -> DetectionRules:
        sensor, stream = self.logs.sensor, self.logs.name
        return DetectionRules.of(self._bundle, self._policy, sensor=sensor, stream=stream)

    def _new_incidents(self) -> AllowlistFilter:
        return AllowlistFilter(self._asked(), self._allowlist, self._config.local_nets)

    def _has_other_policy(self) -> bool:
        """Whether another policy is asked for than the one that judged so far."""
        return not self._asked().same_policy(self.pipeline.incidents.rules)

    def _has_other_bundle(self) -> bool:
        """Whether the bundle, or what is taken from it, is another one than so far."""
        asked, now = self._asked(), self.pipeline.incidents.rules
        return asked.same_policy(now) and asked.fingerprint != now.fingerprint

    def _has_other_allowlist(self) -> bool:
        """Whether another allowlist is asked for than what was in force so far."""
        return not self._allowlist.same_as(self.pipeline.incidents.allowlist)
