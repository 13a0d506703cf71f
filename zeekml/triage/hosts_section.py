"""The hosts of a report: who did, and who was done to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from zeekml.detection.notice import SEVERITIES
from zeekml.html.sections import Section, Table
from zeekml.triage.incident_list import Tracked
from zeekml.triage.text import severity_words

MOST: Final = 200
"""Most hosts that are listed."""


@dataclass
class _Host:
    started: Counter[str] = field(default_factory=Counter)  # incidents by threat
    suffered: Counter[str] = field(default_factory=Counter)
    flows: int = 0
    worst: str = SEVERITIES[0]

    def add(self, incident: Tracked, side: Counter[str]) -> None:
        line = incident.latest
        side[line.threat] += 1
        self.flows += line.flows
        self.worst = max(self.worst, line.severity, key=SEVERITIES.index)


def hosts_section(incidents: Sequence[Tracked]) -> Section:
    """A row for each host that all flows of some incident share, the worst first."""
    hosts: dict[str, _Host] = {}
    for incident in incidents:
        line = incident.latest
        if line.src:
            host = hosts.setdefault(line.src, _Host())
            host.add(incident, host.started)
        if line.dst:
            host = hosts.setdefault(line.dst, _Host())
            host.add(incident, host.suffered)
    order = sorted(
        hosts.items(),
        key=lambda item: (
            -SEVERITIES.index(item[1].worst),
            -(item[1].started.total() + item[1].suffered.total()),
            item[0],
        ),
    )
    rows = [
        [
            name,
            severity_words(host.worst),
            _counts(host.started),
            _counts(host.suffered),
            f"{host.flows:,}",
        ]
        for name, host in order[:MOST]
    ]
    prose = ["A host is named where all flows of an incident share it."]
    if len(order) > MOST:
        prose.append(f"{len(order) - MOST:,} further hosts are not listed.")
    table = Table(
        "Hosts, those with the most severe incident first",
        ["host", "worst", "did", "suffered", "flows"],
        rows,
    )
    return Section("hosts", "Hosts", prose, [table] * bool(rows))


def _counts(threats: Counter[str]) -> str:
    return ", ".join(f"{threat} {count:,}" for threat, count in threats.most_common()) or "-"
