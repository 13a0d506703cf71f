"""Whether scores rest on attacks or on what happens to go with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from zeekml.evaluation.scores import CONTROLS, OURS, HeldOut, Study
from zeekml.evaluation.sections.wording import mean_known, plain, signed
from zeekml.html.sections import Section, Table
from zeekml.training.ranking import Floats, Ranking


def shortcuts_section(study: Study) -> Section:
    """Show what is lost without ports or direction, and how attacks of elsewhere rank."""
    rows = []
    data: dict[str, Any] = {"controls": {}, "transplants": {}}
    changes: dict[str, list[Floats]] = {control: [] for control in CONTROLS}
    for site in study.held_out:
        judged = study.judged[site.name]
        whole = study.figures(site, OURS, "raw")
        cells = [site.name, plain(whole[:, 0].mean()), plain(whole[:, 1].mean())]
        data["controls"][site.name] = {}
        for control in CONTROLS:
            figures = np.stack([judged.figures(run.controls[control], "raw") for run in site.runs])
            change = (figures - whole).mean(axis=0)
            changes[control].append(change)
            cells += [signed(change[0], 2), signed(change[1], 2)]
            data["controls"][site.name][control] = {
                "average_precision_change": float(change[0]),
                "recall_at_fpr_0.01_change": float(change[1]),
            }
        rows.append(cells)
    means = ["mean", "", ""]
    for found in changes.values():
        means += [signed(mean_known([c[m] for c in found]), 2) for m in range(2)]
    rows.append(means)
    heads = ["environment", "PR-AUC", "recall at 0.01"]
    for control in CONTROLS:
        heads += [f"PR-AUC, {control}", f"recall at 0.01, {control}"]
    tables = [
        Table(
            "Change when something is taken away at test", heads, rows, frozenset({len(rows) - 1})
        )
    ]
    prose = [f"{control[:1].upper()}{control[1:]}: {text}" for control, text in CONTROLS.items()]
    if any(run.transplants for site in study.held_out for run in site.runs):
        table, shares = _transplants(study)
        tables.append(table)
        data["transplants"] = shares
        prose.append(
            "Attacks of elsewhere: benign flows of one environment with the malicious flows of "
            "another, scored by an ensemble that has seen neither. Telling two networks apart is "
            "easier than telling attacks from benign traffic of the same network. Where these "
            "figures are well above the environment's own, part of the score tells networks "
            "apart, and evaluations that mix data sets would take it for detection. PR-AUC is "
            "computed with each mixture weighed to as many malicious as benign flows, so that "
            "rows compare.",
        )
    return Section(
        key="shortcuts",
        title="Shortcuts",
        prose=prose,
        tables=tables,
        data=data,
    )


def _transplants(study: Study) -> tuple[Table, dict[str, Any]]:
    names = [site.name for site in study.held_out]
    rows, data = [], {}
    for site in study.held_out:
        own = _own(study, site)
        found = {other: _mixed(site, other) for other in names if other != site.name}
        mean = mean_known([value for value in found.values() if value is not None])
        rows.append(
            [
                site.name,
                plain(own),
                plain(mean),
                *("" if other == site.name else plain(found[other]) for other in names),
            ]
        )
        data[site.name] = {"own": own, "mean_of_others": mean, "by_donor": found}
    heads = [
        "benign flows of",
        "own attacks",
        "mean of others",
        *(f"attacks of {n}" for n in names),
    ]
    return Table("PR-AUC at even weights, mean over seeds", heads, rows), data


def _own(study: Study, site: HeldOut) -> float:
    judged = study.judged[site.name]
    worth = []
    for run in site.runs:
        scores = run.prediction.log_odds[judged.rows]
        worth.append(_even(scores[~judged.malicious], scores[judged.malicious]))
    return float(np.mean(worth))


def _mixed(site: HeldOut, other: str) -> float | None:
    pairs = [run.transplants[other] for run in site.runs if other in run.transplants]
    return float(np.mean([_even(*pair) for pair in pairs])) if pairs else None


def _even(benign: Floats, malicious: Floats) -> float:
    """Average precision with both sides weighing the same."""
    flags = np.repeat([False, True], [len(benign), len(malicious)])
    weights = np.repeat([1 / len(benign), 1 / len(malicious)], [len(benign), len(malicious)])
    return float(Ranking(np.concatenate([benign, malicious]), flags).figures(weights)[0])
