"""One incident of a report: what happened, why it was reported, the flows, how to silence it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from zeekml.core.text import printable
from zeekml.core.units import when
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.scoring import Ensemble
from zeekml.html.sections import Section, Table
from zeekml.triage.explanation import Explained, end_of, explain_incident
from zeekml.triage.incident_list import Tracked
from zeekml.triage.lookup import ExplainedLine

_LINES: Final = 20
_TEXT: Final = 120


def key_of(incident: str) -> str:
    """The key of the section about an incident."""
    return f"incident-{incident}"


def detail_part(
    incident: Tracked,
    lines: Sequence[ExplainedLine],
    counterparts: Sequence[Tracked],
    bundle: Bundle,
    ensemble: Ensemble,
    out: Path,
) -> Section:
    """All about one incident.

    Parameters
    ----------
    incident, counterparts
        As the board has it, and the same attack as other sensors show it.
    lines
        From evidence.jsonl; empty if they are not there.
    bundle, ensemble
        The one that scored, and its models made ready.
    out
        Where the run's outputs are, for commands.

    Raises
    ------
    DataError
        The evidence is damaged.
    """
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
        explained = explain_incident(lines, bundle, ensemble)
        tables += _reasons(explained)
        prose.append(_members(explained, line.threshold))
        if explained.related:
            tables.append(_flows(explained.related))
        if len(explained.lines) > 2:
            tables.append(_history(explained.lines))
        prose.append(f"To silence the like of it, and nothing else: {explained.silence}")
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
    told = explained.at.notice.get("zeekml_why", ()) if explained.at is not None else ()
    return [Table("Why", ["what"], [[printable(str(text), 300)] for text in told])] if told else []


def _members(explained: Explained, threshold: float) -> str:
    scores = explained.members
    if not scores:
        return ""
    return (
        f"{explained.agreeing} of {len(scores)} models reach the threshold of {threshold:.3f} by "
        f"themselves; their scores of the flow: {', '.join(f'{score:.3f}' for score in scores)}."
    )


def _flows(related: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            when(float(flow["ts"])),
            end_of(flow, "orig"),
            f"{end_of(flow, 'resp')}/{printable(str(flow['proto']), 20)}",
            printable(str(flow["service"] or "-"), _TEXT),
            f"{float(flow['score']):.3f}",
            printable(str(flow["uid"] or "-"), _TEXT),
            printable(str(flow["community_id"] or "-"), _TEXT),
        ]
        for flow in related
    ]
    heads = ["began (UTC)", "from", "to", "service", "score", "uid", "community id"]
    return Table("Flows that opened it, the strongest first", heads, rows)


def _history(lines: Sequence[ExplainedLine]) -> Table:
    rows = [
        [
            when(float(line.notice["ts"])),
            printable(str(line.notice["zeekml_state"]), 20),
            f"{int(line.notice['zeekml_flows']):,}",
            printable(str(line.notice["msg"]), 400),
        ]
        for line in lines[-_LINES:]
    ]
    return Table("Its lines in notice.log", ["written (UTC)", "state", "flows", "message"], rows)
