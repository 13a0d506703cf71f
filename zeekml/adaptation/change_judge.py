"""What a change does: to labelled incidents, to the reference set, to the number of notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.adaptation.bundle_change import BundleChange
from zeekml.adaptation.examples import Example, features_of
from zeekml.adaptation.labelled_site import LabelledSite
from zeekml.adaptation.what_opens import Detection
from zeekml.detection.site_rules import SiteRules
from zeekml.ensemble.classes import CLASSES, THREATS
from zeekml.ensemble.probability import evidence
from zeekml.ensemble.reference_rows import BENIGN, ReferenceRows
from zeekml.ensemble.scoring import Ensemble, Scores
from zeekml.features.feature_schema import FEATURES

TOP: Final = 5
"""Rows of an episode of the reference whose mean evidence decides."""

Matrix = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass
class ChangeJudge:
    """Judges changes of one bundle at one site."""

    detection: Detection
    site: LabelledSite
    reference: ReferenceRows | None

    def with_change(self, change: BundleChange) -> Detection:
        """How candidates are judged after a change."""
        changed = change.on(self.detection.bundle)
        return replace(self.detection, bundle=changed, rescores=change.rescores)

    def raises(self, by: Detection, example: Example) -> bool:
        """Whether the rows of an example raise an incident, each of them being all there is."""
        if example.candidates is not None:
            return bool(by.incidents([example.candidates]))
        if example.of_flow:
            return self._found(by, example.matrix)
        # an incident that was raised, by the flow that opened it
        return not bool(self._covered(by, example.matrix)[THREATS.index(example.threat)].any())

    def volume(self, by: Detection) -> tuple[Counter[str], set[str]]:
        """Incidents at the site that are not known to be true, by threat; and what is raised still.

        That is the ids of the examples that the logs hold, or of all incidents that are kept.
        """
        if self.site.traffic is not None:
            return self.site.raised(by)
        true = {example.id for example in self.site.examples if example.truth}
        found: Counter[str] = Counter()
        met = set()
        covered = self._covered(by, self._first_flows)
        for number, incident in enumerate(self.site.kept):
            if not covered[THREATS.index(incident.threat), number]:
                met.add(incident.id)
                found[incident.threat] += incident.id not in true
        return found, met

    def recall(self, by: Detection) -> dict[str, float]:
        """Share of the reference's attacks that are found, by threat; empty without one."""
        if self.reference is None:
            return {}
        reference = self.reference
        scores = _scores(by, reference.matrix) if by.rescores else self._reference_scores
        covered = self._covered(by, reference.matrix)
        found: dict[str, list[bool]] = {}
        order = np.argsort(reference.episodes, kind="stable")
        starts = np.flatnonzero(np.diff(reference.episodes[order], prepend=BENIGN - 1))
        for rows in np.split(order, starts[1:]):
            if reference.episodes[rows[0]] != BENIGN:
                told = CLASSES[int(reference.labels[rows[0]])]
                found.setdefault(told, []).append(_is_found(by, scores, covered, rows))
        return {threat: float(np.mean(found[threat])) for threat in THREATS if threat in found}

    @cached_property
    def _reference_scores(self) -> Scores:
        """Of the members as they are."""
        assert self.reference is not None
        return _scores(self.detection, self.reference.matrix)

    @cached_property
    def _first_flows(self) -> Matrix:
        """The features of the flow that opened each kept incident; NaN where they are not kept."""
        found = np.full((len(self.site.kept), len(FEATURES)), np.nan, np.float32)
        for number, incident in enumerate(self.site.kept):
            found[number : number + 1] = features_of(incident) if incident.evidence else np.nan
        return found

    def _found(self, by: Detection, matrix: Matrix) -> bool:
        """Whether flows that raised nothing would be strong enough for an incident."""
        if not len(matrix):
            return False
        scores = _scores(by, matrix)
        return _is_found(by, scores, self._covered(by, matrix), np.arange(len(matrix)))

    def _covered(self, by: Detection, matrix: Matrix) -> Flags:
        """Which rows the site rules cover, for each threat: (threats, n)."""
        rules = SiteRules(by.bundle.manifest.site_rules, by.policy)
        found = np.zeros((len(THREATS), len(matrix)), bool)
        for rule, rows in zip(rules.rules, rules.covered(matrix), strict=True):
            found[THREATS.index(rule.threat)] |= rows
        return found


def _scores(by: Detection, matrix: Matrix) -> Scores:
    return Ensemble(by.bundle).score(np.ascontiguousarray(matrix))


def _is_found(by: Detection, scores: Scores, covered: Flags, rows: npt.NDArray[np.intp]) -> bool:
    """Whether the strongest rows together reach the threshold of the threat they are called."""
    shares = np.nan_to_num(scores.classes[rows]).sum(axis=0)
    place = int(np.argmax(shares)) if shares.any() else THREATS.index("malware")
    own = rows[~covered[place, rows]]
    thresholds: Mapping[str, float] = by.thresholds
    if not len(own) or THREATS[place] not in thresholds:
        return False
    base_rate = by.bundle.manifest.calibration.base_rate
    strongest = np.sort(evidence(scores.score[own], base_rate))[-TOP:]
    return bool(strongest.mean() >= evidence(thresholds[THREATS[place]], base_rate))
