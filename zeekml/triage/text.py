"""Words about an incident that a screen and a page share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from zeekml.detection.attack_ids import TACTICS
from zeekml.detection.policy import Policy
from zeekml.triage.incident_list import Totals, Tracked

SIGNS: Final = {"critical": "!!!", "high": "!! ", "medium": "!  ", "low": ".  "}


def severity_words(severity: str) -> str:
    """Word and sign of a severity, for where there is no colour and no column to fill."""
    return f"{severity} {SIGNS[severity].strip()}"


def tactics(totals: Totals, policy: Policy | None) -> list[tuple[str, int]]:
    """Incidents by ATT&CK tactic, as the policy assigns it to their threats."""
    named: Mapping[str, str] = {d.threat: d.tactic for d in policy.detectors} if policy else {}
    counts: Counter[str] = Counter()
    for threat, count in totals.threats:
        tactic = named.get(threat, "")
        counts[f"{tactic} {TACTICS.get(tactic, '')}".strip() or f"({threat})"] += count
    return counts.most_common()


def agreement(incident: Tracked) -> str:
    """How far the members agree: the score, and their standard deviation around it."""
    line = incident.latest
    return f"{line.score:.3f}" if line.spread is None else f"{line.score:.3f}±{line.spread:.3f}"
