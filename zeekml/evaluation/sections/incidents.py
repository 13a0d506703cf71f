"""What an analyst would have seen: false incidents, and the labelled episodes that open one.

An episode is found by its own doing: one of its flows must open an incident where it is the only
attack among the benign traffic. That an incident is open anyway while it happens is no credit.
Even so, big groups are found by size alone; so the same is counted once more with the scores of
all malicious flows dealt out anew from benign ones, and that is what chance would find.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.core.intervals import poisson_interval
from zeekml.datasets.environment import LABEL_NAMES, Environment
from zeekml.detection.policy import Policy
from zeekml.evaluation.scores import HeldOut, SeedRun, Study
from zeekml.html.figures import Series, dots
from zeekml.html.sections import NOT_RESOLVED, Figure, Section, Table
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
        key = (
            (named, labels[row]) if named else (environment.captures[row], hosts[row], labels[row])
        )
        groups.setdefault(key, []).append(row)
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
    fold = site.fold(run)
    stream = HeldOutStream.of(fold, run.calibration)
    by_chance = HeldOutStream.of(_by_chance(fold, run.seed), run.calibration)

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


def _by_chance(fold: Fold, seed: int) -> Fold:
    """The same flows, the malicious ones scored like benign ones."""
    rng = np.random.default_rng([seed, 13])
    malicious = np.flatnonzero(fold.labels > 0)
    rows = np.arange(len(fold.labels))
    rows[malicious] = rng.choice(np.flatnonzero(fold.labels == 0), len(malicious))
    return replace(fold, prediction=fold.prediction.take(rows))


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

    @property
    def false(self) -> float:
        """False incidents, mean over seeds."""
        return float(np.mean([o.false for o in self.outcomes]))

    @property
    def interval(self) -> tuple[float, float]:
        """Of false incidents per `PER_FLOWS` benign flows."""
        return poisson_interval(self.false, self.benign / PER_FLOWS)


def incidents_section(study: Study) -> Section:
    """Count episodes found and false incidents."""
    sites = []
    for site in study.held_out:
        environment = site.prepared.environment
        found_in = episodes(environment)
        outcomes = [outcome(site, run, found_in, study.policy) for run in site.runs]
        known = [one for one in outcomes if one is not None]
        if len(known) == len(outcomes):
            sites.append(
                _Site(
                    site.name,
                    int((environment.evaluation_labels() == 0).sum()),
                    benign_days(environment),
                    environment.episodes is not None,
                    found_in,
                    known,
                )
            )
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
    benign, false = sum(s.benign for s in sites), sum(s.false for s in sites)
    pooled = poisson_interval(false, benign / PER_FLOWS)
    return Section(
        key="incidents",
        title="Incidents",
        prose=_prose(study),
        tables=[_table(sites, false, benign, pooled), _threat_table(sites)],
        figures=[_picture(sites, false, benign, pooled)],
        data={
            "environments": {site.name: _data(site) for site in sites},
            "pooled": {
                "benign": benign,
                "false_incidents": false,
                "per_10000_benign_flows": false / benign * PER_FLOWS,
                "interval": list(pooled),
            },
        },
    )


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


def _until(outcomes: Sequence[IncidentFigures], chosen: Sequence[int]) -> str:
    known = [u for o in outcomes for i in chosen if (u := o.flows_until[i]) is not None]
    return f"{np.median(known):,.0f}" if known else ""


def _found(outcomes: Sequence[IncidentFigures], chosen: Sequence[int]) -> float:
    """Episodes found, mean over seeds."""
    return float(np.mean([sum(o.flows_until[i] is not None for i in chosen) for o in outcomes]))


def _table(sites: Sequence[_Site], false: float, benign: int, pooled: tuple[float, float]) -> Table:
    rows = []
    for site in sites:
        everything = range(len(site.episodes))
        rows.append(
            [
                site.name,
                f"{site.benign:,}",
                f"{site.false:.1f}",
                _rate(site.false, site.benign, site.interval),
                f"{site.false / site.days:,.1f}" if site.days >= SHORTEST_DAYS else NOT_RESOLVED,
                f"{len(site.episodes):,}" + ("" if site.named else " (by originator)"),
                f"{_found(site.outcomes, everything):,.1f}",
                f"{np.mean([o.by_chance for o in site.outcomes]):,.1f}",
                _until(site.outcomes, everything),
            ]
        )
    rows.append(
        ["pooled", f"{benign:,}", f"{false:.1f}", _rate(false, benign, pooled), "", "", "", "", ""]
    )
    heads = [
        "environment",
        "benign flows",
        "false incidents",
        "per 10,000 benign flows",
        "notices per day",
        "episodes",
        "found",
        "by chance",
        "flows until found",
    ]
    return Table("By environment, mean over seeds", heads, rows, frozenset({len(rows) - 1}))


def _rate(false: float, benign: int, interval: tuple[float, float]) -> str:
    return f"{false / benign * PER_FLOWS:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _threat_table(sites: Sequence[_Site]) -> Table:
    rows = []
    for site in sites:
        for threat in sorted({e.threat for e in site.episodes}):
            chosen = [i for i, e in enumerate(site.episodes) if e.threat == threat]
            sizes = [len(site.episodes[i].rows) for i in chosen]
            rows.append(
                [
                    site.name,
                    threat,
                    f"{len(chosen):,}",
                    f"{np.median(sizes):,.0f}",
                    f"{_found(site.outcomes, chosen):,.1f}",
                    _until(site.outcomes, chosen),
                ]
            )
    heads = ["environment", "threat", "episodes", "flows in each", "found", "flows until found"]
    return Table("By threat; medians over episodes, means over seeds", heads, rows)


def _picture(
    sites: Sequence[_Site], false: float, benign: int, pooled: tuple[float, float]
) -> Figure:
    series = Series(
        "false incidents",
        [*(s.false / s.benign * PER_FLOWS for s in sites), false / benign * PER_FLOWS],
        [*(s.interval[0] for s in sites), pooled[0]],
        [*(s.interval[1] for s in sites), pooled[1]],
    )
    return Figure(
        dots([*(s.name for s in sites), "pooled"], [series], axis="per 10,000 benign flows"),
        "False incidents with exact 95 % Poisson intervals.",
        "Dot plot of false incidents per 10,000 benign flows by environment",
    )


def _data(site: _Site) -> dict[str, Any]:
    everything = range(len(site.episodes))
    return {
        "benign": site.benign,
        "false_incidents": site.false,
        "per_10000_benign_flows": site.false / site.benign * PER_FLOWS,
        "interval": list(site.interval),
        "notices_per_day": site.false / site.days if site.days >= SHORTEST_DAYS else None,
        "episodes": len(site.episodes),
        "episodes_named": site.named,
        "found": _found(site.outcomes, everything),
        "found_by_chance": float(np.mean([o.by_chance for o in site.outcomes])),
        "by_threat": {
            threat: {
                "episodes": len(chosen),
                "found": _found(site.outcomes, chosen),
            }
            for threat in sorted({e.threat for e in site.episodes})
            if (chosen := [i for i, e in enumerate(site.episodes) if e.threat == threat])
        },
    }
