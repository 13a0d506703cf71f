"""Recovery: go on where the last run of a watch stopped, by snapshot and write-ahead journal.

The context is taken up from its snapshot, and the journal from there on. It is made of the flows of
the last hour, so where the snapshot is of no use it is filled from the journal alone: from the last
anchor that lies more than an hour of log time before the latest one. There the incidents stand as
they were. What the journal holds behind the latest anchor is scored again, for what it does to the
incidents; the lines that this makes were written before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from zeekml.config import Config
from zeekml.core.text import printable
from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.pair_watch import PairWatch
from zeekml.ensemble.bundle import Bundle
from zeekml.errors import DataError, StateError
from zeekml.features.context.layout import HORIZON
from zeekml.live.live_pipeline import LivePipeline
from zeekml.live.state.context_files import load_context
from zeekml.live.state.database import ContextSnapshot, Snapshot, State
from zeekml.live.state.journal import JournalEntry, LiveMemory, unpack
from zeekml.pairs.ledger import PairLedger
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.stream_clock import ClockState

log = logging.getLogger("zeekml.watch")

T = TypeVar("T")

LOST_INCIDENTS: Final = (
    "what is known of the open incidents cannot be used ({}); they begin anew, so that a notice "
    "may come a second time under another id"
)
LOST_MEMORY: Final = "what the sensor told of flows that are still open cannot be used ({})"
LOST_PAIRS: Final = "what is known of pairs of hosts cannot be used ({}); they begin anew"
LOST_CONTEXT: Final = (
    "the journal of the last hour cannot be used ({}); scores may be off until an hour of log "
    "time has passed"
)


@dataclass
class RestoredStream:
    """A stream as it stood at the last commit."""

    pipeline: LivePipeline
    memory: LiveMemory
    problems: list[str]  # what could not be brought back, in words
    snapshot: ContextSnapshot | None = None  # of the context; None if the journal alone served


def context_start(
    anchors: Sequence[Snapshot], clock: ClockState, max_records: int
) -> tuple[Snapshot, bool]:
    """The last anchor from which on a context comes out right at a clock, or else the first.

    Tells, too, whether it comes out right.
    """
    for anchor in reversed(anchors):
        before = anchor.clock
        long_ago = before.now <= clock.now - HORIZON or before.seen <= clock.seen - max_records
        # a stream that began anew let everything go that came before
        if long_ago or before.began != clock.began or before.seen == 0:
            return anchor, True
    return anchors[0], False


def recover(
    state: State,
    stream: str,
    bundle: Bundle,
    config: Config,
    new_incidents: Callable[[], AllowlistFilter],
    *,
    hold: float,
    originals: bool = False,
    version: Callable[[str], Bundle | None] = lambda digest: None,
) -> RestoredStream:
    """Bring a stream back; one that is not remembered gets new incidents.

    `bundle`, `config`, `hold` and `originals` are as for `LivePipeline`. What another bundle scored
    is scored by that one again, if `version` finds it by how its digest begins. What cannot be used
    is a problem of what is given back, not an error.
    """
    problems: list[str] = []
    anchors = state.anchors(stream)
    if not anchors:
        pairs = PairWatch.of(bundle)
        more: dict[str, Any] = {"hold": hold, "originals": originals, "pairs": pairs}
        new = LivePipeline(bundle, new_incidents(), config, **more)
        return RestoredStream(new, LiveMemory(FlowMemory()), problems)
    latest = state.anchor(stream, anchors[-1].number)
    load = AllowlistFilter.load
    incidents = _loaded(latest.judge, load, new_incidents, LOST_INCIDENTS, problems)
    bundle = version(incidents.rules.origin.bundle) or bundle
    memory = _loaded(latest.alerts, FlowMemory.load, FlowMemory, LOST_MEMORY, problems)
    live = LiveMemory(memory)
    pairs = _pairs(state, stream, bundle, problems)

    def pipeline_at(anchor: Snapshot) -> LivePipeline:
        return LivePipeline(
            bundle, incidents, config, hold=hold, originals=originals, at=anchor, pairs=pairs
        )

    snapshot = state.snapshot(stream)
    pipeline = _from_snapshot(state, stream, snapshot, anchors, pipeline_at)
    if pipeline is None:
        # by way of the journal alone
        snapshot = None
        start, complete = context_start(anchors, latest.clock, config.context_records)
        if not complete:
            problems.append(LOST_CONTEXT.format("it was cut for want of room: raise journal_mb"))
        try:
            begin = state.anchor(stream, start.number)
            pipeline = pipeline_at(begin if complete else _cut_off(begin))
            pipeline.warm_up(_entries(state, stream, start.number, latest.number))
        except DataError as error:
            problems.append(LOST_CONTEXT.format(error))
            pipeline = pipeline_at(_cut_off(latest))
    try:
        for entry in _entries(state, stream, latest.number, None):
            live.apply(entry.memory)
            pipeline.take(entry)
    except DataError as error:
        problems.append(LOST_CONTEXT.format(error))
    return RestoredStream(pipeline, live, problems, snapshot)


def _from_snapshot(
    state: State,
    stream: str,
    snapshot: ContextSnapshot | None,
    anchors: Sequence[Snapshot],
    pipeline_at: Callable[[Snapshot], LivePipeline],
) -> LivePipeline | None:
    """The pipeline at the latest anchor by way of the snapshot; None where that is of no use."""
    if snapshot is None or all(anchor.number != snapshot.number for anchor in anchors):
        return None
    try:
        anchor = state.anchor(stream, snapshot.number)
        pipeline = pipeline_at(anchor)
        load_context(state.directory, snapshot, pipeline.context)
        if pipeline.context.clock != anchor.clock:
            raise StateError("the snapshot of the context is of another moment")
        pipeline.warm_up(_entries(state, stream, anchor.number, anchors[-1].number))
    except DataError as error:
        log.warning("%s: %s; the journal takes its place", printable(stream), error)
        return None
    return pipeline


def _pairs(state: State, stream: str, bundle: Bundle, problems: list[str]) -> PairWatch | None:
    """What looks at pairs of hosts, with the ledger as it was at the latest anchor."""
    if bundle.pairs is None:
        return None
    ledger = None
    try:
        if (stored := state.pairs(stream)) is not None:
            ledger = PairLedger.load(*stored)
    except DataError as error:
        problems.append(LOST_PAIRS.format(error))
    return PairWatch.of(bundle, None, ledger)


def _loaded(
    stored: bytes | None, load: Callable[[bytes], T], new: Callable[[], T], lost: str, to: list[str]
) -> T:
    """What was stored, or something new; if it cannot be used, what is lost is added `to` those."""
    try:
        if stored is not None:
            return load(stored)
    except DataError as error:
        to.append(lost.format(error))
    return new()


def _cut_off(anchor: Snapshot) -> Snapshot:
    """The anchor with a clock that claims to begin there, so that windows know what they lack."""
    clock = anchor.clock
    return replace(anchor, clock=clock._replace(began=clock.now))


def _entries(state: State, stream: str, begin: int, end: int | None) -> Iterator[JournalEntry]:
    for row in state.journal(stream, begin, end):
        yield unpack(row.data)
