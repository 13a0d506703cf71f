"""What meta-learning brings without, and any learner with, a few labels of a new network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from zeekml.evaluation.few_label_study import JOINT, RECIPE, RECIPE_WEIGHED, Adapting
from zeekml.evaluation.few_shot import FEEDBACK_SHARE, FewShotFigures
from zeekml.evaluation.sections import wording
from zeekml.evaluation.sections.wording import COMPARED, mean_known, plain, signed, table_of
from zeekml.html.figures import Series, bands
from zeekml.html.sections import Figure, Section, Table
from zeekml.training.ranking import MEASURES, SHOWN, Floats

_DRAWS = 1000


def learners_section(found: Sequence[Adapting]) -> Section:
    """Compare ways to learn on the same networks, without any label."""
    rows, data = [], {}
    for learner in found[0].starts:
        worth = np.stack([site.starts[learner] for site in found])
        joint = np.stack([site.starts[JOINT] for site in found])
        means = {measure: mean_known(worth[:, m]) for m, measure in enumerate(COMPARED)}
        # each environment has one seed
        results = wording.compared((worth - joint)[:, np.newaxis], 37, _DRAWS)
        told = dict.fromkeys(COMPARED, "")
        minus_joint = {}
        if learner != JOINT:
            told = {
                m: wording.difference(r, wording.HELPED)
                for m, r in zip(COMPARED, results, strict=True)
            }
            minus_joint = wording.differences_data(results, "mean", "interval")
        rows.append(
            {
                "learner": learner,
                **{COMPARED[measure]: plain(mean) for measure, mean in means.items()},
                **{f"{COMPARED[measure]}, minus joint": text for measure, text in told.items()},
            }
        )
        data[learner] = {
            "means": means,
            "minus_joint": minus_joint,
            "environments": {
                site.name: dict(zip(MEASURES, site.starts[learner], strict=True)) for site in found
            },
        }
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
        tables=[table_of("Learners, without labels", rows, 0)],
        data=data,
    )


_JOINT: Final = "joint, no labels"
_WORST: Final = 0.1
_QUANTILES: Final = (0.1, 0.5, 0.9)
_FIGURES: Final = ("PR-AUC", *(f"recall at {rate:g}" for rate in SHOWN))

_Draws = Mapping[tuple[str, int], Mapping[str, Floats]]


def few_labels_section(found: Sequence[Adapting]) -> Section:
    """Show few-shot curves, and what marking false alarms brings."""
    parted = {site.name: _by_way(site.few) for site in found if site.few}
    whole = [site.name for site in found if not site.few]
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
        prose.append(
            f"{wording.listed(whole)} could not be parted: one host too many is in it all."
        )
    tables = []
    if parted:
        tables = [*(_summary(parted, name) for name in _FIGURES), _weighed(parted)]
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
        figures=[_curve(parted, figure) for figure in _FIGURES[1:] if parted],
        data={
            "environments": {name: _data(draws) for name, draws in parted.items()},
            "not_parted": whole,
            "feedback": {
                site.name: [
                    {
                        "way": o.way,
                        "labels": o.labels,
                        "average_precision": o.average_precision,
                        "recall": dict(zip(map(str, SHOWN), o.recall, strict=True)),
                    }
                    for o in site.feedback
                ]
                for site in found
            },
        },
    )


def _by_way(outcomes: Sequence[FewShotFigures]) -> _Draws:
    """By way and number of labels, each of `_FIGURES` (draws,), draws in their order."""
    found: dict[tuple[str, int], list[list[float]]] = {}
    for outcome in outcomes:
        row = [outcome.average_precision, *outcome.recall]
        found.setdefault((outcome.way, outcome.labels), []).append(row)
    return {key: dict(zip(_FIGURES, np.array(rows).T, strict=True)) for key, rows in found.items()}


def _counts(parted: Mapping[str, _Draws]) -> list[int]:
    return sorted({count for draws in parted.values() for _, count in draws})


def _gain(parted: Mapping[str, _Draws], way: str, count: int, figure: str, q: float) -> float:
    """A quantile of the gain over no labels, mean over environments."""
    before = RECIPE if way == RECIPE_WEIGHED else _JOINT
    gains = [d[way, count][figure] - d[before, count][figure] for d in parted.values()]
    return float(np.mean([np.quantile(by_draw, q) for by_draw in gains]))


def _summary(parted: Mapping[str, _Draws], figure: str) -> Table:
    rows = []
    for way in dict.fromkeys(way for draws in parted.values() for way, _ in draws):
        row = {"way": way}
        for count in _counts(parted):
            level = np.mean([np.median(d[way, count][figure]) for d in parted.values()])
            text = plain(float(level), 3)
            if way not in (RECIPE, _JOINT):
                asked = parted, way, count, figure
                median, worst = (signed(_gain(*asked, q)) for q in (0.5, _WORST))
                text += f" ({median}, worst decile {worst})"
            row[f"{count} labels"] = text
        rows.append(row)
    return table_of(
        f"{figure}: mean over environments of the median over draws (and difference to no labels)",
        rows,
        *(number for number, row in enumerate(rows) if row["way"] == RECIPE_WEIGHED),
    )


def _weighed(parted: Mapping[str, _Draws]) -> Table:
    rows = []
    for name, draws in parted.items():
        for figure in _FIGURES[1:]:
            row = {"environment and figure": f"{name}, {figure}"}
            for count in _counts(parted):
                asked = {name: draws}, RECIPE_WEIGHED, count, figure
                median, worst = (signed(_gain(*asked, q)) for q in (0.5, _WORST))
                row[f"{count} labels"] = f"{median} ({worst})"
            rows.append(row)
    caption = "Weighing the recipe's members: median difference to no labels (worst decile)"
    return table_of(caption, rows)


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


def _curve(parted: Mapping[str, _Draws], figure: str) -> Figure:
    counts = _counts(parted)
    series = []
    tuned = ("joint, whole network", "fomaml, whole network", "anil, last layer")
    for way in (RECIPE_WEIGHED, *tuned):
        low, middle, high = (
            [_gain(parted, way, count, figure, q) for count in counts] for q in _QUANTILES
        )
        series.append(Series(way, middle, low, high))
    return Figure(
        bands(
            [str(count) for count in counts],
            series,
            x_axis="labels",
            y_axis=f"{figure}, minus without labels",
            zero=True,
        ),
        f"Gain in {figure} by the number of labels: median, and first to last decile, "
        "each averaged over environments.",
        "Curves of gains over the number of labels, one per way to take labels in",
    )


def _data(draws: _Draws) -> dict[str, dict[str, dict[str, list[float]]]]:
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for (way, count), figures in draws.items():
        found.setdefault(way, {})[str(count)] = {
            name: np.quantile(values, _QUANTILES).tolist() for name, values in figures.items()
        }
    return found
