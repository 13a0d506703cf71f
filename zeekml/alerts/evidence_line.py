"""Lines beside notice.log, as JSON: what a notice rests on, and what the allowlist silenced."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import numpy as np

from zeekml.alerts.zeek_notice import encode_json
from zeekml.core.text import printable
from zeekml.detection.allowlist import Suppressed
from zeekml.detection.notice import QUOTED_COLUMNS, Evidence, Notice, RelatedFlow
from zeekml.ensemble.classes import THREATS


def encode_evidence(evidence: Evidence) -> bytes:
    """Evidence as a JSON object."""
    shares = zip(THREATS, evidence.classes, strict=True)
    known = all(np.isfinite(evidence.classes))
    told: dict[str, Any] = {
        "score": round(evidence.score, 6),
        "members": [round(score, 6) for score in evidence.members],
        "classes": {threat: round(share, 6) for threat, share in shares} if known else None,
        "features": base64.b64encode(evidence.features).decode(),
        "related": [_related(item) for item in evidence.related],
    }
    if evidence.timing is not None:
        told["timing"] = json.loads(evidence.timing)
    return json.dumps(told, separators=(",", ":")).encode()


def encode_explained(notice: Notice) -> bytes:
    """A line of evidence.jsonl: a notice as in notice.log, and what it rests on, if anything."""
    evidence = b"null" if notice.evidence is None else encode_evidence(notice.evidence)
    line = encode_json(notice).rstrip(b"\n")
    return b'{"notice":' + line + b',"evidence":' + evidence + b"}\n"


def encode_silenced(silenced: Suppressed) -> bytes:
    """A line of silenced.jsonl: a notice as in notice.log, and the entry that silenced it."""
    by = json.dumps(msgspec.to_builtins(silenced.by), separators=(",", ":")).encode()
    return encode_json(silenced.notice)[:-2] + b',"silenced_by":' + by + b"}\n"


def _related(item: RelatedFlow) -> dict[str, Any]:
    values = {at: getattr(item.flow, name) for name, at in QUOTED_COLUMNS.items()}
    del values["sensor"]  # the notice names it
    told = {at: printable(v) if isinstance(v, str) else v for at, v in values.items()}
    return {**told, "ts": round(item.flow.ts, 6), "score": round(item.score, 6)}
