"""Earlier flows against later ones: recordings split by time, the recipe trained on the past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from zeekml.datasets.environment import Environment
from zeekml.evaluation.scores import OURS, Study, with_synthetic
from zeekml.evaluation.sections.wording import mean_known, over_seeds, plain, spread_data, table_of
from zeekml.evaluation.settings import Settings, Steps
from zeekml.features.feature_schema import WINDOWS
from zeekml.html.sections import Section
from zeekml.training.leave_one_out import train_if_possible
from zeekml.training.ranking import MEASURES, TITLES, EvaluatedRows, Flags, Floats
from zeekml.training.training_rows import Prepared

TRAIN_SHARE: Final = 0.6
LARGEST_GAP: Final = float(WINDOWS[-1])
"""Seconds: as far back as any feature looks."""
GAP_SHARE: Final = 0.1


@dataclass(frozen=True)
class LaterPart:
    """The later part of an environment, scored by what was trained on earlier parts."""

    name: str
    benign: int
    malicious: int
    figures: Floats | None  # (seeds, measures): NaN where not resolvable
    why_not: str  # why there are no figures, where there are none


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
    past: list[Prepared] = []
    future: list[Prepared] = []
    for item in prepared:
        early, late = early_and_late(item.environment, TRAIN_SHARE, gap=True)
        # some rows; their features still know what came before them
        for part, rows in ((past, early), (future, late)):
            chosen = item.environment.take(np.flatnonzero(rows))
            part.append(replace(item, environment=chosen, matrix=item.matrix[rows]))
    usable = [item for item in past if len(item.environment)]
    scored: dict[str, list[Floats]] = {}
    for seed in settings.seed_list:
        steps.now(f"seed {seed}: trained on the past")
        drawn = with_synthetic(usable, seed)
        ensemble = train_if_possible(drawn, settings.training(seed))
        if ensemble is None:
            break
        for item in future:
            if item.environment.why_not_evaluable() is None:
                scores = ensemble.predict(item.matrix).log_odds
                own = EvaluatedRows.of(item).figures(scores, "raw")
                scored.setdefault(item.name, []).append(own)
        steps.done(f"seed {seed}: trained on the past", settings.plan.steps)
    found = []
    for item in future:
        labels = item.environment.evaluation_labels()
        figures = np.stack(scored[item.name]) if item.name in scored else None
        why_not = item.environment.why_not_evaluable() or "the past teaches nothing"
        benign, malicious = int((labels == 0).sum()), int((labels > 0).sum())
        found.append(LaterPart(item.name, benign, malicious, figures, why_not))
    return found


def timesplit_section(study: Study, parts: Sequence[LaterPart]) -> Section:
    """Show figures of a split by time beside those of networks held out."""
    rows, gaps, data = [], [], dict[str, Any]()
    sites = {site.name: site for site in study.held_out}
    for part in parts:
        row = {
            "environment": part.name,
            "benign": f"{part.benign:,}",
            "malicious": f"{part.malicious:,}",
            **dict.fromkeys(TITLES, ""),
            "PR-AUC when": part.why_not,
        }
        rows.append(row)
        data[part.name] = None
        if part.figures is None:
            continue
        outside = np.nan
        if part.name in sites:
            outside = float(study.figures(sites[part.name], OURS, "raw")[:, 0].mean())
        gaps.append(float(part.figures[:, 0].mean() - outside))
        row.update(zip(TITLES, map(over_seeds, part.figures.T), strict=True))
        row["PR-AUC when"] = f"held out: {plain(outside)}"
        data[part.name] = {
            "benign": part.benign,
            "malicious": part.malicious,
            **dict(zip(MEASURES, map(spread_data, part.figures.T), strict=True)),
        }
    gap = mean_known(gaps)
    told = []
    if gap is not None:
        told = [f"Its PR-AUC differs from that of environments held out by {gap:+.2f} on average."]
    return Section(
        key="time-split",
        title="Earlier against later, inside environments",
        prose=[
            f"Trained on the first {TRAIN_SHARE:.0%} of the time of every recording of every "
            f"environment, scored on the last, with a gap of {LARGEST_GAP / 3600:.0f} hour (or "
            f"{GAP_SHARE:.0%} of short recordings) in which nothing is used. This is a figure "
            "within environments: hosts, and often the attack itself, are on both sides. It says "
            "what a model does on a network that it was trained on, and it must not be quoted "
            "for others.",
            *told,
        ],
        tables=[table_of("Later part of each environment, raw", rows)],
        data={"environments": data, "mean_gain_in_average_precision": gap},
    )
