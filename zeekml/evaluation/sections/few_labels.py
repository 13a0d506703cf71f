"""What meta-learning brings without, and any learner with, a few labels of a new network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from zeekml.evaluation.bootstrap import compare
from zeekml.evaluation.few_label_study import JOINT, RECIPE, RECIPE_WEIGHED, Adapting
from zeekml.evaluation.few_shot import FEEDBACK_SHARE, RATES, FewShotFigures
from zeekml.evaluation.sections.wording import ends, helped, listed, mean_known, plain, signed
from zeekml.html.figures import Series, bands
from zeekml.html.sections import Figure, Section, Table
from zeekml.training.ranking import MEASURES, TITLES, Floats

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
            if learner == JOINT:
                cells.append("")
                continue
            pairs = [np.array([s.starts[learner][m] - s.starts[JOINT][m]]) for s in found]
            result = compare(pairs, draws=_DRAWS, rng=np.random.default_rng([37, m]))
            cells.append(helped(result))
            if result is None:
                continue
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


_BEFORE: Final = {RECIPE_WEIGHED: RECIPE}
_JOINT: Final = "joint, no labels"
_WORST: Final = 0.1
_FIGURES: Final = ("PR-AUC", *(f"recall at {rate:g}" for rate in RATES))

_Draws = Mapping[tuple[str, int], Floats]


def few_labels_section(found: Sequence[Adapting]) -> Section:
    """Show few-shot curves, and what marking false alarms brings."""
    parted = {site.name: _by_way(site.few) for site in found if site.few}
    whole = [site.name for site in found if not site.few]
    ways = list(dict.fromkeys(way for draws in parted.values() for way, _ in draws))
    counts = sorted({count for draws in parted.values() for _, count in draws})
    prose = [
        "Of each environment held out, hosts were parted at random, again and again: some flows of "
        "one part were labelled (half of them malicious, drawn by weight), all flows of the other "
        "part judged, with the threshold that gives the rate on its own benign flows. Neither a "
        "host nor an episode is on both sides. A threshold set anew from the labels would not "
        "change such figures: it stands in the table as the way without labels.",
        "Differences are to the same members without labels, paired draw by draw. The worst decile "
        "is that of the differences: where it is below zero, one time in ten the labels did harm.",
    ]
    if whole:
        prose.append(f"{listed(whole)} could not be parted: one host too many is in it all.")
    tables = [
        _summary(parted, ways, counts, figure, name)
        for figure, name in enumerate(_FIGURES)
        if parted
    ]
    tables += [_weighed(parted, counts)] if parted else []
    prose.append(
        f"Feedback is another matter: the loudest benign flows of the first {FEEDBACK_SHARE:.0%} "
        "of the time are marked as false alarms, and the time after it is judged, hosts being the "
        "same. It is what an analyst does who answers notices."
    )
    tables.append(_feedback(found))
    return Section(
        key="few-labels",
        title="A few labels of the new network",
        prose=prose,
        tables=tables,
        figures=[_curve(parted, counts, figure) for figure in (1, 2) if parted],
        data={
            "environments": {name: _data(draws) for name, draws in parted.items()},
            "not_parted": whole,
            "feedback": {
                site.name: [
                    {
                        "way": o.way,
                        "labels": o.labels,
                        "average_precision": o.average_precision,
                        "recall": dict(zip(map(str, RATES), o.recall, strict=True)),
                    }
                    for o in site.feedback
                ]
                for site in found
            },
        },
    )


def _by_way(outcomes: Sequence[FewShotFigures]) -> dict[tuple[str, int], Floats]:
    """Figures by way and number of labels, shape (draws, figures), draws in their order."""
    found: dict[tuple[str, int], list[list[float]]] = {}
    for outcome in outcomes:
        row = [outcome.average_precision, *outcome.recall]
        found.setdefault((outcome.way, outcome.labels), []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}


def _gain(draws: _Draws, way: str, count: int, figure: int) -> Floats:
    before = _BEFORE.get(way, _JOINT)
    gain: Floats = draws[way, count][:, figure] - draws[before, count][:, figure]
    return gain


def _summary(
    parted: Mapping[str, _Draws],
    ways: Sequence[str],
    counts: Sequence[int],
    figure: int,
    name: str,
) -> Table:
    rows = []
    for way in ways:
        cells = []
        for count in counts:
            level = np.mean([np.median(d[way, count][:, figure]) for d in parted.values()])
            if way in (RECIPE, _JOINT):
                cells.append(plain(float(level), 3))
                continue
            gains = [_gain(draws, way, count, figure) for draws in parted.values()]
            medians = [float(np.median(gain)) for gain in gains]
            worst = [float(np.quantile(gain, _WORST)) for gain in gains]
            cells.append(
                f"{plain(float(level), 3)} ({signed(float(np.mean(medians)))}, "
                f"worst decile {signed(float(np.mean(worst)))})"
            )
        rows.append([way, *cells])
    return Table(
        f"{name}: mean over environments of the median over draws (and difference to no labels)",
        ["way", *(f"{count} labels" for count in counts)],
        rows,
        frozenset(i for i, way in enumerate(ways) if way == RECIPE_WEIGHED),
    )


def _weighed(parted: Mapping[str, _Draws], counts: Sequence[int]) -> Table:
    rows = []
    for name, draws in parted.items():
        for figure in (1, 2):
            cells = []
            for count in counts:
                gain = _gain(draws, RECIPE_WEIGHED, count, figure)
                cells.append(
                    f"{signed(float(np.median(gain)))} ({signed(float(np.quantile(gain, _WORST)))})"
                )
            rows.append([f"{name}, {_FIGURES[figure]}", *cells])
    return Table(
        "Weighing the recipe's members: median difference to no labels (worst decile)",
        ["environment and figure", *(f"{count} labels" for count in counts)],
        rows,
    )


def _feedback(found: Sequence[Adapting]) -> Table:
    rows = []
    for site in found:
        cells = [
            f"{plain(o.average_precision)} / " + " / ".join(plain(r) for r in o.recall)
            for o in site.feedback
        ]
        for count in dict.fromkeys(o.labels for o in site.feedback):
            of_count = [c for c, o in zip(cells, site.feedback, strict=True) if o.labels == count]
            rows.append([f"{site.name}, {count} marked", *of_count])
    heads = ["environment", "no feedback", "feedback"]
    return Table("False alarms marked: " + " / ".join(_FIGURES), heads, rows)


def _curve(parted: Mapping[str, _Draws], counts: Sequence[int], figure: int) -> Figure:
    series = []
    for way in (
        RECIPE_WEIGHED,
        "joint, whole network",
        "fomaml, whole network",
        "anil, last layer",
    ):
        quantiles = [
            np.mean(
                [np.quantile(_gain(d, way, c, figure), [0.1, 0.5, 0.9]) for d in parted.values()],
                axis=0,
            )
            for c in counts
        ]
        low, middle, high = (list(map(float, column)) for column in zip(*quantiles, strict=True))
        series.append(Series(way, middle, low, high))
    return Figure(
        bands(
            [str(count) for count in counts],
            series,
            x_axis="labels",
            y_axis=f"{_FIGURES[figure]}, minus without labels",
            zero=True,
        ),
        f"Gain in {_FIGURES[figure]} by the number of labels: median, and first to last decile, "
        "each averaged over environments.",
        "Curves of gains over the number of labels, one per way to take labels in",
    )


def _data(draws: _Draws) -> dict[str, dict[str, dict[str, list[float]]]]:
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for (way, count), rows in draws.items():
        found.setdefault(way, {})[str(count)] = {
            name: np.quantile(rows[:, number], [0.1, 0.5, 0.9]).tolist()
            for number, name in enumerate(_FIGURES)
        }
    return found
