"""What a line of notice.log rests on: kept beside it, for `zeekml explain` and for labels.

The features of the flow that triggered an opening or updating line, what each member of the
ensemble said, and of an opening line the flows that made the evidence.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.alerts.zeek_notice import encode_json
from zeekml.detection.incidents.flow_store import QuotedFlow
from zeekml.detection.notice import Candidate, Notice, plain
from zeekml.ensemble.classes import THREATS

MOST_RELATED: Final = 10
"""Flows of an opening line, the strongest."""


@dataclass(frozen=True, slots=True)
class RelatedFlow:
    """A flow that is part of an incident's evidence, and its score."""

    flow: QuotedFlow
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a line rests on.

    Attributes
    ----------
    features
        float32 of the triggering flow, as many as the schema has, in its order, little-endian.
    score
        Of that flow, calibrated.
    members
        Each member's calibrated score of it.
    classes
        P(threat | malicious) in the order of `THREATS`; not finite if the bundle cannot tell.
    related
        The strongest flows, of an opening line.
    """

    features: bytes
    score: float
    members: tuple[float, ...]
    classes: tuple[float, ...]
    related: tuple[RelatedFlow, ...] = ()

    @classmethod
    def of(
        cls,
        candidate: Candidate,
        features: npt.NDArray[np.float32],
        related: tuple[RelatedFlow, ...] = (),
    ) -> Evidence:
        """The evidence of a line that a candidate with these features triggered."""
        return cls(
            np.ascontiguousarray(features, "<f4").tobytes(),
            candidate.score,
            candidate.members,
            candidate.classes,
            related,
        )


def encode_evidence(evidence: Evidence) -> bytes:
    """Evidence as a JSON object."""
    known = all(np.isfinite(evidence.classes))
    told: dict[str, Any] = {
        "score": round(evidence.score, 6),
        "members": [round(score, 6) for score in evidence.members],
        "classes": {
            threat: round(share, 6) for threat, share in zip(THREATS, evidence.classes, strict=True)
        }
        if known
        else None,
        "features": base64.b64encode(evidence.features).decode(),
        "related": [_related(item) for item in evidence.related],
    }
    return json.dumps(told, separators=(",", ":")).encode()


def encode_explained(notice: Notice) -> bytes:
    """A line of evidence.jsonl: a notice as in notice.log, and what it rests on, if anything."""
    evidence = b"null" if notice.evidence is None else encode_evidence(notice.evidence)
    line = encode_json(notice).rstrip(b"\n")
    return b'{"notice":' + line + b',"evidence":' + evidence + b"}\n"


def features_of(evidence: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The feature vector in decoded evidence, NaN where missing.

    Raises
    ------
    ValueError, KeyError, TypeError
        There is none.
    """
    return np.frombuffer(base64.b64decode(evidence["features"], validate=True), "<f4")


def _related(item: RelatedFlow) -> dict[str, Any]:
    flow = item.flow
    return {
        "ts": round(flow.ts, 6),
        "uid": _plain(flow.uid),
        "id.orig_h": plain(flow.orig_h),
        "id.orig_p": flow.orig_p,
        "id.resp_h": plain(flow.resp_h),
        "id.resp_p": flow.resp_p,
        "proto": plain(flow.proto),
        "service": _plain(flow.service),
        "community_id": _plain(flow.community_id),
        "score": round(item.score, 6),
    }


def _plain(text: str | None) -> str | None:
    return None if text is None else plain(text)
