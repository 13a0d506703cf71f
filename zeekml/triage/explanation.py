"""The explanation of one incident, and the allowlist entry that would have suppressed it, no more.

`zeekml explain`, the report page and the dashboard say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
import numpy as np

from zeekml.detection.allowlist import Scope, expiry_from_now, is_domain
from zeekml.detection.flow_rules import rule_in
from zeekml.detection.incidents.message import has_ports
from zeekml.detection.notice import SHORT_DIGEST
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.explanation import Contribution, amount, explain, phrase
from zeekml.ensemble.scoring import Ensemble
from zeekml.errors import DataError, InputError
from zeekml.features.feature_schema import FEATURES, SCHEMA_HASH
from zeekml.features.name_shapes import registered_domain
from zeekml.pairs.pair_timing import PairTiming
from zeekml.triage.notice_reader import NoticeLine, OpeningFlow

MOST_REASONS: Final = 12


@dataclass(frozen=True)
class Reason:
    """Something that raised the score, in words."""

    contribution: Contribution
    words: str
    usual: str  # the usual value, and where most lie
    place: str  # where the value lies among the usual ones


@dataclass(frozen=True)
class Explained:
    """One incident explained, by the last of its lines that has evidence."""

    lines: Sequence[NoticeLine]  # all that are kept, in order; the last tells how it stands
    told: NoticeLine  # that one, or the last of all if none has
    reasons: Sequence[Reason]  # empty if the bundle at hand is not the one that scored
    same_bundle: bool  # whether it is
    usual_is_of: str

    @property
    def latest(self) -> NoticeLine:
        """How the incident stands."""
        return self.lines[-1]

    @property
    def members(self) -> list[float]:
        """Each member's score of the flow that is explained."""
        return [] if self.told.evidence is None else self.told.evidence.members

    @property
    def rule(self) -> str:
        """The floor or rule by which one flow alone opened it; empty if others had to."""
        return rule_in(self.told.why)

    @property
    def agreeing(self) -> int:
        """Members whose own score reaches the threshold."""
        return sum(score >= self.told.threshold for score in self.members)

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        reasons = [
            {**asdict(r.contribution), "words": r.words, "usual_range": r.usual, "place": r.place}
            for r in self.reasons
        ]
        return {
            "notice": self.latest.columns(),
            "lines": [line.columns() for line in self.lines],
            "members": self.members,
            "agreeing_members": self.agreeing,
            "classes": None if self.told.evidence is None else self.told.evidence.classes,
            "same_bundle": self.same_bundle,
            "usual_source": self.usual_is_of,
            "rule": self.rule,
            "reasons": reasons,
            "timing": msgspec.to_builtins(pair_timing(self.lines)),
            "related": msgspec.to_builtins(related_flows(self.lines)),
            "silence": allow_command(self.latest),
        }


def pair_timing(lines: Sequence[NoticeLine]) -> PairTiming | None:
    """When the contacts were of the pair of hosts that the latest of the lines tells of."""
    kept = (line.evidence.timing for line in reversed(lines) if line.evidence is not None)
    return next((timing for timing in kept if timing is not None), None)


def related_flows(lines: Sequence[NoticeLine]) -> list[OpeningFlow]:
    """The flows that opened an incident, the strongest first, as far as its lines are kept."""
    kept = (line.evidence.related for line in lines if line.evidence is not None)
    return next((related for related in kept if related), [])


def explain_incident(
    lines: Sequence[NoticeLine], bundle: Bundle, ensemble: Ensemble | None = None
) -> Explained:
    """Put together what is known of an incident, of which `lines` come from `find_incident`.

    Reasons are computed from the models of `bundle` if that is the one that scored; `ensemble` is
    one made from it already, for many incidents. `DataError`: the evidence is damaged.
    """
    at = next((line for line in reversed(lines) if line.evidence is not None), lines[-1])
    same = lines[-1].bundle == bundle.short_digest
    reasons: list[Reason] = []
    if same and at.evidence is not None and at.features == SCHEMA_HASH[:SHORT_DIGEST]:
        values = at.evidence.features
        if len(values) != 4 * len(FEATURES):
            raise DataError(f"the evidence of {at.id} is damaged: {len(values) / 4:g} features")
        matrix = np.frombuffer(values, "<f4").astype(np.float32)[None, :]
        # a flow at which a pair was found rests on no features of its own
        of_flow = not np.isnan(matrix).all()
        found = explain(ensemble or Ensemble(bundle), matrix, MOST_REASONS)[0] if of_flow else []
        reasons = [_reason(item, bundle) for item in found]
    return Explained(lines, at, reasons, same, bundle.manifest.usual_source)


def _reason(item: Contribution, bundle: Bundle) -> Reason:
    feature, value = item.feature, item.value
    usual = bundle.manifest.usual.get(feature)
    if isinstance(value, str) or isinstance(item.usual, str) or usual is None:
        words = phrase(feature, value)
        if isinstance(value, str) and ":" not in words:
            # a name alone, such as that of a service, does not say what it is the name of
            words = f"{feature.replace('_', ' ')}: {words}"
        return Reason(item, words, amount(feature, item.usual), "")
    low, high = amount(feature, usual.p05), amount(feature, usual.p95)
    if value > usual.p95:
        place = "above 95 % of what is usual"
    elif value < usual.p05:
        place = "below 95 % of what is usual"
    else:
        place = "above half of what is usual" if value > usual.p50 else "within what is usual"
    around = f"{amount(feature, usual.p50)} ({low} to {high})"
    return Reason(item, phrase(feature, value), around, place)


def scopes(line: NoticeLine) -> dict[str, Scope]:
    """The scopes of the entry: what all flows of an incident share, and its note."""
    hosts = (("src", line.src), ("dst", line.dst))
    shared: dict[str, Scope] = {name: host for name, host in hosts if host}
    if line.p is not None and has_ports(line.proto):
        shared["port"] = line.p
    domains = {registered_domain(name) for name in line.names}
    if not line.dst and len(domains) == 1 and is_domain(domain := domains.pop()):
        # what is behind one name may have many addresses
        shared["domain"] = domain
    return {**shared, "note": line.note}


def allow_command(line: NoticeLine) -> str:
    """The command that adds the entry; reason and owner are left to whoever runs it."""
    options = " ".join(f"--{name} {value}" for name, value in scopes(line).items())
    return f'zeekml rules allow --rules DIR {options} --reason "..." --owner "..." --expiry 30d'


def entry_for(line: NoticeLine, *, reason: str, owner: str, expiry: str) -> dict[str, Scope]:
    """The entry that covers an incident's flows for its note.

    `InputError`: the flows share no host, so that the entry would suppress the note everywhere; or
    reason, owner or expiry (a date, days from now such as ``30d``, or ``never``) is missing.
    """
    if not (line.src or line.dst):
        remedy = "write an entry by hand (zeekml rules allow)"
        raise InputError(f"the incident's flows share no host; {remedy}")
    given = {"reason": reason.strip(), "owner": owner.strip(), "expiry": expiry.strip()}
    for name, text in given.items():
        if not text:
            raise InputError(f"{name} is needed")
    return {**scopes(line), **given, "expiry": expiry_from_now(given["expiry"])}
