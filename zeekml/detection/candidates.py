"""The few rows of a scored batch that may matter, column by column, as the incidents take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.detection.notice import Candidate
from zeekml.ensemble.classes import THREATS

CANDIDATE_COLUMNS: Final = (
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
"""What incidents and notices need to know of a flow."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Candidate rows of one batch, in the order of the stream.

    Plain columns, so that another process can be handed them and most rows never become objects.
    """

    flows: pa.RecordBatch  # CANDIDATE_COLUMNS of each row
    # float64 (n,): Stream clock when the flow was taken in, and end of the flow, epoch seconds
    clock: npt.NDArray[np.float64]
    end: npt.NDArray[np.float64]
    # float64 (n,): Calibrated score, and standard deviation of the members' scores
    score: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    # int8 (n,): Place of the likeliest threat in THREATS; negative if the bundle cannot tell
    threat: npt.NDArray[np.int8]
    # float32 (n, threats): P(threat | malicious); NaN if the bundle cannot tell
    classes: npt.NDArray[np.float32]
    members: npt.NDArray[np.float32]  # float32 (n, members): Each member's calibrated score
    matrix: npt.NDArray[np.float32]  # float32 (n, features): The feature rows, for explanations

    def __len__(self) -> int:
        return len(self.score)

    def take(self, places: npt.NDArray[np.intp]) -> Candidates:
        """Some of the rows, by their places."""
        return Candidates(
            flows=self.flows.take(pa.array(places)),
            clock=self.clock[places],
            end=self.end[places],
            score=self.score[places],
            spread=self.spread[places],
            threat=self.threat[places],
            classes=self.classes[places],
            members=self.members[places],
            matrix=self.matrix[places],
        )

    def check(self) -> None:
        """Make sure of what incidents rest on."""
        ts = self.flows.column("ts").to_numpy(zero_copy_only=False)
        for times in (self.clock, ts, self.end):
            if not np.isfinite(times).all():
                raise ValueError("the clock, start and end of a candidate must be finite")
        if not ((self.score >= 0.0) & (self.score <= 1.0)).all():
            raise ValueError("the scores of candidates must lie in 0..1")
        if self.classes.shape[1] != len(THREATS):
            raise ValueError(f"expected {len(THREATS)} class shares, not {self.classes.shape[1]}")
        if (self.threat >= len(THREATS)).any():
            raise ValueError(f"there are only {len(THREATS)} threats")

    def row(self, k: int) -> Candidate:
        """One row as an object; `Candidate.row` is its place in these columns."""
        flow = {name: self.flows.column(name)[k].as_py() for name in CANDIDATE_COLUMNS}
        threat = int(self.threat[k])
        return Candidate(
            clock=float(self.clock[k]),
            ts=flow["ts"],
            end=float(self.end[k]),
            sensor=flow["sensor"],
            uid=flow["uid"],
            orig_h=flow["id.orig_h"],
            orig_p=flow["id.orig_p"],
            resp_h=flow["id.resp_h"],
            resp_p=flow["id.resp_p"],
            proto=flow["proto"],
            service=flow["service"],
            community_id=flow["community_id"],
            signatures=tuple(flow["signatures"] or ()),
            orig_ip_bytes=flow["orig_ip_bytes"],
            resp_ip_bytes=flow["resp_ip_bytes"],
            score=float(self.score[k]),
            threat=THREATS[threat] if threat >= 0 else "",
            classes=tuple(self.classes[k].tolist()),
            spread=float(self.spread[k]),
            members=tuple(self.members[k].tolist()),
            row=k,
        )
