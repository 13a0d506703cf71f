"""Joint training against meta-learning, before any label of the new network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zeekml.evaluation.bootstrap import compare
from zeekml.evaluation.few_label_study import JOINT, Adapting
from zeekml.evaluation.metrics import TITLES
from zeekml.evaluation.sections.wording import difference, ends, mean_known, plain
from zeekml.html.sections import NOT_RESOLVED, Section, Table
from zeekml.training.ranking import MEASURES

_SHOWN = range(3)
_DRAWS = 1000


def learners_section(found: Sequence[Adapting]) -> Section:
    """Compare ways to learn on the same networks, without any label."""
    rows, data = [], {}
    learners = list(found[0].starts) if found else []
    for learner in learners:
        means = [mean_known([site.starts[learner][m] for site in found]) for m in _SHOWN]
        cells, own = [], {}
        for m in _SHOWN:
            pairs = [
                np.array([site.starts[learner][m] - site.starts[JOINT][m]])
                for site in found
                if np.isfinite(site.starts[learner][m])
            ]
            if learner == JOINT or not pairs:
                cells.append("" if learner == JOINT else NOT_RESOLVED)
                continue
            result = compare(pairs, draws=_DRAWS, rng=np.random.default_rng([37, m]))
            told = difference(result.mean, result.interval)
            cells.append(f"{told}; {result.won} of {result.networks}")
            own[MEASURES[m]] = {"mean": result.mean, "interval": ends(result.interval)}
        rows.append([learner, *(plain(mean) for mean in means), *cells])
        data[learner] = {
            "means": dict(zip(MEASURES, means, strict=False)),
            "minus_joint": own,
            "environments": {
                site.name: dict(zip(MEASURES, site.starts[learner].tolist(), strict=True))
                for site in found
            },
        }
    heads = [
        "learner",
        *(TITLES[m] for m in _SHOWN),
        *(f"{TITLES[m]}, minus joint" for m in _SHOWN),
    ]
    return Section(
        key="learners",
        title="Joint training and meta-learning",
        prose=[
            "A small ensemble (two binary and two eight-class members) is trained jointly, and "
            "each learner sets out from these networks: Reptile, first-order MAML and ANIL, with "
            "tasks whose support and query share no host. No label of the environment held out is "
            "used. Differences are paired by environment, with 95 % intervals, and the number of "
            "environments on which a learner is above joint training.",
            "Weights are averaged over two runs of first-order MAML that set out from the same "
            "network; networks that begin differently cannot be averaged so.",
        ],
        tables=[Table("Learners, without labels", heads, rows, frozenset({0}))],
        data=data,
    )
