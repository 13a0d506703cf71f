"""The pipeline of one stream: flows → features → ensemble → incidents → notices.

Archives, slices of them, live streams, the Python API and calibration all call this one object, so
the same records give the same results whichever way they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa

from zeekml.config import Config
from zeekml.detection.allowlist import EMPTY, Allowlist, Suppressed
from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.candidates import (
    Candidates,
    candidate_flows,
    with_findings,
    with_open_findings,
    without_counted,
)
from zeekml.detection.incidents.notice_builder import Line
from zeekml.detection.notice import Notice
from zeekml.detection.pair_watch import PairWatch
from zeekml.detection.policy import Policy
from zeekml.detection.rules import DetectionRules
from zeekml.detection.single_flows import Judged, SingleFlows
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.explanation import explain
from zeekml.ensemble.scoring import Ensemble, Scores
from zeekml.features.addresses import HostClassifier
from zeekml.features.context.engine import ContextEngine
from zeekml.features.extractor import FeatureBatch, FeatureExtractor
from zeekml.features.flow_features import flow_columns
from zeekml.pairs.contacts import contacts_of, with_interim
from zeekml.pairs.layout import Records
from zeekml.readers.batch_builder import flow_end
from zeekml.readers.record_dates import RecordDates
from zeekml.readers.stream_clock import ClockState


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """What became of one batch of flows."""

    flows: pa.RecordBatch  # the batch as read
    scores: Scores  # row-aligned with flows
    candidates: Candidates  # the rows that may matter
    clock: float | None  # stream clock after the last row, epoch seconds; None if there are no rows
    contacts: Records  # what pairs of hosts are made of, `zeekml.pairs.layout.CONTACT`

    def whole(self) -> pa.RecordBatch:
        """The batch as read."""
        return self.flows

    def on_dates(self, dates: RecordDates | None) -> ScoredBatch:
        """Flows and scores of these dates alone; the rest is that of the whole batch."""
        if dates is None or (wanted := dates.wanted(flow_end(self.flows))).all():
            return self
        scores = {f.name: getattr(self.scores, f.name)[wanted] for f in fields(self.scores)}
        flows = self.flows.filter(pa.array(wanted))
        return replace(self, flows=flows, scores=replace(self.scores, **scores))


class Pipeline:
    """Extract, score and detect: one stream, batch by batch in order of arrival.

    Not thread-safe, but `extract` may run ahead of the rest in one other thread.

    Parameters
    ----------
    bundle
        From `zeekml.load_bundle`.
    policy
        From `load_policy`. None: what is scored here is looked for incidents elsewhere, or
        `incidents` is set before `detect` is called.
    sensor, stream
        What wrote the records, and the stream's name; both appear in notices.
    config
        Local networks and bounds.
    allowlist
        From `load_allowlist`; empty if not given.
    clock
        Where the stream's clock stands, for a pipeline that starts inside a stream; `warm_up` it
        before scoring.
    ensemble
        One made from the bundle already, that nobody else uses meanwhile.
    detects_only
        Others extract and score, here is only `detect`: saves the memory of the rest. With
        `ensemble` there is `score`, too, of features that others extract.
    scores_only
        Others detect: of the policy is taken which flows are candidates whatever their score.
    pairs
        What looks at pairs of hosts; made from bundle and policy if it is not given.

    Raises
    ------
    ConfigError
        The policy asks for a threshold that the bundle does not have.
    """

    context: ContextEngine  # what is remembered of the flows of the last hour

    def __init__(
        self,
        bundle: Bundle,
        policy: Policy | None = None,
        *,
        sensor: str = "",
        stream: str = "",
        config: Config | None = None,
        allowlist: Allowlist = EMPTY,
        clock: ClockState | None = None,
        ensemble: Ensemble | None = None,
        detects_only: bool = False,
        scores_only: bool = False,
        pairs: PairWatch | None = None,
    ) -> None:
        config = config or Config()
        self.bundle = bundle
        if not detects_only:
            self._features = FeatureExtractor(
                local_nets=config.local_nets, max_records=config.context_records, clock=clock
            )
            self.context = self._features.context
        if ensemble is not None or not detects_only:
            self._ensemble = ensemble or Ensemble(bundle)
        # of its own: the model runtime allocates anew whenever the size of a batch changes
        self._explainer: Ensemble | None = None
        self._silenced: list[Suppressed] = []
        self._classify = HostClassifier(config.local_nets)
        self._single_flows = SingleFlows(policy)
        self.pairs = pairs
        if policy is not None and not scores_only:
            self.pairs = pairs or PairWatch.of(bundle, policy)
            rules = DetectionRules.of(bundle, policy, sensor=sensor, stream=stream)
            self.incidents = AllowlistFilter(rules, allowlist, config.local_nets)

    @property
    def incidents(self) -> AllowlistFilter:
        """What candidates become, by the policy in force."""
        return self._incidents

    @incidents.setter
    def incidents(self, incidents: AllowlistFilter) -> None:
        self._incidents = incidents
        self._single_flows = SingleFlows(incidents.rules.policy)
        if self.pairs is not None:
            self.pairs.go_by(incidents.rules.policy)

    def change_bundle(self, bundle: Bundle) -> None:
        """Score what follows with another bundle; `incidents` are to be told by themselves."""
        self.bundle = bundle
        self._ensemble, self._explainer = Ensemble(bundle), None
        ledger = None if self.pairs is None else self.pairs.ledger
        self.pairs = PairWatch.of(bundle, self._incidents.rules.policy, ledger)

    def warm_up(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take in flows that somebody else scores (batches of `FLOW_SCHEMA`).

        With the clock that the stream has before the first of them, and if they reach back to the
        oldest flow that the context holds after the last of them, what follows is scored as if the
        stream had been read from its start.
        """
        self._features.warm_up(batches)

    def extract(self, flows: pa.RecordBatch) -> FeatureBatch:
        """Features of the next flows of the stream (a batch of `FLOW_SCHEMA`)."""
        return self._features.transform(flows)

    def score(self, flows: pa.RecordBatch, features: FeatureBatch | None = None) -> ScoredBatch:
        """Score flows, of which `extract` gave the features; else it is called here."""
        if features is None:
            features = self.extract(flows)
        scores = self._ensemble.score(features.matrix)
        judged = Judged(features.matrix, scores.score, scores.threat, scores.members)
        worth, enough = self._single_flows.worth(judged, self.bundle.manifest.candidate_score)
        candidates = Candidates(
            flows=candidate_flows(flows, worth),
            row=worth.astype(np.int64),
            clock=features.clock[worth],
            end=features.end[worth],
            score=scores.score[worth],
            spread=scores.spread[worth],
            threat=scores.threat[worth],
            classes=scores.classes[worth],
            members=scores.members[worth],
            matrix=features.matrix[worth],
            enough=enough[worth],
        )
        clock = float(features.clock[-1]) if flows.num_rows else None
        contacts = contacts_of(features.columns, features.clock, flows.column("uid"))
        return ScoredBatch(flows, scores, candidates, clock, contacts)

    def take_interim(self, log: str, flows: pa.RecordBatch) -> None:
        """Take in the next interim records of a log, as far as they are read.

        They are no flows: each is used for what it tells of a pair of hosts, when the clock of the
        stream has come as far.
        """
        if self.pairs is not None:
            self.pairs.ledger.sessions.push(log, flows)

    def with_pairs(
        self,
        candidates: Candidates,
        contacts: Records,
        flows: Callable[[], pa.RecordBatch],
        clock: float | None = None,
    ) -> Candidates:
        """Take the contacts of the next batch in; its candidates with the pairs found in it.

        `flows` gives the batch, and is called if there are any; `clock` is as in `ScoredBatch`, and
        interim records are taken up to it.
        """
        if self.pairs is None:
            return candidates
        sessions = self.pairs.ledger.sessions
        if (ready := None if clock is None else sessions.until(clock)) is not None:
            interim, times = ready
            own = contacts_of(flow_columns(interim, self._classify), times, interim.column("uid"))
            own = own[own["session"] != 0]
            own["open"] = 1
            contacts = with_interim(contacts, own)
        found = self.pairs.add(contacts)
        if findings := [one for one in found if not one.still_open]:
            candidates = with_findings(candidates, findings, flows())
        still_open = [one for one in found if one.still_open]
        more = without_counted(interim, sessions.told) if still_open else None
        for one in still_open:
            sessions.tell(interim, one.row)
        if sessions.told:
            # a flow is logged after all that was told of it while it was open
            kept = without_counted(candidates.flows, sessions.told)
            candidates = replace(candidates, flows=kept)
        return candidates if more is None else with_open_findings(candidates, still_open, more)

    def detect(self, candidates: Candidates, clock: float | None) -> list[Notice]:
        """Notices that the next batch gives rise to, in order; arguments as in `ScoredBatch`."""
        return self._explained(self.incidents.add(candidates, clock), candidates)

    def feed(
        self, flows: pa.RecordBatch, features: FeatureBatch | None = None
    ) -> tuple[ScoredBatch, list[Notice]]:
        """Extract, score and detect: the scored batch, and the notices that it gave rise to.

        `features` are those that `extract` gave, if it was called.
        """
        batch = self.score(flows, features)
        candidates = self.with_pairs(batch.candidates, batch.contacts, batch.whole, batch.clock)
        return batch, self.detect(candidates, batch.clock)

    def close(self) -> list[Notice]:
        """Close what is still open, at the end of the input."""
        return self._explained(self.incidents.close())

    def take_silenced(self) -> list[Suppressed]:
        """Lines since the last call that the allowlist silenced, in order."""
        taken, self._silenced = self._silenced, []
        return taken

    def _explained(
        self, lines: Iterable[Line], candidates: Candidates | None = None
    ) -> list[Notice]:
        """The lines with what explains the rows that caused them, here where the batch is."""

        def notice(line: Line) -> Notice:
            if candidates is None or line.row < 0:
                return line.explained()
            return line.explained(self._why(candidates, line.row))

        notices = [notice(line) for line in lines]
        self._silenced += [
            Suppressed(notice(line), by) for line, by in self.incidents.take_silenced()
        ]
        return notices

    def _why(self, candidates: Candidates, row: int) -> list[str]:
        """Which features made the score of a row, as texts, the largest first."""
        if self._explainer is None:
            self._explainer = Ensemble(self.bundle)
        told: list[str] = candidates.flows.column("contacts")[row].as_py()
        matrix = candidates.matrix[row : row + 1]
        if told and np.isnan(matrix).all():
            return told
        usual = "usual here" if self.bundle.manifest.usual_source == "site" else "usual"
        return told + [reason.text(usual) for reason in explain(self._explainer, matrix)[0]]
