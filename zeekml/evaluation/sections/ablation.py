"""The recipe without one of its parts, over and over: slow, and honest about what each brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from zeekml.datasets.environment import Matrix
from zeekml.evaluation.scores import OURS, Study
from zeekml.evaluation.sections import wording
from zeekml.evaluation.sections.wording import COMPARED, compared, table_of
from zeekml.evaluation.settings import Settings, Steps
from zeekml.features.feature_schema import FEATURES
from zeekml.html.sections import Section
from zeekml.training.leave_one_out import evaluable, train_if_possible, without
from zeekml.training.ranking import Floats
from zeekml.training.synthetic.inject import KINDS
from zeekml.training.synthetic.traffic_context import TrafficKind
from zeekml.training.trained_ensemble import LEFT_OUT_FAMILIES
from zeekml.training.training_rows import Prepared, synthetic_rows

FAMILIES: Final = tuple(
    dict.fromkeys(f.family for f in FEATURES if f.family not in LEFT_OUT_FAMILIES)
)
NO_SYNTHETIC: Final = "all synthetic episodes"

_Change = Callable[[Prepared, int], Prepared]


def parts() -> dict[str, _Change]:
    """By name, how an environment is prepared without one part of the recipe."""
    return {
        NO_SYNTHETIC: _without(kinds=()),
        **{
            f"synthetic: {left_out.name}": _without([kind for kind in KINDS if kind != left_out])
            for left_out in KINDS
        },
        **{f"features: {family}": _without(KINDS, family) for family in FAMILIES},
    }


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
                ensemble = train_if_possible(without(changed, number), settings.training(seed))
                if ensemble is not None and name in sites:
                    scores = ensemble.predict(changed[number].matrix).log_odds
                    by_site.setdefault(name, []).append(study.judged[name].figures(scores, "raw"))
                steps.done(f"without {part}, seed {seed}: {name}")
        found[part] = {
            name: study.figures(sites[name], OURS, "raw") - np.stack(figures)
            for name, figures in by_site.items()
        }
    return found


def _without(kinds: Sequence[TrafficKind], family: str | None = None) -> _Change:
    columns = [i for i, f in enumerate(FEATURES) if f.family == family]

    def hidden(matrix: Matrix) -> Matrix:
        changed = matrix.copy()
        # missing everywhere: the scaler fills it with the same number in every row
        changed[:, columns] = np.nan
        return changed

    def change(item: Prepared, seed: int) -> Prepared:
        matrix, labels = synthetic_rows(item.environment, seed=seed, kinds=kinds)
        if not kinds:
            # benign background alone is what the environment itself holds already
            matrix, labels = matrix[:0], labels[:0]
        return replace(
            item, matrix=hidden(item.matrix), synthetic=hidden(matrix), synthetic_labels=labels
        )

    return change


def ablation_section(study: Study, found: Mapping[str, Mapping[str, Floats]]) -> Section:
    """Show paired differences: the full recipe minus the recipe without a part."""
    rows, data = [], {}
    for part, by_site in found.items():
        results = compared(by_site.values(), 31, study.settings.draws)
        cells = [wording.difference(result, wording.HELPED) for result in results]
        rows.append({"without": part, **dict(zip(COMPARED.values(), cells, strict=True))})
        data[part] = wording.differences_data(results, "mean", "interval", "won", "environments")
    return Section(
        key="ablations",
        title="What each part brings",
        prose=[
            "The recipe was trained once more without each part. Figures are the full recipe's "
            "minus those without the part, paired by environment and seed, with 95 % intervals "
            "and the number of environments on which the part helps. Above zero, it helps. With "
            "this many comparisons, one in twenty intervals would exclude zero by chance alone."
        ],
        tables=[table_of("Full recipe minus without", rows)],
        data=data,
    )
