"""Which pairs of hosts are told of: the ledger, its ensemble and the policy together."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from zeekml.detection.candidates import PairFinding
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.pair_models import PAIR_THREATS, PairEnsemble, PairModels
from zeekml.pairs.layout import MICROS, Records
from zeekml.pairs.ledger import PairLedger
from zeekml.pairs.pair_timing import timing_of
from zeekml.pairs.pair_words import in_words
from zeekml.readers.record_dates import RecordDates

TELL_EVERY: Final = 86_400
"""Seconds of record time in which a pair is told of once for each threat."""


class PairWatch:
    """The pairs of one stream.

    Parameters
    ----------
    models
        Of the bundle.
    policy
        Whose detectors say from which score on pairs are told of; `go_by` one before `add` if it
        is not given.
    ledger
        One that goes on; a new one if it is not given.

    Attributes
    ----------
    dates
        Contacts of other dates are counted, too, but nothing is told at them.
    """

    def __init__(
        self, models: PairModels, policy: Policy | None = None, ledger: PairLedger | None = None
    ) -> None:
        self.ledger = PairLedger() if ledger is None else ledger
        self.dates: RecordDates | None = None
        self._automatic = models.thresholds
        self._ensemble = PairEnsemble(models)
        self.thresholds: dict[str, float] = {}
        if policy is not None:
            self.go_by(policy)

    def go_by(self, policy: Policy) -> None:
        """Judge what follows by a policy."""
        for detector in policy.detectors:
            if (threat := detector.threat) in PAIR_THREATS:
                own = self._automatic[threat] if detector.pairs is None else detector.pairs
                self.thresholds[threat] = own if detector.enabled else math.inf

    @classmethod
    def of(
        cls, bundle: Bundle, policy: Policy | None = None, ledger: PairLedger | None = None
    ) -> PairWatch | None:
        """One for the pair ensemble of a bundle, if it has one."""
        return None if bundle.pairs is None else cls(bundle.pairs, policy, ledger)

    def add(self, contacts: Records) -> list[PairFinding]:
        """Take in the contacts of a batch of flows; what there is to tell, in their order."""
        contacts = self.ledger.sessions.count(contacts)
        looks = self.ledger.take(contacts)
        if self.dates is not None:
            looks = looks[self.dates.wanted(contacts["end"][looks["number"]] / MICROS)]
        if not len(looks):
            return []
        scores = self._ensemble.score(looks)
        found: list[PairFinding] = []
        told: dict[tuple[int, int], int] = {}
        for number, look in enumerate(looks):
            threat = PAIR_THREATS[scores.threat[number]]
            if scores.score[number] < self.thresholds[threat]:
                continue
            place, now = int(look["place"]), int(look["now"])
            kind = int(scores.threat[number])
            before = told.get((place, kind), int(look["pair"]["told"][kind]))
            if before and now - before < TELL_EVERY * MICROS:
                continue
            told[place, kind] = now
            self.ledger.told(place, kind, now)
            contact = contacts[look["number"]]
            one = looks[number : number + 1]
            still_open = bool(contact["open"])
            lasted = float((contact["end"] - contact["start"]) / MICROS)
            found.append(
                PairFinding(
                    row=int(contact["row"]),
                    clock=float(contact["clock"] / MICROS),
                    end=float(contact["end"] / MICROS),
                    threat=THREATS.index(threat),
                    score=float(scores.score[number]),
                    members=tuple(np.asarray(scores.members[number], np.float64).tolist()),
                    told=in_words(one, threat, lasted if still_open else None),
                    timing=timing_of(one),
                    still_open=still_open,
                )
            )
        return found
