"""`zeekml calibrate`: thresholds that fit a site's own logs and a budget of notices.

No labels are needed, and none could be trusted to be there. So the logs may hold attacks, and what
is chosen must not fall silent because of them: related flows count once, as incidents; the busiest
days do not count; no threshold goes above `volume.HIGHEST`; and what then remains above the budget
is named by host, for a person to look into.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from zeekml.calibration.notice_volume import HIGHEST, Days, Volume, shifts, volume_at
from zeekml.calibration.site_traffic import Traffic, read_traffic
from zeekml.config import Config
from zeekml.core.markdown import plain, table
from zeekml.detection.allowlist import Allowlist
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.errors import DataError
from zeekml.readers.files.discovery import Stream
from zeekml.readers.shortfall import shortfall

Progress = Callable[[int, int], None]

FEW_DAYS: Final = 2.0
"""Observed days below which a number per day says little, and thresholds are moved up by no more
than `CAUTIOUS`, and never down: one attack in one day's logs would be taken for how the site is."""

CAUTIOUS: Final = 1.0
"""On the log-odds of evidence."""

_HOSTS: Final = 5
_LOUD: Final = 0.2  # of all incidents, from which on a host is named


@dataclass(frozen=True)
class Calibrated:
    """What was found and chosen."""

    bundle: Bundle  # the new one, as read back
    parent: Bundle
    budget: float  # notices per day that were asked for
    traffic: Traffic  # what was read
    days: Days
    curve: Sequence[Volume]  # from strict to lenient thresholds
    chosen: Volume  # at the new thresholds and at the parent's
    before: Volume
    within: bool  # whether the budget is met

    def warnings(self) -> list[str]:
        """What whoever asked should know, a sentence each."""
        found = []
        if self.days.observed < FEW_DAYS:
            low, high = self.days.interval(self.chosen)
            found.append(
                f"only {self.days.observed:.1f} days of traffic were seen: the number per day is "
                f"known no better than {low:.1f} to {high:.1f}, and thresholds were moved up by "
                f"{CAUTIOUS:g} at most; calibrate again on a week or more"
            )
        if not self.within:
            bound = f", since no threshold is put above evidence of {HIGHEST:g}"
            remain = f"{self.days.per_day(self.chosen):.1f} remain"
            found.append(
                f"the budget of {self.budget:g} a day is not met: {remain}"
                f"{bound if self.days.observed >= FEW_DAYS else ''}; look into the hosts "
                "with most incidents, and put what is known on the allowlist"
            )
        for host, count in self.loud():
            found.append(
                f"{host} has {count:,} of {self.chosen.total:,} incidents: worth a look, or an "
                "entry in the allowlist"
            )
        if self.bundle.manifest.usual_source != "site":
            found.append("too few ordinary flows to say what is usual here: the bundle's stays")
        return found

    def loud(self) -> list[tuple[str, int]]:
        """Hosts with a large share of the incidents."""
        least = max(3, _LOUD * self.chosen.total)
        most = self.chosen.hosts.most_common(_HOSTS)
        return [(plain(host), count) for host, count in most if count >= least]

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        low, high = self.days.interval(self.chosen)
        return {
            "bundle": str(self.bundle.path),
            "sha256": self.bundle.digest,
            "parent": self.parent.digest,
            "notices_per_day": self.budget,
            "expected_per_day": self.days.per_day(self.chosen),
            "interval": [low, high],
            "within_budget": self.within,
            "records_read": self.traffic.counters.records_read,
            "records_scored": self.traffic.counters.accepted,
            "observed_days": self.days.observed,
            "rates_by_day": self.days.rates(self.chosen),
            "notices": self.chosen.by_threat(),
            "notices_before": self.before.by_threat(),
            "thresholds": dict(self.chosen.thresholds),
            "curve": [
                {
                    "shift": volume.shift,
                    "per_day": self.days.per_day(volume),
                    "notices": volume.by_threat(),
                    "thresholds": dict(volume.thresholds),
                }
                for volume in self.curve
            ],
            "hosts": dict(self.chosen.hosts.most_common(_HOSTS)),
            "usual_source": self.bundle.manifest.usual_source,
            "warnings": self.warnings(),
        }


def calibrate(
    streams: Sequence[Stream],
    out: Path,
    *,
    notices_per_day: float,
    bundle: Bundle,
    policy: Policy,
    allowlist: Allowlist,
    config: Config,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    trying: Callable[[int, int], None] | None = None,
) -> Calibrated:
    """Choose thresholds for a site and write a bundle with them.

    `progress` is called with bytes read and records scored since the last call, `trying` with
    thresholds tried and thresholds in all. Raises `DataError` if nothing could be scored,
    `ConfigError` if the policy asks for a threshold that the bundle does not have, and
    `OutputError` if the bundle cannot be written.
    """
    policy.thresholds(bundle.manifest.thresholds)
    with tempfile.TemporaryDirectory(prefix="zeekml-") as work:
        traffic = read_traffic(streams, bundle, policy, config, Path(work), progress=progress)
        if not traffic.counters.accepted:
            raise DataError(f"{shortfall(traffic.counters, streams)}")
        steps, tell = shifts(bundle), trying or (lambda done, total: None)
        curve = []
        for number, shift in enumerate(steps):
            tell(number, len(steps))
            curve.append(volume_at(traffic, bundle, policy, allowlist, config.local_nets, shift))
        tell(len(steps), len(steps))
    days = Days.of(traffic)
    chosen, within = choose(curve, days, notices_per_day)
    before = next(volume for volume in curve if volume.shift == 0)
    usual = traffic.usual
    manifest = bundle.manifest
    new = replace(
        NewBundle.from_parent(bundle),
        name=name or manifest.name,
        thresholds=chosen.thresholds,
        usual={**manifest.usual, **usual},
        usual_source="site" if usual else manifest.usual_source,
        profile=traffic.profile or manifest.profile,
        evaluation={
            **manifest.evaluation,
            "site": {
                "notices_per_day": notices_per_day,
                "expected_per_day": days.per_day(chosen),
                "interval": list(days.interval(chosen)),
                "observed_days": days.observed,
                "records": traffic.counters.accepted,
            },
        },
        model_card=_card(bundle, notices_per_day, traffic, days, curve, chosen),
    )
    made = write_bundle(out, new, overwrite=overwrite)
    return Calibrated(made, bundle, notices_per_day, traffic, days, curve, chosen, before, within)


def choose(curve: Sequence[Volume], days: Days, budget: float) -> tuple[Volume, bool]:
    """The most lenient thresholds of a curve that keep to the budget, and whether any do."""
    allowed = list(curve)
    if days.observed < FEW_DAYS:
        allowed = [volume for volume in curve if 0 <= volume.shift <= CAUTIOUS]
    chosen, within = allowed[0], False
    for volume in allowed:
        if days.per_day(volume) > budget:
            break
        chosen, within = volume, True
    return chosen, within


def _card(
    bundle: Bundle,
    budget: float,
    traffic: Traffic,
    days: Days,
    curve: Sequence[Volume],
    chosen: Volume,
) -> str:
    low, high = days.interval(chosen)
    threats = list(bundle.manifest.thresholds)
    rows = [
        [
            f"{volume.shift:+g}{' (chosen)' if volume is chosen else ''}",
            f"{days.per_day(volume):.1f}",
            *(f"{volume.by_threat().get(threat, 0):,}" for threat in threats),
        ]
        for volume in curve
    ]
    thresholds = [
        [threat, f"{bundle.manifest.thresholds[threat]:.4f}", f"{chosen.thresholds[threat]:.4f}"]
        for threat in threats
    ]
    whose = "those of the site's ordinary flows" if traffic.usual else "the parent's"
    usual = f"Usual values are {whose}."
    return f"""{bundle.model_card.rstrip()}

## Calibrated for a site
The members are those of {bundle.digest[:12]}. Thresholds were moved for {budget:g} notices a day on
{traffic.counters.accepted:,} flows of {days.observed:.1f} observed days, without labels:
{days.per_day(chosen):.1f} are expected (95 % interval {low:.1f} to {high:.1f}). {usual}
Figures further up that rest on thresholds are about the parent's.

{table(["threat", "threshold before", "now"], thresholds)}

Incidents on these logs, with all thresholds moved on the log-odds of evidence:

{table(["moved by", "a day", *threats], rows)}
"""
