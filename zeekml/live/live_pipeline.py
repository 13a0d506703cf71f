"""The pipeline of one live stream, in a form that a restart can go on from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from zeekml.config import Config
from zeekml.detection.allowlist import Suppressed
from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.notice import Notice
from zeekml.detection.pair_watch import PairWatch
from zeekml.ensemble.bundle import Bundle
from zeekml.live.health.drift import TrafficDrift
from zeekml.live.shadow import ShadowStream
from zeekml.live.state.database import PairChanges, Snapshot
from zeekml.live.state.journal import InterimPlace, JournalEntry
from zeekml.pipeline import Pipeline, ScoredBatch
from zeekml.readers.flow_order import EndOrder
from zeekml.readers.flow_schema import with_originals

BATCH_ROWS: Final = 1024
"""Records that are scored at a time: the model runtime keeps what the largest batch ever took."""


@dataclass
class LiveResult:
    """What became of flows that were taken in."""

    batches: list[ScoredBatch] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    silenced: list[Suppressed] = field(default_factory=list)

    def add(self, more: LiveResult) -> None:
        """What became of further ones."""
        self.batches += more.batches
        self.notices += more.notices
        self.silenced += more.silenced


class LivePipeline:
    """A `Pipeline` behind the order of ends, fed with one journal entry after the other.

    `hold` is for how many seconds flows are held to be put in order, 0 for a log that is in order;
    `at` is where the stream's clock and the flows held back stood, None at the very start; `pairs`
    looks at pairs of hosts, if the bundle can judge them.
    """

    def __init__(
        self,
        bundle: Bundle,
        incidents: AllowlistFilter,
        config: Config,
        *,
        hold: float,
        originals: bool = False,
        at: Snapshot | None = None,
        pairs: PairWatch | None = None,
    ) -> None:
        self._originals = originals
        self.shadow: ShadowStream | None = None  # what looks on, if anything
        self.drift: TrafficDrift | None = None  # what counts ordinary flows, if anything
        clock = at.clock if at else None
        self.pipeline = Pipeline(bundle, config=config, clock=clock, pairs=pairs)
        self.pipeline.incidents = incidents
        self.context = self.pipeline.context
        self._order: EndOrder | None = None
        if at is not None and at.ordering is not None:
            self._order = EndOrder.load(at.ordering, originals=originals)
        elif hold > 0:
            self._order = EndOrder(hold)

    @property
    def incidents(self) -> AllowlistFilter:
        """What is open; another one may be put in its place."""
        return self.pipeline.incidents

    @incidents.setter
    def incidents(self, incidents: AllowlistFilter) -> None:
        self.pipeline.incidents = incidents

    def score_with(self, bundle: Bundle) -> None:
        """Score what follows with a bundle, if it is another one."""
        if bundle.digest != self.pipeline.bundle.digest:
            self.pipeline.change_bundle(bundle)

    @property
    def held(self) -> int:
        """Flows that are held back to be put in order."""
        return self._order.held if self._order is not None else 0

    def warm_up(self, intakes: Iterable[JournalEntry]) -> None:
        """Take flows into the context that were scored before."""
        self.pipeline.warm_up(batch for intake in intakes for batch, _ in self._in_order(intake))

    def take(self, intake: JournalEntry) -> LiveResult:
        """Score the next flows and see what notices they give rise to."""
        outcome = LiveResult()
        for batch, before in self._in_order(intake):
            for _, log, records in before:
                self.pipeline.take_interim(log, records)
            features = self.pipeline.extract(batch)
            scored, notices = self.pipeline.feed(batch, features)
            if self.shadow is not None:
                self.shadow.feed(batch, features, notices)
            if self.drift is not None:
                self.drift.add(features, scored.scores)
            outcome.batches.append(scored)
            outcome.notices += notices
        outcome.silenced += self.pipeline.take_silenced()
        return outcome

    def close(self) -> LiveResult:
        """At the end of the input: score what is held back, and close the incidents."""
        outcome = self.take(JournalEntry(release=True))
        outcome.add(self.close_incidents())
        return outcome

    def close_incidents(self) -> LiveResult:
        """Close what is open; what is held back stays so."""
        notices = self.pipeline.close()
        return LiveResult(notices=notices, silenced=self.pipeline.take_silenced())

    def anchor(self, number: int, alerts: bytes) -> Snapshot:
        """The anchor before journal entry `number`, which comes next."""
        ordering = self._order.save() if self._order is not None else None
        pairs = None
        if (watched := self.pipeline.pairs) is not None:
            pairs = PairChanges(watched.ledger.head(), list(watched.ledger.changes()))
        return Snapshot(number, self.context.clock, ordering, self.incidents.save(), alerts, pairs)

    def stored(self) -> None:
        """Note that the latest anchor is stored."""
        if self.pipeline.pairs is not None:
            self.pipeline.pairs.ledger.stored()

    def _in_order(
        self, intake: JournalEntry
    ) -> Iterator[tuple[pa.RecordBatch, Sequence[InterimPlace]]]:
        """The next flows, and the interim records that were read before them.

        These come with logs in order alone, of which no flow is held back.
        """
        if intake.release and self._order is not None:
            for batch in _cut(self._order.flush()):
                yield batch, ()
        for place, logged in enumerate(intake.flows):
            flows = with_originals(logged, self._originals)
            before = [one for one in intake.interim if one.batch == place]
            for batch in _cut([flows] if self._order is None else self._order.push(flows)):
                yield batch, before
                before = []


def _cut(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, len(batch), BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)
