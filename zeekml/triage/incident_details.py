"""The report page's section on one incident: what happened, why, its flows, how to suppress it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zeekml.core.units import when
from zeekml.ensemble.scoring import Ensemble
from zeekml.html.sections import Section, Table
from zeekml.triage.explanation import Explained, explain_incident
from zeekml.triage.incident_list import Tracked
from zeekml.triage.notice_reader import NoticeLine, RelatedFlow

_LINES: Final = 20


def key_of(incident: str) -> str:
    """The key of the section about an incident."""
    return f"incident-{incident}"


def incident_section(
    incident: Tracked,
    lines: Sequence[NoticeLine],
    counterparts: Sequence[Tracked],
    ensemble: Ensemble,
    out: Path,
) -> Section:
    """All about one incident, as the incident list has it and as evidence.jsonl does (`lines`)."""
    line = incident.latest
    prose = [line.msg, f"{line.note}: {line.sub}" if line.sub else line.note]
    if line.signatures:
        prose.append("Suricata alerts on its flows: " + "; ".join(line.signatures))
    prose += [
        f"Another sensor saw the same: {other.latest.msg} (incident {other.latest.id})"
        for other in counterparts
    ]
    tables: list[Table] = []
    if lines:
        explained = explain_incident(lines, ensemble.bundle, ensemble)
        tables += _reasons(explained)
        if scores := explained.members:
            listed = ", ".join(f"{score:.3f}" for score in scores)
            prose.append(
                f"{explained.agreeing} of {len(scores)} models reach the threshold of "
                f"{line.threshold:.3f} by themselves; their scores of the flow: {listed}."
            )
        if explained.related:
            tables.append(_flows(explained.related))
        if len(lines) > 2:
            tables.append(_history(lines))
        prose.append(f"To silence the like of it, and nothing else: {explained.allow_command}")
    prose.append(f"Incident {line.id}; all of it: zeekml explain {line.id} --out {out}")
    return Section(
        key_of(line.id),
        f"{when(line.first_ts)} UTC, {line.severity}, {line.threat}",
        [p for p in prose if p],
        tables,
    )


def _reasons(explained: Explained) -> list[Table]:
    if explained.reasons:
        whose = "of this site" if explained.usual_is_of == "site" else "of the training networks"
        rows = [
            [r.words, r.usual, r.place, f"{r.contribution.contribution:+.2f}"]
            for r in explained.reasons
        ]
        heads = ["what", "usual (5 % to 95 %)", "the value lies", "log-odds"]
        return [Table(f"Why; usual values are those {whose}", heads, rows)]
    if explained.evidence is None or not explained.why:
        return []
    return [Table("Why", ["what"], [[text] for text in explained.why])]


def _flows(related: Sequence[RelatedFlow]) -> Table:
    rows = [
        [
            when(flow.ts),
            flow.source,
            flow.target,
            flow.service or "-",
            f"{flow.score:.3f}",
            flow.uid or "-",
            flow.community_id or "-",
        ]
        for flow in related
    ]
    heads = ["began (UTC)", "from", "to", "service", "score", "uid", "community id"]
    return Table("Flows that opened it, the strongest first", heads, rows)


def _history(lines: Sequence[NoticeLine]) -> Table:
    rows = [[when(line.ts), line.state, f"{line.flows:,}", line.msg] for line in lines[-_LINES:]]
    return Table("Its lines in notice.log", ["written (UTC)", "state", "flows", "message"], rows)
