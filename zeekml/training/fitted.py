"""What held-out scores tell: figures, calibration, thresholds and confidence of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zeekml.datasets.environment import LABEL_NAMES
from zeekml.detection.policy import Policy
from zeekml.ensemble.confidence import Confidence, Curve
from zeekml.training.confidence_fit import (
    FoldReplay,
    JudgedIncident,
    ReliabilityBin,
    SiteIncidents,
    confidence_without_site,
    fit_confidence,
    reliability,
)
from zeekml.training.leave_one_out import EnvironmentFigures, Fold, as_dict, measure
from zeekml.training.platt_fit import PlattFit, fit_scores
from zeekml.training.thresholds import FALSE_INCIDENTS_PER_FLOW, Thresholds, choose_thresholds


@dataclass(frozen=True)
class SiteCheck:
    """What thresholds chosen on all other environments do on one."""

    name: str
    benign: int  # flows
    false: int  # incidents on the benign flows alone
    found: Mapping[str, float]  # share of the malicious flows that are in an incident, by class
    judged: SiteIncidents  # what opened there


def _of_both_sides(folds: Sequence[Fold]) -> list[Fold]:
    """Those that hold attacks: the others tell what benign traffic scores, and no more."""
    return [fold for fold in folds if (fold.labels > 0).any()]


def cross_check(
    folds: Sequence[Fold], policy: Policy, *, budget: float = FALSE_INCIDENTS_PER_FLOW
) -> list[SiteCheck]:
    """Choose calibration and thresholds on all folds but one and apply them to that one.

    One check per fold; none if there is only one.
    """
    checks: list[SiteCheck] = []
    if len(_of_both_sides(folds)) < 2:
        return checks
    for held_out in folds:
        others = [fold for fold in folds if fold is not held_out]
        fit = fit_scores(_of_both_sides(others))
        values = choose_thresholds(others, fit, policy, budget=budget).values
        labels, replay = held_out.labels, FoldReplay.of(held_out, fit, values, policy)
        stream, incidents = replay.whole
        caught = np.zeros(len(labels), np.bool_)
        for incident in incidents:
            caught[stream.rows[incident.rows]] = True
        _, false = replay.benign
        found = {
            LABEL_NAMES[label]: float(caught[labels == label].mean())
            for label in np.unique(labels[labels > 0])
        }
        name, benign = held_out.prepared.name, int((labels == 0).sum())
        checks.append(SiteCheck(name, benign, len(false), found, SiteIncidents.of(replay)))
    return checks


@dataclass(frozen=True)
class Fitted:
    """What held-out scores tell: figures, the calibration and thresholds."""

    figures: list[EnvironmentFigures]
    calibration: PlattFit
    thresholds: Thresholds
    checks: list[SiteCheck]  # what thresholds chosen on the others do on each environment
    judged: list[SiteIncidents]  # those of the checks, and of the witnesses

    @classmethod
    def to(cls, folds: Sequence[Fold], policy: Policy, witnesses: Sequence[Fold] = ()) -> Fitted:
        """Fit all of it.

        Witnesses are environments with attacks, and too little benign traffic for figures: they
        tell what attacks open, and no more.
        """
        both = _of_both_sides(folds)
        calibration = fit_scores(both)
        thresholds = choose_thresholds(folds, calibration, policy)
        checks = cross_check(folds, policy)
        judged = [
            SiteIncidents.of(
                FoldReplay.of(fold, calibration, thresholds.values, policy)
            ).attacks_alone()
            for fold in witnesses
        ]
        return cls(
            [measure(fold) for fold in both],
            calibration,
            thresholds,
            checks,
            [*(check.judged for check in checks), *judged],
        )

    @property
    def judged_incidents(self) -> list[JudgedIncident]:
        """All that opened on networks held out."""
        return [incident for site in self.judged for incident in site.incidents]

    def confidence(self, pairs: Curve | None = None) -> Confidence | None:
        """The confidence of incidents; None where there are too few to tell."""
        values, base_rate = self.thresholds.values, self.calibration.base_rate
        return fit_confidence(self.judged, values, base_rate, pairs)

    @cached_property
    def reliability(self) -> list[ReliabilityBin]:
        """What a confidence fitted to the other environments is worth on each."""
        incidents = self.judged_incidents
        return reliability(incidents, confidence_without_site(incidents))

    def as_dict(self, seed: int) -> dict[str, Any]:
        """All of it for the manifest."""
        return {
            "seed": seed,
            "leave_one_environment_out": as_dict(self.figures),
            "calibration": {"brier": self.calibration.brier, "error": self.calibration.error},
            "incidents": {
                "false_incidents_per_10000_benign_flows": self.thresholds.false_per_10k,
                "thresholds_of_the_others": {
                    check.name: {
                        "benign": check.benign,
                        "false_incidents": check.false,
                        "malicious_flows_in_incidents": dict(check.found),
                    }
                    for check in self.checks
                },
            },
            "confidence": [asdict(found) for found in self.reliability],
        }
