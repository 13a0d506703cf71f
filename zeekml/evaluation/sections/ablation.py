"""What each part of the recipe brings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zeekml.evaluation.bootstrap import compare
from zeekml.evaluation.metrics import TITLES
from zeekml.evaluation.scores import Study
from zeekml.evaluation.sections.wording import difference, ends
from zeekml.html.sections import NOT_RESOLVED, Section, Table
from zeekml.training.ranking import MEASURES, Floats

_SHOWN = range(3)


def ablation_section(study: Study, found: Mapping[str, Mapping[str, Floats]]) -> Section:
    """Show paired differences: the full recipe minus the recipe without a part."""
    rows, data = [], {}
    for part, by_site in found.items():
        cells = []
        data[part] = dict[str, object]()
        for measure in _SHOWN:
            pairs = [d[:, measure] for d in by_site.values() if np.isfinite(d[:, measure]).all()]
            if not pairs:
                cells.append(NOT_RESOLVED)
                continue
            rng = np.random.default_rng([31, measure])
            result = compare(pairs, draws=max(study.settings.draws, 1000), rng=rng)
            text = difference(result.mean, result.interval)
            cells.append(f"{text}; {result.won} of {result.networks}")
            data[part][MEASURES[measure]] = {
                "mean": result.mean,
                "interval": ends(result.interval),
                "won": result.won,
                "environments": result.networks,
            }
        rows.append([part, *cells])
    return Section(
        key="ablations",
        title="What each part brings",
        prose=[
            "The recipe was trained once more without each part. Figures are the full recipe's "
            "minus those without the part, paired by environment and seed, with 95 % intervals "
            "and the number of environments on which the part helps. Above zero, it helps. With "
            "this many comparisons, one in twenty intervals would exclude zero by chance alone.",
        ],
        tables=[
            Table("Full recipe minus without", ["without", *(TITLES[m] for m in _SHOWN)], rows)
        ],
        data=data,
    )
