"""The report page of `zeekml score --report`: the outputs of a run, for people."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from zeekml.core.atomic_write import write_whole
from zeekml.core.text import printable
from zeekml.core.units import counted, duration_in_words, when
from zeekml.detection.notice import SEVERITIES
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.scoring import Ensemble
from zeekml.errors import DataError, InputError
from zeekml.html.page import render
from zeekml.html.sections import Figure, Report, Section, Table
from zeekml.outputs import FILE_MODE, NOTICE_LOG, REJECTS, SUMMARY
from zeekml.triage.incident_details import incident_section, key_of
from zeekml.triage.incident_list import (
    Filter,
    IncidentList,
    Tracked,
    severity_words,
    tactics,
    timeline,
    totals,
)
from zeekml.triage.lookup import lines_by_incident
from zeekml.triage.source import OutputSource, read_summary
from zeekml.triage.timeline_chart import COLUMNS, timeline_svg

LISTED: Final = 500
"""Most incidents in the table, the most severe first."""

HOSTS: Final = 200
"""Most hosts in the table, the worst first."""

DETAILED: Final = 100
"""Most incidents that are explained one by one."""

QUOTED: Final = 20
"""Most rejected lines that are quoted."""

_MAX_LINE: Final = 1 << 20


def score_report(out: Path, bundle: Bundle, policy: Policy) -> Report:
    """What is in an output directory of `zeekml score`, with the bundle and policy of the run.

    Its size is bounded, however many incidents there are.

    Raises
    ------
    InputError, DataError
        The outputs cannot be read, or are damaged.
    """
    summary = read_summary(out)
    with closing(OutputSource(out)) as source:
        source.poll()
    incidents = source.incidents.shown(Filter(closed=True))
    sections = [
        _timeline_section(incidents, policy),
        _incidents_section(source.incidents, incidents, out, bundle),
        _hosts_section(incidents),
        _reading_section(summary, out),
        _acting_section(out),
    ]
    return Report(
        kind="score",
        title="What zeekml found",
        lead=_lead(summary, incidents),
        facts={},
        sections=sections,
        footnote=f"The same, for programs, is in {NOTICE_LOG}, evidence.jsonl and {SUMMARY} beside "
        "the run's other outputs.",
    )


def write_score_report(report: Report, path: Path) -> None:
    """Write a report's page whole, or leave what was there before."""
    # hosts and their doings are for those who may read the notices
    write_whole(path.parent, {path.name: render(report)}, FILE_MODE)


def _lead(summary: Mapping[str, Any], incidents: Sequence[Tracked]) -> list[str]:
    counts = Counter(incident.latest.severity for incident in incidents)
    found = ", ".join(f"{counts[s]:,} {s}" for s in reversed(SEVERITIES) if counts[s])
    first, last = summary.get("first_ts"), summary.get("last_ts")
    period = ""
    if isinstance(first, int | float) and isinstance(last, int | float):
        period = f" from {when(first)} to {when(last)} UTC"
    number = counted(len(incidents), "incident")
    detail = f" ({found})" if found else ""
    return [
        f"{summary.get('records_scored', 0):,} records{period}: {number}{detail}.",
        f"Models: bundle {str(summary.get('bundle', ''))[:12]}. A score is the probability that a "
        "flow is malicious where one in a hundred is; an incident is what one threat's detector "
        "saw of one host.",
    ]


def _timeline_section(incidents: Sequence[Tracked], policy: Policy) -> Section:
    counted = totals(incidents)
    pairs = Counter((i.latest.threat, i.latest.severity) for i in incidents)
    threats = Table(
        "Incidents by threat and severity",
        ["threat", *reversed(SEVERITIES), "all"],
        [
            [threat, *(f"{pairs[threat, s]:,}" for s in reversed(SEVERITIES)), f"{count:,}"]
            for threat, count in counted.threats
        ],
    )
    by_tactic = Table(
        "Incidents by ATT&CK tactic",
        ["tactic", "incidents"],
        [[name, f"{count:,}"] for name, count in tactics(counted, policy)],
    )
    figures = []
    if incidents:
        line = timeline(incidents, COLUMNS)
        figures.append(
            Figure(
                timeline_svg(line),
                f"Incidents by when they began, one bar for {duration_in_words(line.span)}, "
                f"the tallest for {line.tallest:,}.",
                "A row of bars for each severity; the tables below have the counts.",
            )
        )
    prose = [] if incidents else ["Nothing in these records reached a threshold of the policy."]
    return Section(
        "timeline", "When, and what", prose, [threats, by_tactic] * bool(incidents), figures
    )


def _incidents_section(
    known: IncidentList, incidents: Sequence[Tracked], out: Path, bundle: Bundle
) -> Section:
    listed = incidents[:LISTED]
    detailed = listed[:DETAILED]
    rows = [
        [
            when(i.latest.first_ts),
            severity_words(i.latest.severity),
            i.latest.threat,
            i.latest.msg,
            f"{i.latest.flows:,}",
            i.agreement,
            str(len(known.counterparts(i)) + 1),
        ]
        for i in listed
    ]
    table = Table(
        "The most severe first; times in UTC; score with the members' standard deviation",
        ["began", "severity", "threat", "what happened", "flows", "score", "sensors"],
        rows,
        links=[key_of(i.latest.id) for i in detailed],
    )
    prose = []
    if len(incidents) > len(listed):
        prose.append(f"{len(incidents) - len(listed):,} less severe ones are not listed.")
    if len(listed) > len(detailed):
        prose.append(f"The first {len(detailed):,} are explained one by one below.")
    found = lines_by_incident(out, {i.latest.id for i in detailed})
    ensemble = Ensemble(bundle)
    parts = [
        incident_section(i, found[i.latest.id], known.counterparts(i), ensemble, out)
        for i in detailed
    ]
    return Section("incidents", "Incidents", prose, [table] * bool(rows), parts=parts)


def _hosts_section(incidents: Sequence[Tracked]) -> Section:
    """A row for each host that all flows of some incident share, the worst first."""
    did: defaultdict[str, Counter[str]] = defaultdict(Counter)  # incidents by threat
    suffered: defaultdict[str, Counter[str]] = defaultdict(Counter)
    flows: Counter[str] = Counter()
    worst: dict[str, int] = {}
    for line in (incident.latest for incident in incidents):
        for host, side in ((line.src, did), (line.dst, suffered)):
            if host:
                side[host][line.threat] += 1
                flows[host] += line.flows
                worst[host] = max(worst.get(host, 0), SEVERITIES.index(line.severity))
    order = sorted(
        worst, key=lambda host: (-worst[host], -(did[host] + suffered[host]).total(), host)
    )

    def listed(threats: Counter[str]) -> str:
        return ", ".join(f"{threat} {n:,}" for threat, n in threats.most_common()) or "-"

    rows = [
        [
            host,
            severity_words(SEVERITIES[worst[host]]),
            listed(did[host]),
            listed(suffered[host]),
            f"{flows[host]:,}",
        ]
        for host in order[:HOSTS]
    ]
    prose = ["A host is named where all flows of an incident share it."]
    if len(order) > HOSTS:
        prose.append(f"{len(order) - HOSTS:,} further hosts are not listed.")
    table = Table(
        "Hosts, those with the most severe incident first",
        ["host", "worst", "did", "suffered", "flows"],
        rows,
    )
    return Section("hosts", "Hosts", prose, [table] * bool(rows))


def _reading_section(summary: Mapping[str, Any], out: Path) -> Section:
    def rows(key: str) -> list[list[str]]:
        counts = summary.get(key)
        return [[str(k), f"{v:,}"] for k, v in counts.items()] if isinstance(counts, dict) else []

    books = [
        ["read", f"{summary.get('records_read', 0):,}"],
        ["scored", f"{summary.get('records_scored', 0):,}"],
        ["rejected", f"{sum(dict(summary.get('records_rejected') or {}).values()):,}"],
        [
            "skipped, of other types",
            f"{sum(dict(summary.get('records_skipped') or {}).values()):,}",
        ],
        ["incidents silenced by the allowlist", f"{summary.get('allowlisted', 0):,}"],
    ]
    tables = [Table("Records", ["what", "number"], books)]
    for key, caption in (
        ("records_rejected", "Rejected lines, by reason"),
        ("records_skipped", "Skipped records, by type"),
        ("values_unknown", "Values that were not understood, by column"),
        ("unwrapped", "Records taken out of what shippers put around them, by what that was"),
        ("files_skipped", "Files that were not read, by reason"),
    ):
        if found := rows(key):
            tables.append(Table(caption, ["what", "number"], found))
    streams = [
        [str(s.get("name", "")), f"{s.get('records_scored', 0):,}"]
        for s in summary.get("streams", ())
        if isinstance(s, dict)
    ]
    if streams:
        tables.append(Table("Logs", ["log", "records scored"], streams[:LISTED]))
    if quoted := _quoted(out):
        caption = f"Lines that could not be read, the first {len(quoted)}; all are in {REJECTS}"
        tables.append(Table(caption, ["file and line", "reason", "line"], quoted))
    prose = []
    truncated = summary.get("truncated") or []
    if truncated:
        names = ", ".join(printable(str(name), 200) for name in truncated[:5])
        prose.append(f"Files that end too early: {names}{', …' if len(truncated) > 5 else ''}.")
    return Section("reading", "What was read, and what was not", prose, tables)


def _quoted(out: Path) -> list[list[str]]:
    found: list[list[str]] = []
    try:
        with (out / REJECTS).open("rb") as file:
            while len(found) < QUOTED and (line := file.readline(_MAX_LINE)):
                told = json.loads(line)
                place = f"{told['source']}:{told['line']}"
                found.append([place, str(told["reason"]), str(told["excerpt"])])
    except OSError as error:
        raise InputError(f"{out / REJECTS}: cannot read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{out / REJECTS}: damaged; score the logs again") from error
    return found


def _acting_section(out: Path) -> Section:
    return Section(
        "acting",
        "What to do with it",
        [
            "Look at the most severe incidents first. The reasons of each say what is unusual "
            "about the flow that it was reported for; the flows below them are where to look in "
            "the logs, by uid or community id.",
            f"All of an incident, with its members' scores: zeekml explain ID --out {out}",
            f"The same at a terminal, to be sorted and filtered: zeekml dashboard --out {out}",
            "What is known and harmless can be silenced for a time with the command that stands "
            "with each incident; it adds an entry to the allowlist, and silences nothing else. If "
            "there are too many incidents all in all, fit the thresholds to your network: "
            "zeekml calibrate LOGS --notices-per-day 5 --out BUNDLE",
        ],
    )
