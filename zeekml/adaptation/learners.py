"""Ways to learn a change from labels, one for each kind and strength."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from zeekml.adaptation.bundle_change import BundleChange
from zeekml.adaptation.change_judge import ChangeJudge
from zeekml.adaptation.examples import Example
from zeekml.adaptation.heads import STRENGTHS, HeadFit, HeadRows
from zeekml.adaptation.rule_learning import Others, learn_rules
from zeekml.ensemble.probability import evidence_odds, log_odds, score_at
from zeekml.ensemble.scoring import Ensemble

FARTHEST_THRESHOLD: Final = 2.0
"""By how much, in log-odds of evidence, a threshold may be raised."""

_ABOVE: Final = 0.1  # of the false alarms, in log-odds
_FEWEST_MEMBERS: Final = 3


@dataclass(frozen=True)
class Learner:
    """Makes a change of examples."""

    name: str  # the kind of change, with its strength
    learn: Callable[[Sequence[Example]], BundleChange]


def learners(judge: ChangeJudge) -> list[Learner]:
    """The learners that this bundle, this site and its labels allow, from mild to strong."""
    examples, reference = judge.site.examples, judge.reference
    bundle = judge.detection.bundle
    found = []
    with_logs = judge.site.traffic is not None
    if with_logs and any(e.peak is not None and not e.truth for e in examples):
        found.append(Learner("thresholds", lambda e: _thresholds(judge, e)))
    if reference is None:
        return found
    benign = reference.labels == 0
    if with_logs and len(bundle.models) > _FEWEST_MEMBERS:
        found.append(Learner("members", lambda e: _members(judge, e)))
    other = judge.site.ordinary if len(judge.site.ordinary) else reference.matrix[benign]
    others = Others.of(reference.matrix[~benign], other)
    taken = [rule.name for rule in bundle.manifest.site_rules]
    found.append(
        Learner(
            "rules",
            lambda e: BundleChange("rules", rules=learn_rules(e, others, bundle, taken=taken)),
        )
    )
    if with_logs and HeadFit.possible(bundle):
        fit = HeadFit(bundle, HeadRows.of(reference, judge.site.ordinary))
        found += [
            Learner(
                f"heads, penalty {strength:g}",
                lambda e, s=strength: BundleChange("heads", models=fit.fit(e, s)),  # type: ignore[misc]
            )
            for strength in STRENGTHS
        ]
    return found


def _thresholds(judge: ChangeJudge, examples: Sequence[Example]) -> BundleChange:
    """Raise the threshold of each threat above its false alarms, but not above true ones."""
    bundle, policy = judge.detection.bundle, judge.detection.policy
    base_rate = bundle.manifest.calibration.base_rate
    raised = {}
    for detector in policy.detectors:
        threat = detector.threat
        own = [e for e in examples if e.threat == threat and e.peak is not None]
        false = [_odds(e) for e in own if not e.truth]
        if detector.threshold is not None or not false:
            continue
        now = evidence_odds(bundle.manifest.thresholds[threat], base_rate)
        new = min(max(false) + _ABOVE, now + FARTHEST_THRESHOLD)
        true = [_odds(e) for e in own if e.truth]
        if true:
            new = min(new, min(true) - _ABOVE)
        if new > now:
            raised[threat] = round(score_at(new, base_rate), 6)
    return BundleChange("thresholds", thresholds=raised)


def _odds(example: Example) -> float:
    return log_odds(min(max(float(example.peak or 0.0), 1e-9), 1 - 1e-9))


def _members(judge: ChangeJudge, examples: Sequence[Example]) -> BundleChange:
    """The members, all but two at most, that tell attacks from the false alarms best."""
    bundle, reference = judge.detection.bundle, judge.reference
    assert reference is not None
    ensemble = Ensemble(bundle)
    false = [e.matrix for e in examples if not e.truth and e.known]
    true = [e.matrix for e in examples if e.truth and e.known]
    if not false:
        return BundleChange("members")
    attacks = np.concatenate([reference.matrix[reference.labels > 0], *true])
    high, low = (
        ensemble.score(np.ascontiguousarray(rows)).members
        for rows in (attacks, np.concatenate(false))
    )
    count = len(bundle.models)
    best, chosen = -1.0, tuple(range(count))
    for size in range(count, _FEWEST_MEMBERS - 1, -1):
        for members in itertools.combinations(range(count), size):
            own = list(members)
            bad, good = (np.log(m[:, own] / (1 - m[:, own])).mean(axis=1) for m in (high, low))
            # share of the attacks that stand above nine in ten of the false alarms' flows
            share = float((bad > np.quantile(good, 0.9)).mean())
            if share > best + 1e-9:
                best, chosen = share, members
    return BundleChange("members", members=() if len(chosen) == count else chosen)
