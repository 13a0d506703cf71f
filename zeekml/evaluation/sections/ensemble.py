"""What averaging members brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from zeekml.evaluation.scores import SeedRun, Study
from zeekml.evaluation.sections import wording
from zeekml.evaluation.sections.wording import COMPARED, mean_known, plain, table_of
from zeekml.html.sections import Section
from zeekml.training.ranking import MEASURES, Floats

UNIFORM: Final = "uniform mean of log-odds"
BEST: Final = "single best member"
SINGLE: Final = "mean single member"
SELECTED: Final = "greedy selection"

_CHOICE: Final = (
    f"The {BEST} was chosen by its average precision on the other environments, each scored by "
    "members that had seen neither it nor the environment at hand."
)

# score columns of a run, whose figures are averaged; none if it has no such variant
Variant = Callable[[Study, SeedRun], list[Floats]]


def _of_kind(knows_threats: bool) -> Variant:
    def scores(study: Study, run: SeedRun) -> list[Floats]:
        chosen = np.array(study.knows_threats) == knows_threats
        return [run.prediction.member_log_odds[:, chosen].mean(axis=1)] if chosen.any() else []

    return scores


def _best(_study: Study, run: SeedRun) -> list[Floats]:
    best = run.best_member
    return [] if best is None else [run.prediction.member_log_odds[:, best]]


def _selected(_study: Study, run: SeedRun) -> list[Floats]:
    places = run.places
    return [] if places is None else [run.prediction.member_log_odds @ (places / places.sum())]


def _probabilities(_study: Study, run: SeedRun) -> list[Floats]:
    """Log-odds of the mean probability; both sides are added up to keep the far tail."""
    odds = run.prediction.member_log_odds
    malicious = np.logaddexp.reduce(-np.logaddexp(0, -odds), axis=1)
    benign = np.logaddexp.reduce(-np.logaddexp(0, odds), axis=1)
    return [malicious - benign]


VARIANTS: Final[dict[str, Variant]] = {
    UNIFORM: lambda _, run: [run.prediction.log_odds],
    BEST: _best,
    SELECTED: _selected,
    SINGLE: lambda _, run: list(run.prediction.member_log_odds.T),
    "binary members only": _of_kind(False),
    "eight-class members only": _of_kind(True),
    "mean of probabilities": _probabilities,
}


def ensemble_section(study: Study) -> Section:
    """Compare the ensemble with parts of it and another way of averaging."""
    figures: dict[str, dict[str, Floats]] = {}
    for name, variant in VARIANTS.items():
        by_site = {}
        for site in study.held_out:
            judged = study.judged[site.name]
            columns = [variant(study, run) for run in site.runs]
            if all(columns):
                by_site[site.name] = np.stack(
                    [np.mean([judged.figures(c, "raw") for c in own], axis=0) for own in columns]
                )
        if len(by_site) == len(study.held_out):
            figures[name] = by_site
    results = {
        name: wording.compared(
            [uniform - by_site[site] for site, uniform in figures[UNIFORM].items()],
            29,
            study.settings.draws,
        )
        for name, by_site in figures.items()
        if name != UNIFORM
    }
    titles = list(COMPARED.values())
    rows = []
    for name, by_site in figures.items():
        row = {"members": name}
        for m, title in enumerate(titles):
            row[title] = plain(mean_known([f[:, m].mean() for f in by_site.values()]))
        for m, title in enumerate(titles):
            told = wording.difference(results[name][m]) if name in results else ""
            row[f"{title}, uniform mean minus this"] = told
        rows.append(row)
    return Section(
        key="ensemble",
        title="What averaging brings",
        prose=[
            *([_CHOICE] if BEST in figures else []),
            f"The {SINGLE} is what a member drawn at random would do: the mean of the members' "
            "figures.",
            "Greedy selection (Caruana and others, 2004: with replacement, from the best few, "
            "bagged) chose as many members as there are on the same scores of other environments.",
            "All means are over environments that resolve a figure, raw, and over seeds; "
            "differences are paired by environment and seed, with 95 % intervals.",
        ],
        tables=[table_of("Parts of the ensemble and ways of averaging", rows, 0)],
        figures=[
            wording.dot_plot(
                list(results),
                {"difference": [wording.point(columns[0]) for columns in results.values()]},
                "Paired differences in PR-AUC; right of the line the uniform mean is better.",
                "differences in PR-AUC between the uniform mean and its alternatives",
                axis="PR-AUC, uniform mean minus this",
                zero=True,
            )
        ],
        data={
            name: {
                "environments": {
                    site: dict(zip(MEASURES, f.mean(axis=0).tolist(), strict=True))
                    for site, f in by_site.items()
                },
                "uniform_minus": {
                    **(dict.fromkeys(COMPARED) if name in results else {}),
                    **wording.differences_data(results.get(name, ()), "mean", "interval"),
                },
            }
            for name, by_site in figures.items()
        },
    )
