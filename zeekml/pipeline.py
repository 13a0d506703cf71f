"""All stages for one stream: flows → features → ensemble → incidents → notices.

Archives, live tails and the Python API call the same object, so the same records give the same
results whichever way they come.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zeekml.config import Config
from zeekml.detection.allowlist import EMPTY, Allowlist
from zeekml.detection.allowlist_filter import AllowlistFilter, ExplainRow
from zeekml.detection.candidates import CANDIDATE_COLUMNS, Candidates
from zeekml.detection.notice import Notice
from zeekml.detection.policy import Policy
from zeekml.detection.rules_digest import rules_fingerprint
from zeekml.detection.suppressed import Suppressed
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.explanation import explain
from zeekml.ensemble.scoring import Ensemble, Scores
from zeekml.features.context.engine import ContextEngine
from zeekml.features.extractor import FeatureBatch, FeatureExtractor
from zeekml.features.feature_schema import LOCAL_NETS, SCHEMA_HASH
from zeekml.readers.stream_clock import ClockState


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """What became of one batch of flows."""

    flows: pa.RecordBatch  # the batch as read
    scores: Scores  # row-aligned with flows
    candidates: Candidates  # the rows that may matter
    clock: float | None  # stream clock after the last row, epoch seconds; None if there are no rows


class Scorer:
    """Stage 1: features and ensemble of one stream, batch by batch in order of arrival."""

    def __init__(
        self,
        bundle: Bundle,
        config: Config | None = None,
        *,
        clock: ClockState | None = None,
        ensemble: Ensemble | None = None,
    ) -> None:
        config = config or Config()
        self._candidate_score = bundle.manifest.candidate_score
        self._features = FeatureExtractor(
            local_nets=config.local_nets, max_records=config.context_records, clock=clock
        )
        self._ensemble = ensemble or Ensemble(bundle)

    @property
    def context(self) -> ContextEngine:
        """What is remembered of the flows of the last hour."""
        return self._features.context

    @property
    def evicted_records(self) -> int:
        """Records that left the context before their hour was over, for want of room."""
        return self._features.context.evicted

    @property
    def context_records(self) -> int:
        """Records that the context holds."""
        return self._features.context.held

    @property
    def late_records(self) -> int:
        """Records that ended before the stream's clock."""
        return self._features.context.late

    @property
    def clock(self) -> ClockState:
        """Where the stream's clock stands, and what it remembers."""
        return self._features.context.clock

    def warm_up(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take in flows that somebody else scores (batches of `FLOW_SCHEMA`).

        With the clock that the stream has before the first of them, and if they reach back to the
        oldest flow that the context holds after the last of them, what follows is scored as if the
        stream had been read from its start.
        """
        self._features.warm_up(batches)

    def extract(self, flows: pa.RecordBatch) -> FeatureBatch:
        """The first half of `score`; may run ahead of `rate`, in one other thread."""
        return self._features.transform(flows)

    def rate(self, flows: pa.RecordBatch, features: FeatureBatch) -> ScoredBatch:
        """The second half of `score`."""
        scores = self._ensemble.score(features.matrix)
        rows = np.flatnonzero(scores.score >= self._candidate_score)
        return ScoredBatch(
            flows,
            scores,
            Candidates(
                flows=flows.select(CANDIDATE_COLUMNS).take(pa.array(rows)),
                clock=features.clock[rows],
                end=features.end[rows],
                score=scores.score[rows],
                spread=scores.spread[rows],
                threat=scores.threat[rows],
                classes=scores.classes[rows],
                members=scores.members[rows],
                matrix=features.matrix[rows],
            ),
            float(features.clock[-1]) if flows.num_rows else None,
        )

    def score(self, flows: pa.RecordBatch) -> ScoredBatch:
        """Score the next flows of the stream (a batch of `FLOW_SCHEMA`)."""
        return self.rate(flows, self.extract(flows))


def fingerprint_of(bundle: Bundle, policy: Policy) -> str:
    """The `Judge.fingerprint` of a judge made from these."""
    return rules_fingerprint(
        policy,
        bundle.manifest.thresholds,
        base_rate=bundle.manifest.calibration.base_rate,
        bundle=bundle.short_digest,
        features=SCHEMA_HASH,
    )


class Judge:
    """Stage 2: from candidate rows to notices, in the order of the stream. Sequential and cheap."""

    def __init__(
        self,
        bundle: Bundle,
        policy: Policy,
        *,
        sensor: str,
        stream: str,
        allowlist: Allowlist = EMPTY,
        local_nets: Sequence[str] = LOCAL_NETS,
    ) -> None:
        self._begin(bundle)
        self.incidents = AllowlistFilter(
            policy,
            policy.thresholds(bundle.manifest.thresholds),
            sensor=sensor,
            stream=stream,
            bundle=bundle.short_digest,
            features=SCHEMA_HASH,
            base_rate=bundle.manifest.calibration.base_rate,
            explain=_explainer(self),
            allowlist=allowlist,
            local_nets=local_nets,
        )

    @classmethod
    def load(cls, bundle: Bundle, data: bytes) -> Judge:
        """A judge that goes on where the one that was saved stood, by the same rules.

        Compare `fingerprint` with `fingerprint_of` what is wanted now: after a change, this judge
        is only good for closing what is open. The allowlist can be changed (`change_allowlist`).
        """
        judge = cls.__new__(cls)
        judge._begin(bundle)
        judge.incidents = AllowlistFilter.load(data, explain=_explainer(judge))
        return judge

    def save(self) -> bytes:
        """All that the notices to come depend on, besides the bundle, for `load`."""
        return self.incidents.save()

    def _begin(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._explainer: Ensemble | None = None

    @property
    def fingerprint(self) -> str:
        """Digest of the policy, its thresholds, and the bundle's digest and calibration."""
        return self.incidents.fingerprint

    @property
    def allowlist(self) -> Allowlist:
        """The allowlist in force."""
        return self.incidents.allowlist

    def change_allowlist(self, allowlist: Allowlist) -> None:
        """Judge by another allowlist from the next candidate on."""
        self.incidents.change(allowlist)

    def judge(self, candidates: Candidates, clock: float | None) -> list[Notice]:
        """Notices that the next batch gives rise to, in order."""
        return self.incidents.judge(candidates, clock)

    def close(self) -> list[Notice]:
        """Close what is still open, at the end of the input."""
        return self.incidents.close()

    def take_silenced(self) -> list[Suppressed]:
        """Lines since the last call that the allowlist silenced, in order."""
        return self.incidents.take_silenced()

    def explain_row(self, candidates: Candidates, row: int) -> tuple[str, ...]:
        """Why a row scored as it did."""
        if self._explainer is None:
            self._explainer = Ensemble(self._bundle)
        matrix = candidates.matrix[row : row + 1]
        site = self._bundle.manifest.usual_source == "site"
        usual = "usual here" if site else "usual"
        return tuple(c.text(usual) for c in explain(self._explainer, matrix)[0])


def _explainer(judge: Judge) -> ExplainRow:
    """The judge's explanations, without keeping it: a gate that is replaced, and it is large,
    goes at once instead of waiting for the collector of cycles."""
    keeps_none = weakref.ref(judge)

    def explain_row(candidates: Candidates, row: int) -> tuple[str, ...]:
        alive = keeps_none()
        return () if alive is None else alive.explain_row(candidates, row)

    return explain_row


class Pipeline:
    """Both stages for one stream, batch by batch in order of arrival. Not thread-safe."""

    def __init__(
        self,
        bundle: Bundle,
        policy: Policy,
        *,
        sensor: str,
        stream: str,
        config: Config | None = None,
        allowlist: Allowlist = EMPTY,
    ) -> None:
        config = config or Config()
        self.scorer = Scorer(bundle, config)
        self.judge = Judge(
            bundle,
            policy,
            sensor=sensor,
            stream=stream,
            allowlist=allowlist,
            local_nets=config.local_nets,
        )

    @property
    def incidents(self) -> AllowlistFilter:
        return self.judge.incidents

    def take_silenced(self) -> list[Suppressed]:
        """Lines since the last call that the allowlist silenced, in order."""
        return self.judge.take_silenced()

    @property
    def evicted_records(self) -> int:
        """Records that left the context before their hour was over, for want of room."""
        return self.scorer.evicted_records

    def feed(self, flows: pa.RecordBatch) -> tuple[ScoredBatch, list[Notice]]:
        """Score the next flows of the stream (a batch of `FLOW_SCHEMA`)."""
        scored = self.scorer.score(flows)
        return scored, self.judge.judge(scored.candidates, scored.clock)

    def close(self) -> list[Notice]:
        """Close what is still open, at the end of the input."""
        return self.judge.close()
