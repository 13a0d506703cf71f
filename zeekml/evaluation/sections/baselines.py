"""Ours against simpler methods, on the same rows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from zeekml.evaluation.baselines import DESCRIPTIONS
from zeekml.evaluation.bootstrap import Comparison, compare
from zeekml.evaluation.scores import OURS, Study
from zeekml.evaluation.sections.wording import (
    difference,
    ends,
    listed,
    mean_known,
    plain,
    series_of,
)
from zeekml.html.figures import dots
from zeekml.html.sections import Figure, Section, Table
from zeekml.training.ranking import MEASURES, Floats

# (view, number of the measure, title)
COLUMNS: Final = (
    ("raw", 0, "PR-AUC"),
    ("raw", 1, "recall at 0.01"),
    ("raw", 2, "recall at 0.001"),
    ("distinct", 0, "PR-AUC, distinct"),
    ("distinct", 1, "recall at 0.01, distinct"),
)

_Figures = dict[str, dict[str, dict[str, Floats]]]


def baselines_section(study: Study) -> Section:
    """Compare ours with every baseline."""
    names = [method for method in study.methods() if method != OURS]
    # view → method → environment → (seeds, measures)
    figures: _Figures = {
        view: {
            method: {s.name: study.figures(s, method, view) for s in study.held_out}
            for method in study.methods()
        }
        for view in ("raw", "distinct")
    }
    compared = {
        name: [_compare(study, figures, name, view, m) for view, m, _ in COLUMNS] for name in names
    }
    prose = [*_prose(study), *_verdicts(study, figures, compared)]
    return Section(
        key="baselines",
        title="Against simpler methods",
        prose=prose,
        tables=[
            _mean_table(study, figures),
            _difference_table(names, compared),
            _environment_table(study, figures),
        ],
        figures=[_picture(names, compared)] if names else [],
        data=_data(study, figures, compared),
    )


def _prose(study: Study) -> list[str]:
    if study.bundle is None:
        how = (
            "Baselines were fitted to the same training environments and their synthetic copies, "
            "with the same features, scaling, weights and seeds, and scored on the same rows: to "
            f"a sample of at most {study.settings.baseline_rows:,} training rows drawn by weight. "
            "None was tuned; the recipe's own choices were made while looking at environments "
            "such as these, which favours it."
        )
    else:
        how = (
            "Rules written down beforehand are the only baseline here: all others need training "
            "data, and nothing was fitted. Where the bundle saw an environment in training, the "
            "comparison favours it."
        )
    return [
        how,
        "Differences are ours minus the baseline's, paired by environment and seed, with a 95 % "
        "interval from drawing environments and seeds, given for three environments or more. Won "
        "and lost count environments.",
    ]


def _compare(
    study: Study, figures: _Figures, name: str, view: str, measure: int
) -> Comparison | None:
    ours, theirs = figures[view][OURS], figures[view][name]
    pairs = [(ours[site.name] - theirs[site.name])[:, measure] for site in study.held_out]
    rng = np.random.default_rng([23, measure])
    return compare(pairs, draws=max(study.settings.draws, 1000), rng=rng)


def _verdicts(
    study: Study, figures: _Figures, compared: dict[str, list[Comparison | None]]
) -> list[str]:
    """Where a baseline is ahead, in words."""
    found = []
    for name, columns in compared.items():
        clauses = []
        for (view, measure, title), result in zip(COLUMNS, columns, strict=True):
            if result is None or result.lost == 0:
                continue
            ahead = [
                site.name
                for site in study.held_out
                if figures[view][name][site.name][:, measure].mean()
                > figures[view][OURS][site.name][:, measure].mean() + 1e-12
            ]
            clauses.append(f"in {title} on {listed(ahead)}")
        if clauses:
            found.append(f"The baseline “{name}” is ahead of ours {'; '.join(clauses)}.")
        open_ones = [
            title
            for (_, _, title), result in zip(COLUMNS, columns, strict=True)
            if result and result.interval and result.interval.low <= 0 <= result.interval.high
        ]
        if open_ones:
            found.append(
                f"Over all environments, ours and {name} are not told apart in "
                f"{listed(open_ones)}: the interval holds zero."
            )
        beaten = [
            title
            for (_, _, title), result in zip(COLUMNS, columns, strict=True)
            if result and result.interval and result.interval.high < 0
        ]
        if beaten:
            found.append(f"Over all environments, {name} beats ours in {listed(beaten)}.")
    return found or ["No baseline is ahead of ours on any environment in any of these figures."]


def _mean_table(study: Study, figures: _Figures) -> Table:
    rows = []
    for method in study.methods():
        cells = []
        for view, measure, _ in COLUMNS:
            known = [f[:, measure].mean() for f in figures[view][method].values()]
            cells.append(plain(mean_known(known)))
        rows.append([method, *cells, DESCRIPTIONS.get(method, "the ensemble")])
    return Table(
        "Mean over the environments that resolve each figure, and over seeds",
        ["method", *(title for _, _, title in COLUMNS), "what it is"],
        rows,
        strong=frozenset({0}),
    )


def _difference_table(names: list[str], compared: dict[str, list[Comparison | None]]) -> Table:
    rows = []
    for name in names:
        cells = []
        for result in compared[name]:
            if result is None:
                cells.append("n/r")
                continue
            text = difference(result.mean, result.interval)
            cells.append(f"{text}; {result.won} won, {result.lost} lost")
        rows.append([name, *cells])
    return Table("Ours minus the baseline", ["baseline", *(title for _, _, title in COLUMNS)], rows)


def _environment_table(study: Study, figures: _Figures) -> Table:
    rows = [
        [site.name]
        + [
            f"{plain(f[:, 0].mean())} / {plain(f[:, 1].mean())}"
            for f in (figures["raw"][method][site.name] for method in study.methods())
        ]
        for site in study.held_out
    ]
    return Table(
        "By environment, mean over seeds: PR-AUC / recall at 0.01",
        ["environment", *study.methods()],
        rows,
    )


def _picture(names: list[str], compared: dict[str, list[Comparison | None]]) -> Figure:
    series = [
        series_of(title, [compared[name][column] for name in names])
        for column, title in ((0, "raw"), (3, "distinct"))
    ]
    return Figure(
        dots(names, series, axis="PR-AUC, ours minus the baseline's", zero=True),
        "Paired differences in PR-AUC; right of the line ours is better.",
        "Dot plot of differences in PR-AUC between ours and each baseline",
    )


def _data(
    study: Study, figures: _Figures, compared: dict[str, list[Comparison | None]]
) -> dict[str, Any]:
    return {
        "environments": {
            site.name: {
                method: {
                    view: {
                        measure: mean_known([values])
                        for measure, values in zip(
                            MEASURES, figures[view][method][site.name].mean(axis=0), strict=True
                        )
                    }
                    for view in figures
                }
                for method in study.methods()
            }
            for site in study.held_out
        },
        "ours_minus": {
            name: {
                f"{view}/{MEASURES[measure]}": None
                if result is None
                else {
                    "mean": result.mean,
                    "interval": ends(result.interval),
                    "won": result.won,
                    "lost": result.lost,
                    "environments": result.networks,
                }
                for (view, measure, _), result in zip(COLUMNS, columns, strict=True)
            }
            for name, columns in compared.items()
        },
    }
