"""How well malicious flows rank above benign ones, environment by environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from zeekml.evaluation import bootstrap
from zeekml.evaluation.bootstrap import FEWEST_HOSTS, Interval
from zeekml.evaluation.scores import OURS, HeldOut, Study
from zeekml.evaluation.sections.wording import dot_plot, over_seeds, spread_data, table_of
from zeekml.html.figures import LineSeries, lines
from zeekml.html.sections import NOT_RESOLVED, Figure, Section, Table
from zeekml.training.ranking import MEASURES, TITLES, EvaluatedRows, Floats, Numbers

VIEWS: Final = {"raw": "each flow counted once", "distinct": "repeated flows counted once together"}
_FEWEST_FOR_MEAN: Final = 3
# number of the measure at the first of the rates, which takes the fewest benign rows
_WIDEST: Final = 1
_POINTS: Final = 300

# mean by seed over the environments that resolve a measure, its interval, and how many they are
_Mean = tuple[Floats, Interval | None, int]


@dataclass(frozen=True)
class _Site:
    """Figures of one environment in one view, with what hosts drawn anew give."""

    site: HeldOut
    judged: EvaluatedRows
    figures: Floats  # (seeds, measures): NaN where not resolvable
    unresolved: Floats  # (seeds, measures): the same without that
    draws: Floats  # (draws, measures)
    intervals: list[Interval | None]  # by measure

    def hosts(self, malicious: bool) -> Numbers:
        """Hosts of the rows of one side."""
        return self.judged.hosts[self.judged.malicious == malicious]


def headline_section(study: Study) -> Section:
    """Put the headline figures together."""
    tables, data, points = [], {}, {}
    for number, (view, meaning) in enumerate(VIEWS.items()):
        sites = [
            _site(study, site, view, [17, number, order])
            for order, site in enumerate(study.held_out)
        ]
        means = [_mean(sites, measure) for measure in range(len(MEASURES))]
        over_all = np.mean([one.unresolved[:, _WIDEST] for one in sites], axis=0)
        tables.append(_table(sites, means, over_all, f"{view}: {meaning}"))
        data[view] = _data(sites, means, over_all)
        points[view] = [(float(one.figures[:, 0].mean()), one.intervals[0]) for one in sites]
    first = f"seed {study.seeds[0]}, " if study.bundle is None else ""
    return Section(
        key="headline",
        title="Headline figures",
        prose=_prose(study),
        tables=tables,
        figures=[
            dot_plot(
                [site.name for site in study.held_out],
                points,
                "PR-AUC of each environment; bars are 95 % intervals over hosts, where there are "
                "enough.",
                "PR-AUC by environment, raw and distinct",
                axis="PR-AUC",
                limits=(0.0, 1.02),
            ),
            Figure(
                _curves(study),
                f"Precision over recall, {first}each flow counted once.",
                "Precision-recall curves by environment",
            ),
        ],
        data=data,
    )


def _prose(study: Study) -> list[str]:
    if study.bundle is None:
        how = (
            "Each environment was scored by an ensemble trained on all others, with everything "
            "else fitted on the others as well. It stands for a network that nobody trained on."
        )
    else:
        how = (
            "Each environment was scored by the finished bundle. Environments marked as seen are "
            "named in its training data: their figures are no measure of what it does elsewhere."
        )
    return [
        how,
        "PR-AUC is average precision; what chance would give is the malicious share. Recall at a "
        "rate is the share of malicious flows above the threshold that raises that share of the "
        "environment's own benign flows: it measures ranking, not a threshold chosen beforehand. "
        "A rate is resolved by ten benign flows above the threshold, so it needs ten divided by "
        f"the rate of them (distinct ones in the distinct view); else {NOT_RESOLVED} stands.",
        "Behind ± is the standard deviation over seeds. In brackets is a 95 % interval over "
        "hosts: originators of one recording are drawn with all their flows, not flows one by "
        f"one. It needs {FEWEST_HOSTS} hosts with benign and {FEWEST_HOSTS} with malicious flows. "
        "For the mean, networks are drawn as well; with so few networks it is rough, and rather "
        "too narrow.",
    ]


def _site(study: Study, site: HeldOut, view: str, key: list[int]) -> _Site:
    rows = study.judged[site.name]
    weights = rows.weights[view]
    rankings = [rows.ranking(run.prediction.log_odds) for run in site.runs]
    rng = np.random.default_rng(key)
    draws = bootstrap.host_draws(rankings, weights, rows.hosts, draws=study.settings.draws, rng=rng)
    wanted = rows.resolvable(view) & bootstrap.enough_hosts(rows.hosts, rows.malicious)
    intervals = [
        bootstrap.percentile_interval(column) if known else None
        for column, known in zip(draws.T, wanted, strict=True)
    ]
    everything = np.stack([ranking.figures(weights) for ranking in rankings])
    return _Site(site, rows, study.figures(site, OURS, view), everything, draws, intervals)


def _mean(sites: Sequence[_Site], measure: int) -> _Mean:
    known = [s for s in sites if np.isfinite(s.figures[:, measure]).all()]
    if not known:
        return np.array([np.nan]), None, 0
    by_seed = np.mean([s.figures[:, measure] for s in known], axis=0)
    interval = None
    if len(known) >= _FEWEST_FOR_MEAN:
        rng = np.random.default_rng([19, measure])
        interval = bootstrap.percentile_interval(
            bootstrap.network_draws([s.draws[:, measure] for s in known], rng)
        )
    return by_seed, interval, len(known)


def _table(sites: Sequence[_Site], means: Sequence[_Mean], over_all: Floats, caption: str) -> Table:
    rows = [
        {
            "environment": one.site.name + (" (seen in training)" if one.site.seen else ""),
            "benign": f"{len(one.hosts(malicious=False)):,}",
            "malicious": f"{len(one.hosts(malicious=True)):,}",
            **dict(zip(TITLES, map(over_seeds, one.figures.T, one.intervals), strict=True)),
        }
        for one in sites
    ]
    mean = {"environment": "mean"}
    for title, (by_seed, interval, count) in zip(TITLES, means, strict=True):
        some = f" ({count} of {len(sites)})" if 0 < count < len(sites) else ""
        mean[title] = over_seeds(by_seed, interval) + some
    everywhere = {
        "environment": "mean over all, resolved or not",
        TITLES[_WIDEST]: over_seeds(over_all),
    }
    return table_of(caption, [*rows, mean, everywhere], -2)


def _data(sites: Sequence[_Site], means: Sequence[_Mean], over_all: Floats) -> dict[str, Any]:
    environments = {
        one.site.name: {
            "benign": len(one.hosts(malicious=False)),
            "malicious": len(one.hosts(malicious=True)),
            "hosts_benign": len(np.unique(one.hosts(malicious=False))),
            "hosts_malicious": len(np.unique(one.hosts(malicious=True))),
            "seen_in_training": one.site.seen,
            **dict(zip(MEASURES, map(spread_data, one.figures.T, one.intervals), strict=True)),
        }
        for one in sites
    }
    mean: dict[str, Any] = {
        measure: {"environments": count, **(spread_data(by_seed, interval) or {"mean": None})}
        for measure, (by_seed, interval, count) in zip(MEASURES, means, strict=True)
    }
    mean[f"{MEASURES[_WIDEST]}_over_all"] = {
        "environments": len(sites),
        **(spread_data(over_all) or {}),
    }
    return {"environments": environments, "mean": mean}


def _curves(study: Study) -> str:
    """Precision over recall, thinned to few enough points for a page."""
    from sklearn.metrics import precision_recall_curve

    curves = []
    for site in study.held_out:
        judged = study.judged[site.name]
        scores = site.runs[0].prediction.log_odds[judged.rows]
        precision, recall, _ = precision_recall_curve(judged.malicious, scores)
        x, y = recall[::-1], precision[::-1]
        if len(x) > _POINTS:
            wanted = np.searchsorted(x, np.linspace(0, 1, _POINTS))
            chosen = np.unique(wanted.clip(0, len(x) - 1))
            x, y = x[chosen], y[chosen]
        curves.append(LineSeries(site.name, x, y))
    return lines(curves, x_axis="recall", y_axis="precision", limits=(0.0, 1.02))
