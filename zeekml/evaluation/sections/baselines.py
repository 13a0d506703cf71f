"""Ours against simpler methods, on the same rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from zeekml.evaluation.baselines import DESCRIPTIONS
from zeekml.evaluation.bootstrap import Comparison
from zeekml.evaluation.scores import OURS, Study
from zeekml.evaluation.sections import wording
from zeekml.evaluation.sections.wording import listed, mean_known, plain, table_of
from zeekml.html.sections import Section, Table
from zeekml.training.ranking import MEASURES, Floats

# title: (view, number of the measure)
COLUMNS: Final = {
    "PR-AUC": ("raw", 0),
    "recall at 0.01": ("raw", 1),
    "recall at 0.001": ("raw", 2),
    "PR-AUC, distinct": ("distinct", 0),
    "recall at 0.01, distinct": ("distinct", 1),
}

# view → method → environment → (seeds, measures)
_Figures = dict[str, dict[str, dict[str, Floats]]]
# baseline → title of the column → ours minus the baseline's
_Compared = dict[str, dict[str, Comparison | None]]


def baselines_section(study: Study) -> Section:
    """Compare ours with every baseline."""
    methods = study.methods()
    names = [method for method in methods if method != OURS]
    figures: _Figures = {
        view: {
            method: {s.name: study.figures(s, method, view) for s in study.held_out}
            for method in methods
        }
        for view in ("raw", "distinct")
    }
    compared: _Compared = {}
    for name in names:
        by_view = {}
        for view, of in figures.items():
            pairs = [ours - of[name][site] for site, ours in of[OURS].items()]
            by_view[view] = wording.compared(pairs, 23, study.settings.draws)
        compared[name] = {title: by_view[view][m] for title, (view, m) in COLUMNS.items()}
    means = [
        {
            "method": method,
            **{
                title: plain(mean_known([f[:, m].mean() for f in figures[view][method].values()]))
                for title, (view, m) in COLUMNS.items()
            },
            "what it is": DESCRIPTIONS.get(method, "the ensemble"),
        }
        for method in methods
    ]
    counts = "; {0.won} won, {0.lost} lost"
    differences = [
        [name, *(wording.difference(result, counts) for result in columns.values())]
        for name, columns in compared.items()
    ]
    by_environment = [
        {
            "environment": site.name,
            **{
                method: " / ".join(plain(of[site.name][:, m].mean()) for m in (0, 1))
                for method, of in figures["raw"].items()
            },
        }
        for site in study.held_out
    ]
    drawn = {"raw": "PR-AUC", "distinct": "PR-AUC, distinct"}
    picture = wording.dot_plot(
        names,
        {
            view: [wording.point(compared[name][title]) for name in names]
            for view, title in drawn.items()
        },
        "Paired differences in PR-AUC; right of the line ours is better.",
        "differences in PR-AUC between ours and each baseline",
        axis="PR-AUC, ours minus the baseline's",
        zero=True,
    )
    return Section(
        key="baselines",
        title="Against simpler methods",
        prose=[*_prose(study), *_verdicts(figures, compared)],
        tables=[
            table_of(
                "Mean over the environments that resolve each figure, and over seeds", means, 0
            ),
            Table("Ours minus the baseline", ["baseline", *COLUMNS], differences),
            table_of("By environment, mean over seeds: PR-AUC / recall at 0.01", by_environment),
        ],
        figures=[picture] if names else [],
        data={
            "environments": {
                site.name: {
                    method: {
                        view: dict(zip(MEASURES, of[method][site.name].mean(axis=0), strict=True))
                        for view, of in figures.items()
                    }
                    for method in methods
                }
                for site in study.held_out
            },
            "ours_minus": {
                name: {
                    f"{view}/{MEASURES[m]}": asdict(result) if result else None
                    for (view, m), result in zip(COLUMNS.values(), columns.values(), strict=True)
                }
                for name, columns in compared.items()
            },
        },
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


def _verdicts(figures: _Figures, compared: _Compared) -> list[str]:
    """Where a baseline is ahead, in words."""
    found = []
    for name, columns in compared.items():
        clauses = []
        for title, result in columns.items():
            if result is None or result.lost == 0:
                continue
            view, m = COLUMNS[title]
            theirs = figures[view][name]
            ahead = [
                site
                for site, ours in figures[view][OURS].items()
                if theirs[site][:, m].mean() > ours[:, m].mean() + 1e-12
            ]
            clauses.append(f"in {title} on {listed(ahead)}")
        if clauses:
            found.append(f"The baseline “{name}” is ahead of ours {'; '.join(clauses)}.")
        intervals = [(title, r.interval) for title, r in columns.items() if r and r.interval]
        open_ones = [title for title, interval in intervals if interval.low <= 0 <= interval.high]
        if open_ones:
            found.append(
                f"Over all environments, ours and {name} are not told apart in "
                f"{listed(open_ones)}: the interval holds zero."
            )
        beaten = [title for title, interval in intervals if interval.high < 0]
        if beaten:
            found.append(f"Over all environments, {name} beats ours in {listed(beaten)}.")
    return found or ["No baseline is ahead of ours on any environment in any of these figures."]
