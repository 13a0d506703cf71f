"""Whether scores rest on attacks or on what happens to go with them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from zeekml.evaluation.scores import CONTROLS, OURS, Study
from zeekml.evaluation.sections.wording import mean_known, plain, signed, table_of
from zeekml.html.sections import Section, Table
from zeekml.training.ranking import MEASURES, TITLES, Floats, Ranking

_SHOWN: Final = tuple(enumerate(TITLES[:2]))


def shortcuts_section(study: Study) -> Section:
    """Show what is lost without ports or direction, and how attacks of elsewhere rank."""
    rows = []
    data: dict[str, Any] = {"controls": {}, "transplants": {}}
    changes: dict[str, list[Floats]] = {control: [] for control in CONTROLS}
    for site in study.held_out:
        judged = study.judged[site.name]
        whole = study.figures(site, OURS, "raw")
        row = {"environment": site.name}
        row.update((title, plain(whole[:, m].mean())) for m, title in _SHOWN)
        data["controls"][site.name] = {}
        for control in CONTROLS:
            figures = np.stack([judged.figures(run.controls[control], "raw") for run in site.runs])
            change = (figures - whole).mean(axis=0)
            changes[control].append(change)
            row.update((f"{title}, {control}", signed(change[m], 2)) for m, title in _SHOWN)
            data["controls"][site.name][control] = {
                f"{MEASURES[m]}_change": float(change[m]) for m, _ in _SHOWN
            }
        rows.append(row)
    mean = {"environment": "mean"}
    for control, found in changes.items():
        for m, title in _SHOWN:
            mean[f"{title}, {control}"] = signed(mean_known([c[m] for c in found]), 2)
    caption = "Change when something is taken away at test"
    tables = [table_of(caption, [*rows, mean], -1)]
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
            "rows compare."
        )
    return Section(key="shortcuts", title="Shortcuts", prose=prose, tables=tables, data=data)


def _transplants(study: Study) -> tuple[Table, dict[str, Any]]:
    names = [site.name for site in study.held_out]
    rows, data = [], {}
    for site in study.held_out:
        judged, others = study.judged[site.name], {}
        all_scores = [run.prediction.log_odds[judged.rows] for run in site.runs]
        own = np.mean([_even(s[~judged.malicious], s[judged.malicious]) for s in all_scores])
        for other in names:
            pairs = [run.transplants[other] for run in site.runs if other in run.transplants]
            if other != site.name:
                others[other] = float(np.mean([_even(*p) for p in pairs])) if pairs else None
        mean = mean_known([value for value in others.values() if value is not None])
        rows.append(
            {
                "benign flows of": site.name,
                "own attacks": plain(float(own)),
                "mean of others": plain(mean),
                **{f"attacks of {n}": plain(others[n]) if n in others else "" for n in names},
            }
        )
        data[site.name] = {"own": float(own), "mean_of_others": mean, "by_donor": others}
    return table_of("PR-AUC at even weights, mean over seeds", rows), data


def _even(benign: Floats, malicious: Floats) -> float:
    """Average precision with both sides weighing the same."""
    flags = np.repeat([False, True], [len(benign), len(malicious)])
    weights = np.repeat([1 / len(benign), 1 / len(malicious)], [len(benign), len(malicious)])
    return float(Ranking(np.concatenate([benign, malicious]), flags).figures(weights)[0])
