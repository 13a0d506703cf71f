"""What a line of notice.log rests on: kept beside it, for `zeekml explain` and for labels.

The features of the flow that triggered an opening or updating line, what each member of the
ensemble said, and of an opening line the flows that made the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.detection.incidents.flow_store import QuotedFlow
from zeekml.detection.notice import Candidate

MOST_RELATED: Final = 10
"""Flows of an opening line, the strongest."""


@dataclass(frozen=True, slots=True)
class RelatedFlow:
    """A flow that is part of an incident's evidence, and its score."""

    flow: QuotedFlow
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a line rests on."""

    # float32 of the triggering flow, as many as the schema has, in its order, little-endian
    features: bytes
    score: float  # of that flow, calibrated
    members: tuple[float, ...]  # each member's calibrated score of it
    # P(threat | malicious) in the order of THREATS; not finite if the bundle cannot tell
    classes: tuple[float, ...]
    related: tuple[RelatedFlow, ...] = ()  # the strongest flows, of an opening line

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
