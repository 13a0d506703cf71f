"""Whether scores are probabilities on a network held out, before and after fitting them there."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from zeekml.ensemble import probability
from zeekml.ensemble.probability import EVEN, apply_platt, fit_platt
from zeekml.evaluation.scores import HeldOut, SeedRun, Study
from zeekml.evaluation.sections.timesplit import early_and_late
from zeekml.evaluation.sections.wording import over_seeds, spread_data, table_of
from zeekml.html.figures import LineSeries, lines
from zeekml.html.sections import NOT_RESOLVED, Figure, Section
from zeekml.training.platt_fit import BASE_RATE, prior_weights
from zeekml.training.ranking import Flags, Floats

EARLY_SHARE: Final = 0.4
BINS: Final = 15
FEWEST: Final = 50
"""Flows of each side that both parts of an environment must have."""

_LOWEST: Final = 1e-4


# Brier score, calibration error and (3, bins): mean score, observed share of malicious rows, share
# of the mass; of scores on the later part of a site
_Fit = tuple[float, float, Floats]
_WHEN: Final = ("before", "after")


def calibration_section(study: Study) -> Section:
    """Brier score, calibration error and reliability, before and after a fit to the site."""
    rows: list[dict[str, str]] = []
    data: dict[str, Any] = {}
    curves: dict[str, list[Floats]] = {}
    columns = [
        (f"{title} {when}", number, order)
        for number, title in enumerate(("Brier", "ECE"))
        for order, when in enumerate(_WHEN)
    ]
    for site in study.held_out:
        found = [_both(study, site, run) for run in site.runs]
        known = [pair for pair in found if pair is not None]
        if len(known) < len(found):
            cells = dict.fromkeys((head for head, _, _ in columns), NOT_RESOLVED)
            data[site.name] = None
        else:
            numbers = {
                head: np.array([pair[order][number] for pair in known])
                for head, number, order in columns
            }
            cells = {head: over_seeds(values, digits=4) for head, values in numbers.items()}
            data[site.name] = {
                head.replace(" ", "_").lower(): spread_data(v) for head, v in numbers.items()
            }
            for order, when in enumerate(_WHEN):
                curves.setdefault(when, []).extend(pair[order][2] for pair in known)
        rows.append({"environment": site.name, **cells})
    share, source = BASE_RATE, "comes from other environments"
    if study.bundle is not None:
        share, source = study.bundle.calibration.base_rate, "is the bundle's own"
    return Section(
        key="calibration",
        title="Are scores probabilities?",
        prose=[
            f"Prior: flows are weighted so that {share:.0%} of them are malicious, which is what "
            "scores are probabilities for, whatever the recording holds. A score that always "
            f"said {share:.0%} would have a Brier score of {share * (1 - share):.4f} and an ECE "
            "of 0: it would be honest and useless. Read both with the ranking figures.",
            f"Before: the calibration {source}. After: it was fitted to the labelled "
            f"flows in the first {EARLY_SHARE:.0%} of each recording's time. Both are "
            "measured on the rest of it. ECE is the mean distance between score and observed "
            f"share over {BINS} bins of equal mass. {NOT_RESOLVED} stands where one of the parts "
            f"has fewer than {FEWEST} flows of a side.",
        ],
        tables=[table_of("Later part of each environment", rows)],
        figures=[_picture(curves)] if curves else [],
        data={"prior": share, "early_share": EARLY_SHARE, "bins": BINS, "environments": data},
    )


def _both(study: Study, site: HeldOut, run: SeedRun) -> tuple[_Fit, _Fit] | None:
    if run.calibration is None:
        return None
    judged = study.judged[site.name]
    early, late = early_and_late(site.prepared.environment, EARLY_SHARE, gap=False)
    early, late = early[judged.rows], late[judged.rows]
    z, bad = run.prediction.log_odds[judged.rows], judged.malicious
    if min((side & part).sum() for side in (bad, ~bad) for part in (early, late)) < FEWEST:
        return None
    rate = run.calibration.base_rate
    try:
        slope, intercept = fit_platt(z[early], bad[early], prior_weights(bad[early], EVEN))
    except ValueError:
        # the first part ranks the wrong way round: nothing can be fitted to it
        return None
    intercept += math.log(rate / (1 - rate))
    before = _fit(run.calibration.scores(z[late]), bad[late], rate)
    return before, _fit(apply_platt(z[late], slope, intercept), bad[late], rate)


def _fit(scores: Floats, malicious: Flags, rate: float) -> _Fit:
    weights = prior_weights(malicious, rate)
    error = probability.expected_calibration_error(scores, malicious, weights, BINS)
    bins = np.array(probability.reliability_bins(scores, malicious, weights, BINS))
    return probability.brier(scores, malicious, weights), error, bins


def _picture(curves: dict[str, list[Floats]]) -> Figure:
    drawn = []
    for when, found in curves.items():
        # environments' and seeds' bins, put together by score
        bins = np.concatenate(found, axis=1)
        bins = bins[:, np.argsort(bins[0], kind="stable")]
        points = [
            np.average(group[:2], axis=1, weights=group[2])
            for group in np.array_split(bins, min(BINS, bins.shape[1]), axis=1)
        ]
        x, y = np.maximum(np.array(points), _LOWEST).T
        drawn.append(LineSeries(when, x, y))
    return Figure(
        lines(
            drawn,
            x_axis="mean score",
            y_axis="observed share malicious",
            limits=(_LOWEST, 1.0),
            logarithmic=True,
            diagonal=True,
            markers=True,
        ),
        f"Reliability, environments weighing the same, at the prior; shares below {_LOWEST:g} are "
        "drawn there. On the line, scores are probabilities.",
        "Reliability diagram before and after calibration on the site",
    )
