"""How many notices a site's logs give at other thresholds: counted, not estimated.

All thresholds are moved together, on the scale of the log-odds of evidence: by so much that the
notices fit a budget. The same candidates go through the same incidents as ever, so what is counted
is what `zeekml score` writes, grouping, suppression and allowlist included.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from zeekml.calibration.site_traffic import DAY, HOUR, Traffic
from zeekml.core.intervals import poisson_interval
from zeekml.detection.allowlist import Allowlist
from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.policy import Policy
from zeekml.detection.rules import DetectionRules
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.probability import evidence_odds, log_odds, score_at

LOWEST: Final = 0.6
"""Evidence under which no threshold is put: more than a coin's word, in the mean of the top."""

HIGHEST: Final = 0.99
"""Evidence over which no threshold is put. Logs without labels may hold attacks, and a budget must
not be met by raising thresholds until an attack that nobody can mistake is silent."""

STEP: Final = 0.25
_FEW: Final = 5
_TRIMMED: Final = 0.2  # of the days, the busiest: an attack or a fault makes a day, not a site
_LEAST_HOURS: Final = 6  # of a day that is counted as one


@dataclass(frozen=True)
class Volume:
    """Notices at some thresholds."""

    shift: float  # by how much log-odds were moved from the bundle's thresholds
    thresholds: Mapping[str, float]  # on the scale of scores, by threat
    opened: Counter[tuple[int, str]]  # incidents by UTC day (epoch days) and threat
    hosts: Counter[str]  # incidents by the host they share: originator, else responder

    @property
    def total(self) -> int:
        """All incidents."""
        return self.opened.total()

    def by_threat(self) -> dict[str, int]:
        """Incidents by threat."""
        found: Counter[str] = Counter()
        for (_, threat), count in self.opened.items():
            found[threat] += count
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Days:
    """The time that logs cover."""

    hours: Mapping[int, int]  # hours of each UTC day (epoch days) in which there were flows

    @classmethod
    def of(cls, traffic: Traffic) -> Days:
        """The days of what was read."""
        return cls(Counter(hour * HOUR // DAY for hour in traffic.hours))

    @property
    def observed(self) -> float:
        """Days, by the hours that there are flows of."""
        return sum(self.hours.values()) * HOUR / DAY

    def rates(self, volume: Volume) -> list[float]:
        """Incidents per 24 observed hours, of each day that was seen for long enough."""
        counts: Counter[int] = Counter()
        for (day, _), count in volume.opened.items():
            counts[day] += count
        return [
            counts[day] * DAY / (hours * HOUR)
            for day, hours in sorted(self.hours.items())
            if hours >= _LEAST_HOURS
        ]

    def per_day(self, volume: Volume) -> float:
        """Incidents to expect on a day.

        The mean over the days, without the busiest fifth where there are five days or more; over
        all hours where fewer than two days were seen for long enough.
        """
        rates = sorted(self.rates(volume))
        if len(rates) < 2:
            return volume.total / self.observed if self.observed else 0.0
        if len(rates) >= _FEW:
            rates = rates[: len(rates) - int(len(rates) * _TRIMMED)]
        return float(np.mean(rates))

    def interval(self, volume: Volume) -> tuple[float, float]:
        """Where the mean number per day lies, with 95 % confidence.

        The exact interval of a Poisson rate (F. Garwood, 1936), widened by the square root of
        variance over mean of the days where they differ by more than chance.
        """
        if not self.observed:
            return 0.0, math.inf
        centre = self.per_day(volume)
        low, high = poisson_interval(centre * self.observed, self.observed)
        rates = self.rates(volume)
        enough = len(rates) >= 2 and np.mean(rates) > 0
        wider = max(1.0, math.sqrt(np.var(rates, ddof=1) / np.mean(rates))) if enough else 1.0
        return max(0.0, centre - wider * (centre - low)), centre + wider * (high - centre)


def shifted(bundle: Bundle, shift: float) -> dict[str, float]:
    """The bundle's thresholds, moved on the log-odds of evidence and kept within bounds.

    A threshold of the bundle that lies out of bounds is moved towards them only.
    """
    base_rate = bundle.manifest.calibration.base_rate
    lowest, highest = log_odds(LOWEST), log_odds(HIGHEST)
    found = {}
    for threat, threshold in bundle.manifest.thresholds.items():
        at = evidence_odds(threshold, base_rate)
        moved = min(max(at + shift, min(lowest, at)), max(highest, at))
        found[threat] = round(score_at(moved, base_rate), 6)
    # untouched to the last digit: without a shift, nothing changes
    return dict(bundle.manifest.thresholds) if shift == 0 else found


def shifts(bundle: Bundle) -> list[float]:
    """All shifts that make a difference, from strict to lenient, 0 among them."""
    base_rate = bundle.manifest.calibration.base_rate
    places = [evidence_odds(t, base_rate) for t in bundle.manifest.thresholds.values()]
    up = max(0, math.ceil((log_odds(HIGHEST) - min(places)) / STEP))
    down = max(0, math.ceil((max(places) - log_odds(LOWEST)) / STEP))
    return [STEP * number for number in range(up, -down - 1, -1)]


def volume_at(
    traffic: Traffic,
    bundle: Bundle,
    policy: Policy,
    allowlist: Allowlist,
    local_nets: Sequence[str],
    shift: float,
) -> Volume:
    """Count the incidents that thresholds moved by `shift` give."""
    thresholds = shifted(bundle, shift)
    opened: Counter[tuple[int, str]] = Counter()
    hosts: Counter[str] = Counter()
    for stream in traffic.streams:
        rules = DetectionRules.of(
            bundle, policy, sensor=stream.sensor, stream=stream.name, thresholds=thresholds
        )
        incidents = AllowlistFilter(rules, allowlist, local_nets)
        for candidates in stream.candidates():
            for line in incidents.add(candidates, None):
                notice = line.notice
                if notice.state == "open":
                    opened[int(notice.ts // DAY), notice.threat] += 1
                    hosts[notice.src or notice.dst or "many hosts"] += 1
            incidents.take_silenced()
    return Volume(shift, thresholds, opened, hosts)
