"""Splitting recordings by time, and the recipe trained on the past of every environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Environment
from zeekml.evaluation.fits import train_if_possible
from zeekml.evaluation.scores import judged, with_synthetic
from zeekml.evaluation.settings import Settings, Steps
from zeekml.features.feature_schema import WINDOWS
from zeekml.training.ranking import Floats
from zeekml.training.training_rows import Prepared

TRAIN_SHARE: Final = 0.6
LARGEST_GAP: Final = float(WINDOWS[-1])
"""Seconds: as far back as any feature looks."""
GAP_SHARE: Final = 0.1

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LaterPart:
    """The later part of an environment, scored by what was trained on earlier parts."""

    name: str
    benign: int
    malicious: int
    figures: Floats | None  # float64 array (seeds, measures): NaN where not resolvable
    why_not: str | None  # why there are no figures


def early_and_late(environment: Environment, share: float, *, gap: bool) -> tuple[Flags, Flags]:
    """Rows of the first `share` of each recording's time, and rows of the rest."""
    ts = np.asarray(environment.flows["ts"].to_numpy(), dtype=np.float64)
    end = environment.ends()
    early, late = np.zeros(len(ts), dtype=bool), np.zeros(len(ts), dtype=bool)
    for rows in environment.capture_slices():
        begin, span = float(ts[rows].min()), float(np.ptp(ts[rows]))
        cut = begin + share * span
        pause = min(LARGEST_GAP, GAP_SHARE * span) if gap else 0.0
        early[rows] = (end[rows] if gap else ts[rows]) <= cut
        late[rows] = ts[rows] > cut + pause
    return early, late


def past_to_future(
    prepared: Sequence[Prepared], settings: Settings, steps: Steps
) -> list[LaterPart]:
    """Train on the earlier part of all environments and score the later part of each."""
    past, future = [], []
    for item in prepared:
        early, late = early_and_late(item.environment, TRAIN_SHARE, gap=True)
        past.append(_part(item, early))
        future.append(_part(item, late))
    usable = [item for item in past if len(item.environment)]
    scored: dict[str, list[Floats]] = {}
    for seed in settings.seed_list:
        steps.now(f"seed {seed}: trained on the past")
        drawn = with_synthetic(usable, seed)
        ensemble = train_if_possible(drawn, seed, settings)
        if ensemble is None:
            break
        for item in future:
            if item.environment.why_not_evaluable() is None:
                scores = ensemble.predict(item.matrix).log_odds
                scored.setdefault(item.name, []).append(judged(item).figures(scores, "raw"))
        steps.done(f"seed {seed}: trained on the past", len(settings.plan.outputs()))
    found = []
    for item in future:
        labels = item.environment.evaluation_labels()
        figures = scored.get(item.name)
        why_not = item.environment.why_not_evaluable() or "the past teaches nothing"
        found.append(
            LaterPart(
                name=item.name,
                benign=int((labels == 0).sum()),
                malicious=int((labels > 0).sum()),
                figures=None if figures is None else np.stack(figures),
                why_not=why_not if figures is None else None,
            )
        )
    return found


def _part(item: Prepared, chosen: Flags) -> Prepared:
    """Some rows of an environment; their features still know what came before them."""
    return replace(item, environment=item.environment.where(chosen), matrix=item.matrix[chosen])
