"""All stages for one stream: flows → features → ensemble → incidents → notices.

Archives, live tails and the Python API call the same object, so the same records give the same
results whichever way they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.config import Config
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.explanation import explain
from zeekml.ensemble.scoring import Ensemble, Scores
from zeekml.features.matrix import FeatureBatch, FeatureExtractor
from zeekml.features.schema import SCHEMA_HASH
from zeekml.notices.incidents import IncidentTracker
from zeekml.notices.notice import Candidate, Notice
from zeekml.notices.policy import Policy

SHORT_HASH: Final = 12  # hex digits of a digest that a notice carries

_CANDIDATE_COLUMNS: Final = (
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "service",
    "orig_ip_bytes",
    "resp_ip_bytes",
    "community_id",
    "signatures",
    "sensor",
)


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """What became of one batch of flows.

    Attributes
    ----------
    flows
        The batch as read.
    scores
        Row-aligned with `flows`.
    notices
        Lines that the batch gave rise to, in order.
    """

    flows: pa.RecordBatch
    scores: Scores
    notices: list[Notice]


class Pipeline:
    """Scores one stream, batch by batch in order of arrival. Not thread-safe.

    Parameters
    ----------
    bundle
        From `zeekml.load_bundle`.
    policy
        From `load_policy`.
    sensor, stream
        What wrote the records, and the stream's name; both appear in notices.
    config
        Local networks and bounds.

    Raises
    ------
    ConfigError
        The policy asks for a threshold that the bundle does not have.
    """

    def __init__(
        self,
        bundle: Bundle,
        policy: Policy,
        *,
        sensor: str,
        stream: str,
        config: Config | None = None,
    ) -> None:
        config = config or Config()
        self._candidate_score = bundle.manifest.candidate_score
        self._features = FeatureExtractor(
            local_nets=config.local_nets, max_records=config.context_records
        )
        self._ensemble = Ensemble(bundle)
        self._incidents = IncidentTracker(
            policy,
            policy.thresholds(bundle.manifest.thresholds),
            sensor=sensor,
            stream=stream,
            bundle=bundle.short_digest,
            features=SCHEMA_HASH[:SHORT_HASH],
            explain=self._explain,
        )
        self._matrix: npt.NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._clock = 0.0

    @property
    def incidents(self) -> IncidentTracker:
        return self._incidents

    @property
    def evicted_records(self) -> int:
        """Records that left the context before their hour was over, for want of room."""
        return self._features.context.evicted

    def feed(self, flows: pa.RecordBatch) -> ScoredBatch:
        """Score the next flows of the stream (a batch of `FLOW_SCHEMA`)."""
        return self.judge(flows, self.extract(flows))

    def extract(self, flows: pa.RecordBatch) -> FeatureBatch:
        """The first half of `feed`; may run ahead of `judge`, in one other thread."""
        return self._features.transform(flows)

    def judge(self, flows: pa.RecordBatch, features: FeatureBatch) -> ScoredBatch:
        """The second half of `feed`: scores and notices, batch by batch in the same order."""
        scores = self._ensemble.score(features.matrix)
        self._matrix = features.matrix
        notices: list[Notice] = []
        for candidate in self._candidates(flows, features, scores):
            notices += self._incidents.add(candidate)
        if flows.num_rows:
            self._clock = float(features.clock[-1])
            notices += self._incidents.advance(self._clock)
        return ScoredBatch(flows, scores, notices)

    def close(self) -> list[Notice]:
        """Close what is still open, at the end of the input."""
        return self._incidents.close(self._clock)

    def _candidates(
        self, flows: pa.RecordBatch, features: FeatureBatch, scores: Scores
    ) -> list[Candidate]:
        """The few rows that may matter, as the incidents want them."""
        rows = np.flatnonzero(scores.score >= self._candidate_score)
        if len(rows) == 0:
            return []
        picked = flows.select(_CANDIDATE_COLUMNS).take(pa.array(rows))
        columns = {name: picked.column(name).to_pylist() for name in _CANDIDATE_COLUMNS}
        candidates = []
        for k, row in enumerate(rows.tolist()):
            threat = int(scores.threat[row])
            candidates.append(
                Candidate(
                    clock=float(features.clock[row]),
                    ts=columns["ts"][k],
                    end=float(features.end[row]),
                    sensor=columns["sensor"][k],
                    uid=columns["uid"][k],
                    orig_h=columns["id.orig_h"][k],
                    orig_p=columns["id.orig_p"][k],
                    resp_h=columns["id.resp_h"][k],
                    resp_p=columns["id.resp_p"][k],
                    proto=columns["proto"][k],
                    service=columns["service"][k],
                    community_id=columns["community_id"][k],
                    signatures=tuple(columns["signatures"][k] or ()),
                    orig_ip_bytes=columns["orig_ip_bytes"][k],
                    resp_ip_bytes=columns["resp_ip_bytes"][k],
                    score=float(scores.score[row]),
                    threat=THREATS[threat] if threat >= 0 else "",
                    classes=tuple(scores.classes[row].tolist()),
                    spread=float(scores.spread[row]),
                    members=tuple(scores.members[row].tolist()),
                    row=row,
                )
            )
        return candidates

    def _explain(self, candidate: Candidate) -> tuple[str, ...]:
        """Why a row of the batch at hand scored as it did."""
        row = self._matrix[candidate.row : candidate.row + 1]
        return tuple(c.text() for c in explain(self._ensemble, row)[0])
