"""Which threats are found, and which are taken for one another."""

from __future__ import annotations

from typing import Final

import numpy as np

from zeekml.datasets.environment import LABEL_NAMES
from zeekml.ensemble.classes import THREATS
from zeekml.evaluation.scores import HeldOut, Study
from zeekml.evaluation.sections.wording import over_seeds, spread_data, table_of
from zeekml.html.figures import heat_map
from zeekml.html.sections import NOT_RESOLVED, Figure, Section, Table
from zeekml.training.ranking import RATES, SHOWN, Floats

FEWEST_FLOWS: Final = 10
"""Flows of a class without which no share of them is given."""


def threats_section(study: Study) -> Section:
    """Recall by class and environment, and confusion among malicious flows."""
    rows, recalls = [], {}
    for site in study.held_out:
        labels = study.judged[site.name].labels
        found = {}
        for label in np.unique(labels[labels > 0]).tolist():
            flows = int((labels == label).sum())
            by_rate = {rate: _recall(study, site, label, rate) for rate in SHOWN}
            cells = {f"recall at {rate:g}": over_seeds(v) for rate, v in by_rate.items()}
            threat = LABEL_NAMES[label]
            rows.append(
                {"environment": site.name, "threat": threat, "flows": f"{flows:,}", **cells}
            )
            found[threat] = {
                "flows": flows,
                **{f"recall_at_fpr_{rate:g}": spread_data(v) for rate, v in by_rate.items()},
            }
        recalls[site.name] = found
    tables = [table_of("Recall by threat, each flow counted once", rows)]
    figures, shares, confusion = [], _confusion(study), None
    if shares is not None:
        confusion = {t: dict(zip(THREATS, s.tolist(), strict=True)) for t, s in shares.items()}
        heads = ["", *THREATS]
        cells_of = [[threat, *(f"{s:.2f}" for s in row)] for threat, row in shares.items()]
        tables.append(Table("Labelled threat (rows) and what was said (columns)", heads, cells_of))
        values = np.array(list(shares.values()))
        figures.append(
            Figure(
                heat_map(list(shares), THREATS, values, x_axis="said", y_axis="labelled"),
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
        data={"recall": recalls, "confusion": confusion},
    )


def _recall(study: Study, site: HeldOut, label: int, rate: float) -> Floats:
    judged = study.judged[site.name]
    of_class = judged.labels == label
    if of_class.sum() < FEWEST_FLOWS or not judged.resolvable("raw")[1 + RATES.index(rate)]:
        return np.full(len(site.runs), np.nan)
    rankings = [judged.ranking(run.prediction.log_odds) for run in site.runs]
    return np.array([r.above(judged.weights["raw"], rate)[of_class].mean() for r in rankings])


def _confusion(study: Study) -> dict[str, Floats] | None:
    """Of the weight of malicious flows by labelled threat, the shares by threat said."""
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
    found = {t: row / row.sum() for t, row in zip(THREATS, total, strict=True) if row.sum() > 0}
    return found or None
