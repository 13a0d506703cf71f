"""What averaging members brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from zeekml.evaluation.bootstrap import Comparison, compare
from zeekml.evaluation.scores import HeldOut, SeedRun, Study
from zeekml.evaluation.sections.wording import difference, ends, mean_known, plain, series_of
from zeekml.html.figures import dots
from zeekml.html.sections import Figure, Section, Table
from zeekml.training.ranking import MEASURES, TITLES, Floats

UNIFORM: Final = "uniform mean of log-odds"
BEST: Final = "single best member"
SINGLE: Final = "mean single member"
SELECTED: Final = "greedy selection"

_CHOICE: Final = (
    f"The {BEST} was chosen by its average precision on the other environments, each scored by "
    "members that had seen neither it nor the environment at hand."
)

Variant = Callable[[Study, SeedRun], list[Floats] | None]


def _of_kind(knows_threats: bool) -> Variant:
    def scores(study: Study, run: SeedRun) -> list[Floats] | None:
        kinds = np.array(study.knows_threats)
        chosen = kinds == knows_threats
        return [run.prediction.member_log_odds[:, chosen].mean(axis=1)] if chosen.any() else None

    return scores


def _best(_study: Study, run: SeedRun) -> list[Floats] | None:
    if run.best_member is None:
        return None
    return [run.prediction.member_log_odds[:, run.best_member]]


def _selected(_study: Study, run: SeedRun) -> list[Floats] | None:
    if run.places is None:
        return None
    return [run.prediction.member_log_odds @ (run.places / run.places.sum())]


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
    figures = {}
    for name, variant in VARIANTS.items():
        by_site = {site.name: _figures(study, site, variant) for site in study.held_out}
        known = {key: value for key, value in by_site.items() if value is not None}
        if len(known) == len(by_site):
            figures[name] = known
    compared = {
        name: [_compare(study, figures, name, m) for m in range(3)]
        for name in figures
        if name != UNIFORM
    }
    names = list(compared)
    rows = [
        [name]
        + [plain(mean_known([f[:, m].mean() for f in by_site.values()])) for m in range(3)]
        + ([_told(c) for c in compared[name]] if name in compared else [""] * 3)
        for name, by_site in figures.items()
    ]
    heads = ["members", *TITLES[:3], *(f"{title}, uniform mean minus this" for title in TITLES[:3])]
    series = series_of("difference", [compared[name][0] for name in names])
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
        tables=[Table("Parts of the ensemble and ways of averaging", heads, rows, frozenset({0}))],
        figures=[
            Figure(
                dots(names, [series], axis="PR-AUC, uniform mean minus this", zero=True),
                "Paired differences in PR-AUC; right of the line the uniform mean is better.",
                "Dot plot of differences in PR-AUC between the uniform mean and its alternatives",
            )
        ],
        data={
            name: {
                "environments": {
                    site: dict(zip(MEASURES, f.mean(axis=0).tolist(), strict=True))
                    for site, f in by_site.items()
                },
                "uniform_minus": {
                    MEASURES[m]: None
                    if c is None
                    else {"mean": c.mean, "interval": ends(c.interval)}
                    for m, c in enumerate(compared.get(name, []))
                },
            }
            for name, by_site in figures.items()
        },
    )


def _figures(study: Study, site: HeldOut, variant: Variant) -> Floats | None:
    """Figures of a variant, shape (seeds, measures); several score columns are averaged over."""
    judged = study.judged[site.name]
    found = []
    for run in site.runs:
        columns = variant(study, run)
        if columns is None:
            return None
        found.append(np.mean([judged.figures(column, "raw") for column in columns], axis=0))
    return np.stack(found)


def _compare(
    study: Study, figures: dict[str, dict[str, Floats]], name: str, measure: int
) -> Comparison | None:
    uniform, other = figures[UNIFORM], figures[name]
    pairs = [(uniform[site.name] - other[site.name])[:, measure] for site in study.held_out]
    rng = np.random.default_rng([29, measure])
    return compare(pairs, draws=max(study.settings.draws, 1000), rng=rng)


def _told(result: Comparison | None) -> str:
    return difference(None, None) if result is None else difference(result.mean, result.interval)
