"""How well malicious flows rank above benign ones, environment by environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from zeekml.evaluation.bootstrap import (
    FEWEST_HOSTS,
    Interval,
    enough_hosts,
    host_draws,
    network_draws,
    percentile_interval,
)
from zeekml.evaluation.scores import OURS, HeldOut, Study
from zeekml.evaluation.sections.wording import over_seeds, spread_data
from zeekml.html.figures import Line, Series, dots, lines
from zeekml.html.sections import NOT_RESOLVED, Figure, Section, Table
from zeekml.training.ranking import MEASURES, TITLES, Floats

VIEWS: Final = {"raw": "each flow counted once", "distinct": "repeated flows counted once together"}
_FEWEST_FOR_MEAN: Final = 3
# number of the measure at the first of the rates, which takes the fewest benign rows
_WIDEST: Final = 1


@dataclass(frozen=True)
class _Site:
    """Figures of one environment in one view, with what hosts drawn anew give."""

    figures: Floats  # (seeds, measures): NaN where not resolvable
    unresolved: Floats  # (seeds, measures): the same without that
    draws: Floats  # (draws, measures)
    intervals: list[Interval | None]  # by measure


def headline_section(study: Study) -> Section:
    """Put the headline figures together."""
    tables, data, series = [], {}, []
    for number, (view, meaning) in enumerate(VIEWS.items()):
        sites = {
            site.name: _site(study, site, view, [number, order])
            for order, site in enumerate(study.held_out)
        }
        tables.append(_table(study, sites, f"{view}: {meaning}"))
        data[view] = _data(study, sites)
        ends = [sites[site.name].intervals[0] for site in study.held_out]
        series.append(
            Series(
                view,
                [float(sites[site.name].figures[:, 0].mean()) for site in study.held_out],
                [one.low if one else None for one in ends],
                [one.high if one else None for one in ends],
            )
        )
    names = [site.name for site in study.held_out]
    figures = [
        Figure(
            dots(names, series, axis="PR-AUC", limits=(0.0, 1.02)),
            "PR-AUC of each environment; bars are 95 % intervals over hosts, where there are "
            "enough.",
            "Dot plot of PR-AUC by environment, raw and distinct",
        ),
        Figure(
            _curves(study),
            f"Precision over recall, {_first(study)}each flow counted once.",
            "Precision-recall curves by environment",
        ),
    ]
    return Section(
        key="headline",
        title="Headline figures",
        prose=_prose(study),
        tables=tables,
        figures=figures,
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
    rankings = [rows.ranking(run.prediction.log_odds) for run in site.runs]
    draws = host_draws(
        rankings,
        rows.weights[view],
        rows.hosts,
        draws=study.settings.draws,
        rng=np.random.default_rng([17, *key]),
    )
    wanted = rows.resolvable(view) & enough_hosts(rows.hosts, rows.malicious)
    intervals = [
        percentile_interval(column) if known else None
        for column, known in zip(draws.T, wanted, strict=True)
    ]
    everything = np.stack([ranking.figures(rows.weights[view]) for ranking in rankings])
    return _Site(study.figures(site, OURS, view), everything, draws, intervals)


def _means(sites: dict[str, _Site]) -> list[tuple[Floats, Interval | None, int]]:
    """For each measure: mean by seed, interval, and how many environments it is over."""
    found: list[tuple[Floats, Interval | None, int]] = []
    for measure in range(len(MEASURES)):
        known = [s for s in sites.values() if np.isfinite(s.figures[:, measure]).all()]
        if not known:
            found.append((np.array([np.nan]), None, 0))
            continue
        by_seed = np.mean([s.figures[:, measure] for s in known], axis=0)
        interval = None
        if len(known) >= _FEWEST_FOR_MEAN:
            rng = np.random.default_rng([19, measure])
            interval = percentile_interval(network_draws([s.draws[:, measure] for s in known], rng))
        found.append((by_seed, interval, len(known)))
    return found


def _over_all(sites: dict[str, _Site]) -> Floats:
    """Mean recall at the first rate by seed, over all environments."""
    return np.mean([site.unresolved[:, _WIDEST] for site in sites.values()], axis=0)


def _table(study: Study, sites: dict[str, _Site], caption: str) -> Table:
    rows = []
    for site in study.held_out:
        judged, one = study.judged[site.name], sites[site.name]
        rows.append(
            [
                site.name + (" (seen in training)" if site.seen else ""),
                f"{int((~judged.malicious).sum()):,}",
                f"{int(judged.malicious.sum()):,}",
                *(
                    over_seeds(values, interval)
                    for values, interval in zip(one.figures.T, one.intervals, strict=True)
                ),
            ]
        )
    cells = []
    for by_seed, interval, count in _means(sites):
        text = over_seeds(by_seed, interval)
        if count and count < len(sites):
            text += f" ({count} of {len(sites)})"
        cells.append(text)
    rows.append(["mean", "", "", *cells])
    everywhere = over_seeds(_over_all(sites))
    rows.append(["mean over all, resolved or not", "", "", "", everywhere, "", ""])
    return Table(
        caption,
        ["environment", "benign", "malicious", *TITLES],
        rows,
        strong=frozenset({len(rows) - 2}),
    )


def _data(study: Study, sites: dict[str, _Site]) -> dict[str, Any]:
    environments = {}
    for site in study.held_out:
        judged, one = study.judged[site.name], sites[site.name]
        environments[site.name] = {
            "benign": int((~judged.malicious).sum()),
            "malicious": int(judged.malicious.sum()),
            "hosts_benign": len(np.unique(judged.hosts[~judged.malicious])),
            "hosts_malicious": len(np.unique(judged.hosts[judged.malicious])),
            "seen_in_training": site.seen,
            **{
                measure: spread_data(values, interval)
                for measure, values, interval in zip(
                    MEASURES, one.figures.T, one.intervals, strict=True
                )
            },
        }
    mean: dict[str, Any] = {
        measure: {"environments": count, **(spread_data(by_seed, interval) or {"mean": None})}
        for measure, (by_seed, interval, count) in zip(MEASURES, _means(sites), strict=True)
    }
    mean[f"{MEASURES[_WIDEST]}_over_all"] = {
        "environments": len(sites),
        **(spread_data(_over_all(sites)) or {}),
    }
    return {"environments": environments, "mean": mean}


def _first(study: Study) -> str:
    return f"seed {study.seeds[0]}, " if study.bundle is None else ""


def _curves(study: Study) -> str:
    from sklearn.metrics import precision_recall_curve

    curves = []
    for site in study.held_out:
        judged = study.judged[site.name]
        scores = site.runs[0].prediction.log_odds[judged.rows]
        precision, recall, _ = precision_recall_curve(judged.malicious, scores)
        x, y = _thinned(recall[::-1], precision[::-1])
        curves.append(Line(site.name, x, y))
    return lines(curves, x_axis="recall", y_axis="precision", limits=(0.0, 1.02))


def _thinned(x: Floats, y: Floats, points: int = 300) -> tuple[Floats, Floats]:
    """A curve with few enough points for a page."""
    if len(x) <= points:
        return x, y
    chosen = np.unique(np.searchsorted(x, np.linspace(0, 1, points)).clip(0, len(x) - 1))
    return x[chosen], y[chosen]
