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
from zeekml.core.units import counted, duration_in_words, utc, when
from zeekml.detection.notice import SEVERITIES
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.scoring import Ensemble
from zeekml.errors import DataError, InputError
from zeekml.html.page import render
from zeekml.html.sections import Figure, Report, Section, Table
from zeekml.outputs import FILE_MODE, NOTICE_LOG, REJECTS, SUMMARY
from zeekml.pairs.pair_timing import PairTiming
from zeekml.triage import incident_list
from zeekml.triage.explanation import (
    Explained,
    allow_command,
    explain_incident,
    pair_timing,
    related_flows,
)
from zeekml.triage.incident_list import Filter, IncidentList, Timeline, Tracked, severity_words
from zeekml.triage.lookup import lines_by_incident
from zeekml.triage.notice_reader import NoticeLine
from zeekml.triage.pair_timeline import gap_rows, hour_rows
from zeekml.triage.source import OutputSource, read_summary

LISTED: Final = 500  # most incidents in the table, the most severe first
HOSTS: Final = 200  # most hosts in the table, the worst first
DETAILED: Final = 100  # most incidents that are explained one by one
QUOTED: Final = 20  # most rejected lines that are quoted
_MAX_LINE: Final = 1 << 20

COLUMNS: Final = 60
_FEWEST: Final = 30
_LEFT, _WIDTH, _ROW, _GAP = 96, 12, 44, 10
# Okabe and Ito's colours, dark enough on white and light enough on black; the rows are named beside
_COLOURS: Final = {"critical": "#d55e00", "high": "#c28500", "medium": "#8a8a00", "low": "#2f8fc4"}
_LINES: Final = 20


def score_report(out: Path, bundle: Bundle, policy: Policy) -> Report:
    """What is in an output directory of `zeekml score`, with the bundle and policy of the run.

    Its size is bounded, however many incidents there are. `InputError`, `DataError`: the outputs
    cannot be read, or are damaged.
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
    beside = f"in {NOTICE_LOG}, evidence.jsonl and {SUMMARY} beside the run's other outputs."
    footnote = f"The same, for programs, is {beside}"
    return Report("score", "What zeekml found", _lead(summary, incidents), {}, sections, footnote)


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
        "saw of one host. A confidence is how likely an incident is an attack, where half of them "
        "are.",
    ]


def _timeline_section(incidents: Sequence[Tracked], policy: Policy) -> Section:
    title = "When, and what"
    if not incidents:
        nothing = "Nothing in these records reached a threshold of the policy."
        return Section("timeline", title, [nothing])
    worst_first = SEVERITIES[::-1]
    totals = incident_list.totals(incidents)
    pairs = Counter((i.latest.threat, i.latest.severity) for i in incidents)
    rows = [
        [threat, *(f"{pairs[threat, s]:,}" for s in worst_first), f"{count:,}"]
        for threat, count in totals.threats
    ]
    threats = Table("Incidents by threat and severity", ["threat", *worst_first, "all"], rows)
    named = [[name, f"{count:,}"] for name, count in incident_list.tactics(totals, policy)]
    tactics = Table("Incidents by ATT&CK tactic", ["tactic", "incidents"], named)
    line = incident_list.timeline(incidents, COLUMNS)
    caption = (
        f"Incidents by when they began, one bar for {duration_in_words(line.span)}, "
        f"the tallest for {line.tallest:,}."
    )
    described = "A row of bars for each severity; the tables below have the counts."
    figure = Figure(timeline_svg(line), caption, described)
    return Section("timeline", title, (), [threats, tactics], [figure])


def timeline_svg(line: Timeline) -> str:
    """The timeline as an ``<svg>`` element: a row of bars for each severity, as on the dashboard.

    Drawn without any library: plain rectangles, so that a report needs nothing that scoring does
    not. All of its text is numbers, times and severities.
    """
    most = line.tallest
    columns = max((len(counts) for counts in line.counts.values()), default=0)
    # what lies before the first incident is left out, as long as the drawing stays a wide one
    busy = [n for counts in line.counts.values() for n, count in enumerate(counts) if count]
    unused = min(min(busy, default=0), max(columns - _FEWEST, 0))
    columns -= unused
    width = _LEFT + columns * _WIDTH + _GAP
    height = len(SEVERITIES) * (_ROW + _GAP) + 24
    parts = [f'<svg viewBox="0 0 {width} {height}" font-size="13" font-family="sans-serif">']
    for number, severity in enumerate(reversed(SEVERITIES)):
        floor = number * (_ROW + _GAP) + _ROW
        counts = line.counts[severity][unused:]
        parts.append(_text(_LEFT - 8, floor - 4, f"{severity} {sum(counts):,}", "end"))
        parts.append(
            f'<line x1="{_LEFT}" y1="{floor}" x2="{width - _GAP}" y2="{floor}" '
            'stroke="currentColor" stroke-opacity=".35"/>'
        )
        for column, count in enumerate(counts):
            if count:
                tall = max(3.0, count / most * _ROW)
                parts.append(
                    f'<rect x="{_LEFT + column * _WIDTH + 1}" y="{floor - tall:.1f}" '
                    f'width="{_WIDTH - 2}" height="{tall:.1f}" fill="{_COLOURS[severity]}"/>'
                )
    begin = line.begin + line.span * unused
    end = begin + line.span * columns
    for x, ts, anchor in ((_LEFT, begin, "start"), (width - _GAP, end, "end")):
        parts.append(_text(x, height - 6, f"{utc(ts):%Y-%m-%d %H:%M} UTC", anchor))
    return "".join([*parts, "</svg>"])


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="currentColor">{text}</text>'


def _incidents_section(
    known: IncidentList, incidents: Sequence[Tracked], out: Path, bundle: Bundle
) -> Section:
    listed = incidents[:LISTED]
    detailed = listed[:DETAILED]
    rows = []
    for i in listed:
        line = i.latest
        first = when(line.first_ts), severity_words(line.severity), i.confidence
        what = (*first, line.threat, line.msg)
        sensors = str(len(known.counterparts(i)) + 1)
        rows.append([*what, f"{line.flows:,}", i.agreement, sensors])
    caption = "The most severe first; times in UTC; score with the members' standard deviation"
    heads = ["began", "severity", "confidence", "threat", "what happened"]
    heads += ["flows", "score", "sensors"]
    table = Table(caption, heads, rows, links=[_key_of(i.latest.id) for i in detailed])
    prose = []
    if len(incidents) > len(listed):
        prose.append(f"{len(incidents) - len(listed):,} less severe ones are not listed.")
    if len(listed) > len(detailed):
        prose.append(f"The first {len(detailed):,} are explained one by one below.")
    found = lines_by_incident(out, {i.latest.id for i in detailed})
    ensemble = Ensemble(bundle)
    parts = [
        _incident_section(i, found[i.latest.id], known.counterparts(i), ensemble, out)
        for i in detailed
    ]
    return Section("incidents", "Incidents", prose, [table] * bool(rows), parts=parts)


def _key_of(incident: str) -> str:
    """The key of the section about an incident."""
    return f"incident-{incident}"


def _incident_section(
    incident: Tracked,
    lines: Sequence[NoticeLine],
    counterparts: Sequence[Tracked],
    ensemble: Ensemble,
    out: Path,
) -> Section:
    """All about one incident, as the incident list has it and as evidence.jsonl does (`lines`)."""
    line = incident.latest
    prose = [line.msg, f"{line.note}: {line.sub}" if line.sub else line.note]
    prose += [f"{what[0].upper()}{what[1:]}: {text}" for what, text in line.told()]
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
        if related := related_flows(lines):
            flows = []
            for flow in related:
                ids = (flow.uid or "-", flow.community_id or "-")
                seen = (when(flow.ts), flow.source, flow.target, flow.service or "-")
                flows.append([*seen, f"{flow.score:.3f}", *ids])
            heads = ["began (UTC)", "from", "to", "service", "score", "uid", "community id"]
            tables.append(Table("Flows that opened it, the strongest first", heads, flows))
        if timing := pair_timing(lines):
            tables += _timeline_tables(timing)
        if len(lines) > 2:
            told = [[when(n.ts), n.state, f"{n.flows:,}", n.msg] for n in lines[-_LINES:]]
            heads = ["written (UTC)", "state", "flows", "message"]
            tables.append(Table("Its lines in notice.log", heads, told))
        command = allow_command(explained.latest)
        prose.append(f"To silence the like of it, and nothing else: {command}")
    prose.append(f"Incident {line.id}; all of it: zeekml explain {line.id} --out {out}")
    title = f"{when(line.first_ts)} UTC, {line.severity}, {line.threat}"
    return Section(_key_of(line.id), title, [p for p in prose if p], tables)


def _timeline_tables(timing: PairTiming) -> list[Table]:
    """When the contacts of the incident's pair of hosts were."""
    gaps = [[which, f"{count:,}", bar] for which, count, bar in gap_rows(timing)]
    hours = [list(row) for row in hour_rows(timing.hours)]
    return [
        Table("Gaps between the contacts of its pair of hosts", ["gap", "number", ""], gaps),
        Table("Hours with contacts, from 0 to 23 UTC", ["day", "hours"], hours),
    ]


def _reasons(explained: Explained) -> list[Table]:
    if explained.reasons:
        whose = "of this site" if explained.usual_is_of == "site" else "of the training networks"
        rows = [
            [r.words, r.usual, r.place, f"{r.contribution.contribution:+.2f}"]
            for r in explained.reasons
        ]
        heads = ["what", "usual (5 % to 95 %)", "the value lies", "log-odds"]
        return [Table(f"Why; usual values are those {whose}", heads, rows)]
    if explained.told.evidence is None or not explained.told.why:
        return []
    return [Table("Why", ["what"], [[text] for text in explained.told.why])]


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
    together = {host: (did[host] + suffered[host]).total() for host in worst}
    order = sorted(worst, key=lambda host: (-worst[host], -together[host], host))

    def listed(threats: Counter[str]) -> str:
        return ", ".join(f"{threat} {n:,}" for threat, n in threats.most_common()) or "-"

    rows = []
    for host in order[:HOSTS]:
        doings = (listed(did[host]), listed(suffered[host]))
        rows.append([host, severity_words(SEVERITIES[worst[host]]), *doings, f"{flows[host]:,}"])
    prose = ["A host is named where all flows of an incident share it."]
    if len(order) > HOSTS:
        prose.append(f"{len(order) - HOSTS:,} further hosts are not listed.")
    heads = ["host", "worst", "did", "suffered", "flows"]
    table = Table("Hosts, those with the most severe incident first", heads, rows)
    return Section("hosts", "Hosts", prose, [table] * bool(rows))


def _reading_section(summary: Mapping[str, Any], out: Path) -> Section:
    def rows(counts: object) -> list[list[str]]:
        return [[str(k), f"{v:,}"] for k, v in counts.items()] if isinstance(counts, dict) else []

    books = {
        "read": summary.get("records_read", 0),
        "scored": summary.get("records_scored", 0),
        "rejected": sum(dict(summary.get("records_rejected") or {}).values()),
        "skipped, of other types": sum(dict(summary.get("records_skipped") or {}).values()),
        "incidents silenced by the allowlist": summary.get("allowlisted", 0),
    }
    tables = [Table("Records", ["what", "number"], rows(books))]
    for key, caption in (
        ("records_rejected", "Rejected lines, by reason"),
        ("records_skipped", "Skipped records, by type"),
        ("values_unknown", "Values that were not understood, by column"),
        ("unwrapped", "Records taken out of what shippers put around them, by what that was"),
        ("files_skipped", "Files that were not read, by reason"),
    ):
        if found := rows(summary.get(key)):
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
    if truncated := summary.get("truncated"):
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
    prose = [
        "Look at the most severe incidents first. The reasons of each say what is unusual about "
        "the flow that it was reported for; the flows below them are where to look in the logs, "
        "by uid or community id.",
        f"All of an incident, with its members' scores: zeekml explain ID --out {out}",
        f"The same at a terminal, to be sorted and filtered: zeekml dashboard --out {out}",
        "What is known and harmless can be silenced for a time with the command that stands with "
        "each incident; it adds an entry to the allowlist, and silences nothing else. If there "
        "are too many incidents all in all, fit the thresholds to your network: "
        "zeekml calibrate LOGS --notices-per-day 5 --out BUNDLE",
    ]
    return Section("acting", "What to do with it", prose)
