"""Which threats are found, and which are taken for one another."""

from __future__ import annotations

from typing import Final

import numpy as np

from zeekml.datasets.environment import LABEL_NAMES
from zeekml.ensemble.classes import THREATS
from zeekml.evaluation.scores import HeldOut, Study
from zeekml.evaluation.sections.wording import over_seeds, spread_data
from zeekml.html.figures import heat_map
from zeekml.html.sections import NOT_RESOLVED, Figure, Section, Table
from zeekml.training.ranking import RATES, Floats

FEWEST_FLOWS: Final = 10
"""Flows of a class without which no share of them is given."""

_SHOWN_RATES: Final = RATES[:2]


def threats_section(study: Study) -> Section:
    """Recall by class and environment, and confusion among malicious flows."""
    rows, recalls = [], {}
    for site in study.held_out:
        labels = study.judged[site.name].labels
        found = {}
        for label in np.unique(labels[labels > 0]).tolist():
            flows = int((labels == label).sum())
            by_rate = [_recall(study, site, label, order) for order in range(len(_SHOWN_RATES))]
            rows.append([site.name, LABEL_NAMES[label], f"{flows:,}", *map(over_seeds, by_rate)])
            found[LABEL_NAMES[label]] = {
                "flows": flows,
                **{
                    f"recall_at_fpr_{rate:g}": spread_data(values)
                    for rate, values in zip(_SHOWN_RATES, by_rate, strict=True)
                },
            }
        recalls[site.name] = found
    heads = ["environment", "threat", "flows", *(f"recall at {rate:g}" for rate in _SHOWN_RATES)]
    tables = [Table("Recall by threat, each flow counted once", heads, rows)]
    figures = []
    confusion = _confusion(study)
    if confusion is not None:
        tables.append(_confusion_table(confusion))
        known = confusion.sum(axis=1) > 0
        figures.append(
            Figure(
                heat_map(
                    [name for name, k in zip(THREATS, known, strict=True) if k],
                    THREATS,
                    _shares(confusion)[known],
                    x_axis="said",
                    y_axis="labelled",
                ),
                "Which threat was said of malicious flows, as shares of each row.",
                "Heat map of confusion between threats",
            )
        )
    return Section(
        key="threats",
        title="Threat by threat",
        prose=[
            "Thresholds are those of the headline figures: one for all threats, at a "
            "false-positive rate on the environment's own benign flows. Classes with fewer than "
            f"{FEWEST_FLOWS} flows, and rates that the benign flows do not resolve, show "
            f"{NOT_RESOLVED}.",
            "Confusion is among malicious flows of known class, whether or not they would have "
            "been noticed: which threat is said, given that the flow is malicious. Flows that "
            "repeat each other count once together; environments and seeds are added up.",
        ],
        tables=tables,
        figures=figures,
        data={
            "recall": recalls,
            "confusion": None
            if confusion is None
            else {
                THREATS[row]: dict(zip(THREATS, shares.tolist(), strict=True))
                for row, shares in enumerate(_shares(confusion))
                if confusion[row].sum() > 0
            },
        },
    )


def _recall(study: Study, site: HeldOut, label: int, order: int) -> Floats:
    judged = study.judged[site.name]
    of_class = judged.labels == label
    if of_class.sum() < FEWEST_FLOWS or not judged.resolvable("raw")[1 + order]:
        return np.full(len(site.runs), np.nan)
    found = []
    for run in site.runs:
        ranking = judged.ranking(run.prediction.log_odds)
        above = ranking.above(judged.weights["raw"], _SHOWN_RATES[order])
        found.append(above[of_class].mean())
    return np.array(found)


def _confusion(study: Study) -> Floats | None:
    """Weight of malicious flows by labelled and said threat, shape (threats, threats)."""
    total = np.zeros((len(THREATS), len(THREATS)))
    for site in study.held_out:
        judged = study.judged[site.name]
        known = (judged.labels > 0) & (judged.labels <= len(THREATS))
        for run in site.runs:
            shares = run.prediction.threat_shares
            if shares is None:
                return None
            said = shares[judged.rows][known].argmax(axis=1)
            np.add.at(total, (judged.labels[known] - 1, said), judged.weights["distinct"][known])
    return total if total.any() else None


def _shares(confusion: Floats) -> Floats:
    mass = confusion.sum(axis=1, keepdims=True)
    return np.divide(confusion, mass, out=np.zeros_like(confusion), where=mass > 0)


def _confusion_table(confusion: Floats) -> Table:
    rows = [
        [THREATS[row], *(f"{share:.2f}" for share in shares)]
        for row, shares in enumerate(_shares(confusion))
        if confusion[row].sum() > 0
    ]
    return Table("Labelled threat (rows) and what was said (columns)", ["", *THREATS], rows)
