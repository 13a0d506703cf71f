"""Earlier flows against later ones, inside the environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zeekml.evaluation.metrics import TITLES
from zeekml.evaluation.scores import OURS, Study
from zeekml.evaluation.sections.wording import mean_known, over_seeds, plain, spread_data
from zeekml.evaluation.time_split import GAP_SHARE, LARGEST_GAP, TRAIN_SHARE, LaterPart
from zeekml.html.sections import Section, Table
from zeekml.training.ranking import MEASURES


def timesplit_section(study: Study, parts: Sequence[LaterPart]) -> Section:
    """Show figures of a split by time beside those of networks held out."""
    rows: list[list[str]] = []
    data: dict[str, Any] = {}
    gaps = []
    for part in parts:
        if part.figures is None:
            rows.append(
                [
                    part.name,
                    f"{part.benign:,}",
                    f"{part.malicious:,}",
                    *[""] * 4,
                    part.why_not or "",
                ]
            )
            data[part.name] = None
            continue
        site = next((s for s in study.held_out if s.name == part.name), None)
        outside = study.figures(site, OURS, "raw")[:, 0].mean() if site is not None else np.nan
        gaps.append(float(part.figures[:, 0].mean() - outside))
        rows.append(
            [
                part.name,
                f"{part.benign:,}",
                f"{part.malicious:,}",
                *(over_seeds(values) for values in part.figures.T),
                f"held out: {plain(float(outside))}",
            ]
        )
        data[part.name] = {
            "benign": part.benign,
            "malicious": part.malicious,
            **{
                measure: spread_data(values)
                for measure, values in zip(MEASURES, part.figures.T, strict=True)
            },
        }
    gap = mean_known(gaps)
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
            *(
                [f"Its PR-AUC differs from that of environments held out by {gap:+.2f} on average."]
                if gap is not None
                else []
            ),
        ],
        tables=[
            Table(
                "Later part of each environment, raw",
                ["environment", "benign", "malicious", *TITLES, "PR-AUC when"],
                rows,
            )
        ],
        data={"environments": data, "mean_gain_in_average_precision": gap},
    )
