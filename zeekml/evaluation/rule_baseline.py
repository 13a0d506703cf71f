"""A handful of rules that an analyst would write, as a baseline.

They were written down before any figure was computed, they are not fitted to anything, and a flow
scores as its strongest rule: how many times over its limit the flow's context is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Matrix
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES

Floats = npt.NDArray[np.float64]

# how many times over the limit still makes a difference
_MOST: Final = 10.0


class Context:
    """Features of rows in their natural units, missing ones zero."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix

    def __getitem__(self, name: str) -> Floats:
        feature = FEATURES[FEATURE_INDEX[name]]
        stored = np.nan_to_num(self._matrix[:, FEATURE_INDEX[name]].astype(np.float64))
        return np.expm1(stored) / feature.scale if feature.transform == "log1p" else stored


@dataclass(frozen=True)
class Rule:
    """One rule: `strength` is 1 where a flow just meets it."""

    text: str
    strength: Callable[[Context], Floats]


RULES: Final = (
    Rule("the source tried 20 ports within 10 minutes", lambda c: c["src600_ports"] / 20),
    Rule("the source contacted 30 hosts within 10 minutes", lambda c: c["src600_hosts"] / 30),
    Rule(
        "the source had 20 unanswered flows within 10 minutes",
        lambda c: c["src600_failed"] * c["src600_flows"] / 20,
    ),
    Rule("the destination got 100 flows within a minute", lambda c: c["dst60_flows"] / 100),
    Rule(
        "30 flows between two hosts within 10 minutes, to a login or database port",
        lambda c: c["port_admin"] * c["pair600_flows"] / 30,
    ),
    Rule(
        "8 contacts with one service in the hour whose intervals differ by at most a tenth",
        lambda c: (
            (c["contact_flows"] >= 7.5)
            * (c["contact_interval"] > 1)
            * 0.1
            / np.maximum(c["contact_jitter"], 0.02)
        ),
    ),
    Rule(
        "the originator sent 10 MB out of the local networks",
        lambda c: (1 - c["resp_local"]) * c["orig_payload"] / 1e7,
    ),
)


def strongest_rule(matrix: Matrix) -> Floats:
    """Score rows by the strongest of `RULES`: float64, (rows,), 1 where a limit is just met."""
    context = Context(matrix)
    strengths = np.stack([rule.strength(context) for rule in RULES])
    scores: Floats = np.minimum(strengths, _MOST).max(axis=0)
    return scores
