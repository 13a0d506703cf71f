"""What an analyst would have seen: false incidents, and the labelled episodes that open one.

An episode is found by its own doing: one of its flows must open an incident where it is the only
attack among the benign traffic. That an incident is open anyway while it happens is no credit.
Even so, big groups are found by size alone; so the same is counted once more with the scores of
all malicious flows dealt out anew from benign ones, and that is what chance would find.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.core.intervals import poisson_interval
from zeekml.datasets.environment import LABEL_NAMES, Environment
from zeekml.detection.policy import Policy
from zeekml.evaluation.scores import HeldOut, SeedRun, Study
from zeekml.evaluation.sections.wording import Point, dot_plot, table_of
from zeekml.html.sections import NOT_RESOLVED, Section
from zeekml.training.incident_replay import NONE, HeldOutStream
from zeekml.training.leave_one_out import Fold


@dataclass(frozen=True)
class Episode:
    """Malicious flows that belong together."""

    threat: str
    rows: npt.NDArray[np.intp]  # in order of arrival


@dataclass(frozen=True)
class IncidentFigures:
    """What one run's incidents are on one environment."""

    false: int  # incidents on the benign flows alone
    # for each episode: how many of its flows had come when it was found, None if it never was
    flows_until: list[int | None]
    by_chance: int  # episodes that are found with malicious flows scored like benign ones


def episodes(environment: Environment) -> list[Episode]:
    """Labelled episodes; where the data name none, one per recording, originator and class."""
    labels = environment.evaluation_labels()
    hosts = environment.flows["id.orig_h"].to_pylist()
    groups: dict[Hashable, list[int]] = {}
    for row in np.flatnonzero(labels > 0).tolist():
        named = environment.episodes[row] if environment.episodes is not None else None
        of = (named,) if named else (environment.captures[row], hosts[row])
        groups.setdefault((*of, labels[row]), []).append(row)
    return [
        Episode(LABEL_NAMES[labels[rows[0]]], np.array(rows, dtype=np.intp))
        for rows in groups.values()
    ]


def outcome(
    site: HeldOut, run: SeedRun, found_in: list[Episode], policy: Policy
) -> IncidentFigures | None:
    """Replay the incidents of one run; None if it has no thresholds."""
    if run.calibration is None or run.thresholds is None:
        return None
    # a threat without a threshold is never raised
    values = run.thresholds.values
    fold = Fold(site.prepared, run.prediction)
    stream = HeldOutStream.of(fold, run.calibration)
    # the same flows, the malicious ones scored like benign ones
    rng = np.random.default_rng([run.seed, 13])
    malicious = np.flatnonzero(fold.labels > 0)
    rows = np.arange(len(fold.labels))
    rows[malicious] = rng.choice(np.flatnonzero(fold.labels == 0), len(malicious))
    dealt_out = replace(fold, prediction=fold.prediction.take(rows))
    by_chance = HeldOutStream.of(dealt_out, run.calibration)

    def flows_until(stream: HeldOutStream) -> list[int | None]:
        alone, owner = stream.one_by_one([episode.rows for episode in found_in])
        until: list[int | None] = [None] * len(found_in)
        for incident in alone.replay(policy).incidents(values):
            of = int(owner[incident.opener])
            if of != NONE and until[of] is None:
                row = alone.rows[incident.opener]
                until[of] = int(np.searchsorted(found_in[of].rows, row)) + 1
        return until

    return IncidentFigures(
        false=len(stream.only(stream.labels == 0).replay(policy).incidents(values)),
        flows_until=flows_until(stream),
        by_chance=sum(one is not None for one in flows_until(by_chance)),
    )


def benign_days(environment: Environment) -> float:
    """Days that the benign flows span, recordings added up."""
    benign = environment.evaluation_labels() == 0
    ts = environment.flows["ts"].to_numpy()
    seconds = 0.0
    for rows in environment.capture_slices():
        own = ts[rows][benign[rows]]
        seconds += float(np.ptp(own)) if len(own) else 0.0
    return seconds / 86400


PER_FLOWS: Final = 10_000
SHORTEST_DAYS: Final = 0.25
"""Days of benign traffic without which no number of notices per day is given."""


@dataclass(frozen=True)
class _Site:
    name: str
    benign: int
    days: float
    named: bool
    episodes: list[Episode]
    outcomes: list[IncidentFigures]

    def mean(self, value: Callable[[IncidentFigures], int]) -> float:
        """Of something, over seeds."""
        return float(np.mean([value(outcome) for outcome in self.outcomes]))

    @property
    def false(self) -> float:
        """False incidents, mean over seeds."""
        return self.mean(lambda outcome: outcome.false)

    @property
    def per_day(self) -> float | None:
        """False incidents per day; None where the days are too few."""
        return self.false / self.days if self.days >= SHORTEST_DAYS else None

    def chosen(self, threat: str | None = None) -> list[int]:
        """Numbers of the episodes, or of those of one threat."""
        return [i for i, e in enumerate(self.episodes) if threat in (None, e.threat)]

    def found(self, chosen: Sequence[int]) -> float:
        """Episodes found, mean over seeds."""
        return self.mean(lambda o: sum(o.flows_until[i] is not None for i in chosen))

    def told(self, chosen: Sequence[int]) -> dict[str, str]:
        """What is found of some episodes, and after how many flows."""
        all_until = [o.flows_until[i] for o in self.outcomes for i in chosen]
        known = [until for until in all_until if until is not None]
        return {
            "found": f"{self.found(chosen):,.1f}",
            "flows until found": f"{np.median(known):,.0f}" if known else "",
        }


def incidents_section(study: Study) -> Section:
    """Count episodes found and false incidents."""
    sites = []
    for site in study.held_out:
        environment = site.prepared.environment
        found_in = episodes(environment)
        outcomes = [outcome(site, run, found_in, study.policy) for run in site.runs]
        known = [one for one in outcomes if one is not None]
        if len(known) == len(outcomes):
            benign = int((environment.evaluation_labels() == 0).sum())
            named = environment.episodes is not None
            days = benign_days(environment)
            sites.append(_Site(site.name, benign, days, named, found_in, known))
    if not sites:
        return Section(
            key="incidents",
            title="Incidents",
            prose=[
                "There are no thresholds: choosing them for an environment takes at least two "
                "further environments with enough rows of both sides, and members that tell "
                "threats apart."
            ],
            data={"environments": {}, "pooled": None},
        )
    rows, by_threat, points, data = [], [], [], {}
    for one in sites:
        text, point, numbers = _rate(one.false, one.benign)
        points.append(point)
        count = f"{len(one.episodes):,}" + ("" if one.named else " (by originator)")
        by_chance = one.mean(lambda outcome: outcome.by_chance)
        told = one.told(one.chosen())
        rows.append(
            {
                "environment": one.name,
                **text,
                "notices per day": NOT_RESOLVED if one.per_day is None else f"{one.per_day:,.1f}",
                "episodes": count,
                "found": told["found"],
                "by chance": f"{by_chance:,.1f}",
                **told,
            }
        )
        threats: dict[str, Any] = {}
        for threat in sorted({e.threat for e in one.episodes}):
            chosen = one.chosen(threat)
            sizes = [len(one.episodes[i].rows) for i in chosen]
            by_threat.append(
                {
                    "environment": one.name,
                    "threat": threat,
                    "episodes": f"{len(chosen):,}",
                    "flows in each": f"{np.median(sizes):,.0f}",
                    **one.told(chosen),
                }
            )
            threats[threat] = {"episodes": len(chosen), "found": one.found(chosen)}
        data[one.name] = {
            **numbers,
            "notices_per_day": one.per_day,
            "episodes": len(one.episodes),
            "episodes_named": one.named,
            "found": one.found(one.chosen()),
            "found_by_chance": by_chance,
            "by_threat": threats,
        }
    text, pooled_point, pooled = _rate(sum(s.false for s in sites), sum(s.benign for s in sites))
    rows.append({"environment": "pooled", **text})
    return Section(
        key="incidents",
        title="Incidents",
        prose=_prose(study),
        tables=[
            table_of("By environment, mean over seeds", rows, -1),
            table_of("By threat; medians over episodes, means over seeds", by_threat),
        ],
        figures=[
            dot_plot(
                [*(s.name for s in sites), "pooled"],
                {"false incidents": [*points, pooled_point]},
                "False incidents with exact 95 % Poisson intervals.",
                "false incidents per 10,000 benign flows by environment",
                axis="per 10,000 benign flows",
            )
        ],
        data={"environments": data, "pooled": pooled},
    )


def _rate(false: float, benign: int) -> tuple[dict[str, str], Point, dict[str, Any]]:
    """False incidents and their rate as a table, a figure and JSON have them."""
    rate, interval = false / benign * PER_FLOWS, poisson_interval(false, benign / PER_FLOWS)
    cells = {
        "benign flows": f"{benign:,}",
        "false incidents": f"{false:.1f}",
        "per 10,000 benign flows": f"{rate:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]",
    }
    numbers = {
        "benign": benign,
        "false_incidents": false,
        "per_10000_benign_flows": rate,
        "interval": interval,
    }
    return cells, (rate, interval), numbers


def _prose(study: Study) -> list[str]:
    where = (
        "Calibration and thresholds were chosen on the other environments, each scored by "
        "ensembles that had seen neither it nor the one at hand."
        if study.bundle is None
        else "Calibration and thresholds are the bundle's own."
    )
    return [
        f"{where} Scores were replayed through the incident tracker that runs on a sensor, by the "
        "policy in force.",
        "False incidents are those on the benign flows alone. The interval is the exact 95 % one "
        "of a Poisson count, at the mean over seeds (seeds see the same flows, so they do not "
        "narrow it). Notices per day divide them by the time that benign flows span; below "
        f"{SHORTEST_DAYS * 24:.0f} hours {NOT_RESOLVED} stands.",
        "An episode is found if one of its own flows opens an incident where it is the only attack "
        "among the benign traffic. By chance: the same with malicious flows scored like benign "
        "ones, which shows how many are found by size alone. Where the data name no episodes, all "
        "flows of an originator and class in one recording are one. Flows until found: the median "
        "number of an episode's flows that had come, over those found. Detectors ask for several "
        "flows: by itself, an originator with one or two is never found.",
    ]
