"""The recipe without one of its parts, over and over: slow, and honest about what each brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from zeekml.datasets.environment import Matrix
from zeekml.evaluation.bootstrap import compare
from zeekml.evaluation.fits import train_recipe
from zeekml.evaluation.scores import OURS, Study
from zeekml.evaluation.sections.wording import ends, helped
from zeekml.evaluation.settings import Settings, Steps
from zeekml.features.feature_schema import FEATURES
from zeekml.html.sections import Section, Table
from zeekml.training.leave_one_out import evaluable
from zeekml.training.ranking import MEASURES, TITLES, EvaluatedRows, Floats
from zeekml.training.synthetic.inject import KINDS
from zeekml.training.trained_ensemble import LEFT_OUT_FAMILIES
from zeekml.training.training_rows import Prepared, synthetic_rows

FAMILIES: Final = tuple(
    dict.fromkeys(f.family for f in FEATURES if f.family not in LEFT_OUT_FAMILIES)
)
NO_SYNTHETIC: Final = "all synthetic episodes"

_Change = Callable[[Prepared, int], Prepared]


def parts() -> dict[str, _Change]:
    """By name, how an environment is prepared without one part of the recipe."""
    found: dict[str, _Change] = {NO_SYNTHETIC: _without_kinds({kind.name for kind in KINDS})}
    for kind in KINDS:
        found[f"synthetic: {kind.name}"] = _without_kinds({kind.name})
    for family in FAMILIES:
        found[f"features: {family}"] = _without_family(family)
    return found


def ablation_steps(prepared: Sequence[Prepared], settings: Settings) -> int:
    """How many steps `ablate` takes."""
    return len(parts()) * settings.seeds * len(evaluable(prepared))


def ablate(study: Study, steps: Steps) -> dict[str, dict[str, Floats]]:
    """Train without each part and return what the full recipe has over it."""
    prepared, settings = study.prepared, study.settings
    sites = {site.name: site for site in study.held_out}
    found: dict[str, dict[str, Floats]] = {}
    for part, change in parts().items():
        by_site: dict[str, list[Floats]] = {}
        for seed in settings.seed_list:
            changed = [change(item, seed) for item in prepared]
            for number in evaluable(prepared):
                name = prepared[number].name
                steps.now(f"without {part}, seed {seed}: {name}")
                others = [item for i, item in enumerate(changed) if i != number]
                ensemble = train_recipe(others, seed, settings)
                if ensemble is not None and name in sites:
                    scores = ensemble.predict(changed[number].matrix).log_odds
                    figures = EvaluatedRows.of(prepared[number]).figures(scores, "raw")
                    by_site.setdefault(name, []).append(figures)
                steps.done(f"without {part}, seed {seed}: {name}")
        found[part] = {
            name: study.figures(sites[name], OURS, "raw") - np.stack(figures)
            for name, figures in by_site.items()
        }
    return found


def _without_kinds(names: set[str]) -> _Change:
    kinds = tuple(kind for kind in KINDS if kind.name not in names)

    def change(item: Prepared, seed: int) -> Prepared:
        matrix, labels = synthetic_rows(item.environment, seed=seed, kinds=kinds)
        if not kinds:
            # benign background alone is what the environment itself holds already
            matrix, labels = matrix[:0], labels[:0]
        return replace(item, synthetic=matrix, synthetic_labels=labels)

    return change


def _without_family(family: str) -> _Change:
    columns = [i for i, f in enumerate(FEATURES) if f.family == family]

    def hidden(matrix: Matrix) -> Matrix:
        changed = matrix.copy()
        # missing everywhere: the scaler fills it with the same number in every row
        changed[:, columns] = np.nan
        return changed

    def change(item: Prepared, seed: int) -> Prepared:
        matrix, labels = synthetic_rows(item.environment, seed=seed)
        return replace(
            item, matrix=hidden(item.matrix), synthetic=hidden(matrix), synthetic_labels=labels
        )

    return change


_SHOWN = range(3)


def ablation_section(study: Study, found: Mapping[str, Mapping[str, Floats]]) -> Section:
    """Show paired differences: the full recipe minus the recipe without a part."""
    rows, data = [], {}
    for part, by_site in found.items():
        cells = []
        data[part] = dict[str, object]()
        for measure in _SHOWN:
            pairs = [differences[:, measure] for differences in by_site.values()]
            rng = np.random.default_rng([31, measure])
            result = compare(pairs, draws=max(study.settings.draws, 1000), rng=rng)
            cells.append(helped(result))
            if result is None:
                continue
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
