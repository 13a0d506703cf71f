"""The few rows of a scored batch that may matter, column by column, as the incidents take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.ensemble.classes import THREATS
from zeekml.notices.notice import Candidate

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

    Attributes
    ----------
    flows : pyarrow.RecordBatch
        `CANDIDATE_COLUMNS` of each row.
    clock, end : float64 (n,)
        Stream clock when the flow was taken in, and end of the flow, epoch seconds.
    score, spread : float64 (n,)
        Calibrated score, and standard deviation of the members' scores.
    threat : int8 (n,)
        Place of the likeliest threat in `THREATS`; negative if the bundle cannot tell.
    classes : float32 (n, threats)
        P(threat | malicious); NaN if the bundle cannot tell.
    members : float32 (n, members)
        Each member's calibrated score.
    matrix : float32 (n, features)
        The feature rows, for explanations.
    """

    flows: pa.RecordBatch
    clock: npt.NDArray[np.float64]
    end: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    threat: npt.NDArray[np.int8]
    classes: npt.NDArray[np.float32]
    members: npt.NDArray[np.float32]
    matrix: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.score)

    def rows(self) -> list[Candidate]:
        """All rows as objects; `Candidate.row` is the place in these columns."""
        if not len(self):
            return []
        columns = {name: self.flows.column(name).to_pylist() for name in CANDIDATE_COLUMNS}
        return [self._row(columns, k) for k in range(len(self))]

    def _row(self, columns: dict[str, list[object]], k: int) -> Candidate:
        threat = int(self.threat[k])
        return Candidate(
            clock=float(self.clock[k]),
            ts=columns["ts"][k],  # type: ignore[arg-type]
            end=float(self.end[k]),
            sensor=columns["sensor"][k],  # type: ignore[arg-type]
            uid=columns["uid"][k],  # type: ignore[arg-type]
            orig_h=columns["id.orig_h"][k],  # type: ignore[arg-type]
            orig_p=columns["id.orig_p"][k],  # type: ignore[arg-type]
            resp_h=columns["id.resp_h"][k],  # type: ignore[arg-type]
            resp_p=columns["id.resp_p"][k],  # type: ignore[arg-type]
            proto=columns["proto"][k],  # type: ignore[arg-type]
            service=columns["service"][k],  # type: ignore[arg-type]
            community_id=columns["community_id"][k],  # type: ignore[arg-type]
            signatures=tuple(columns["signatures"][k] or ()),  # type: ignore[arg-type]
            orig_ip_bytes=columns["orig_ip_bytes"][k],  # type: ignore[arg-type]
            resp_ip_bytes=columns["resp_ip_bytes"][k],  # type: ignore[arg-type]
            score=float(self.score[k]),
            threat=THREATS[threat] if threat >= 0 else "",
            classes=tuple(self.classes[k].tolist()),
            spread=float(self.spread[k]),
            members=tuple(self.members[k].tolist()),
            row=k,
        )
