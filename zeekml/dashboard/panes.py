"""What the panes say, as styled text: the same on a screen and in a picture for a pipe.

Every severity is a word and a sign beside its colour. The colours are Okabe and Ito's, which
colour-blind people tell apart. Text is built as `Text`, never as markup, so that nothing in a log
is taken for an instruction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from rich.text import Text

from zeekml.core.units import utc, when
from zeekml.detection.notice import SEVERITIES
from zeekml.detection.policy import Policy
from zeekml.triage.explanation import pair_timing, related_flows
from zeekml.triage.incident_list import (
    SIGNS,
    Filter,
    Tracked,
    percentage,
    tactics,
    timeline,
    totals,
)
from zeekml.triage.labels import Label
from zeekml.triage.notice_reader import NoticeLine
from zeekml.triage.pair_timeline import timeline_lines
from zeekml.triage.source import Source

_COLOURS: Final = ("#56B4E9", "#F0E442", "#E69F00", "bold #D55E00")
STYLES: Final = dict(zip(SEVERITIES, _COLOURS, strict=True))
_BARS: Final = " ▁▂▃▄▅▆▇█"

SHOWN: Final = 50  # most incidents in the text; the data has all
_TIME_COLUMNS: Final = 60
_TOP: Final = 10
_TOLD: Final = (
    *(
        "id",
        "seq",
        "state",
        "note",
        "threat",
        "severity",
        "confidence",
        "rarity",
        "score",
        "spread",
        "threshold",
    ),
    *("flows", "first_ts", "last_ts"),
)


def severity_text(severity: str) -> Text:
    """Sign and word of a severity, 12 columns wide."""
    return Text(f"{SIGNS[severity]} {severity:<8}", style=STYLES[severity])


def health_text(source: Source) -> Text:
    """The lines about health: what is read, how it stands, what is wrong, by which thresholds."""
    health = source.health
    parts = [
        f"{'watch' if source.live else 'run'} {source.name}",
        f"{len(health.inputs):,} input{'s' * (len(health.inputs) != 1)}",
        f"{health.records:,} records",
    ]
    if health.rate is not None:
        parts.append(f"{health.rate:,.0f}/s")
    parts += [f"{health.rejected:,} rejected", f"{health.suppressed:,} silenced"]
    stands = []
    if health.last_ts is not None:
        stands.append(f"newest {when(health.last_ts)} UTC")
    if health.lag is not None:
        stands.append(f"{health.lag:.0f} s behind")
    budget = "" if health.budget is None else f" of {health.budget:g}"
    stands.append(f"{health.today:,}{budget} today")
    if health.bundle:
        stands.append(f"bundle {health.bundle}")
    text = Text(f"{' · '.join(parts)}\n{' · '.join(stands)}")
    problems = list(source.incidents.problems.values())
    if problems:
        latest = max(problems, key=lambda p: p.ts)
        text.append(f"\n!! {len(problems):,} open: {latest.msg}", style=STYLES["high"])
    if health.thresholds:
        told = (f"{threat} {value:.3f}" for threat, value in sorted(health.thresholds.items()))
        text.append(f"\nthresholds {' '.join(told)}", style="not bold")
    if source.decision is not None:
        text.append(f"\n{source.decision.line()}", style="not bold")
    return text


def over_time(incidents: Sequence[Tracked], columns: int) -> list[Text]:
    """A row of bars for each severity, and one of times; each as wide as asked for."""
    width = max(columns - 13, 8)
    line = timeline(incidents, width)
    most = line.tallest
    rows = []
    for severity in reversed(SEVERITIES):
        counts = line.counts[severity]
        bars = (_BARS[max(1, round(count / most * 8))] if count else " " for count in counts)
        rows.append(severity_text(severity).append(f" {''.join(bars)}"))
    if most:
        form = "%m-%d %H:%M" if line.span * width > 86_400 else "%H:%M:%S"
        begin = utc(line.begin).strftime(form)
        end = utc(line.begin + line.span * width).strftime(form)
        gap = max(width - len(begin), 0)
        rows.append(Text(f"{f'at most {most}':<12} {begin}{end:>{gap}}"))
    return rows


def count_rows(pairs: Sequence[tuple[str, int]], width: int, most: int) -> list[Text]:
    """Names with their counts, one a row."""
    digits = max((len(f"{n:,}") for _, n in pairs[:most]), default=0)
    room = max(width - digits - 1, 8)
    return [
        Text(f"{name if len(name) <= room else name[: room - 1] + '…':<{room}} {n:>{digits},}")
        for name, n in pairs[:most]
    ]


def one_line(incident: Tracked, source: Source) -> Text:
    """An incident in a row: severity, confidence, threat, score, what happened, why.

    Where several sensors saw it, their names come before the reason.
    """
    line, label = incident.latest, source.labels.get(incident.latest.id)
    sensors = source.incidents.sensors(incident)
    text = severity_text(line.severity)
    sign = " " if label is None else "T" if label.truth else "F"
    text.append(f"{sign} {incident.confidence:<5} {line.threat:<10} {line.score:.3f} ")
    text.append(line.msg.removesuffix("."))
    if len(sensors) > 1:
        text.append(f"  ({len(sensors)} sensors: {', '.join(sensors)})")
    if line.why:
        text.append(f"  ← {line.why[0]}", style="dim")
    if not incident.open:
        text.stylize("dim")
    return text


ONE_LINE_HEADING: Final = (
    f"{'severity':<12}{'L'} {'sure':<5} {'threat':<10} {'score':<5} what happened"
    "  ← strongest reason"
)


def explanation(
    incident: Tracked, history: Sequence[Label], counterparts: Sequence[Tracked] = ()
) -> list[Text]:
    """All that is known of an incident, a paragraph a line; `history` are its labels so far."""
    line = incident.latest
    head = severity_text(line.severity)
    head.append(f" {line.note}  {line.state}, line {line.seq}  {line.id}", style="bold")
    rows = [head, Text(line.msg), Text(line.sub, style="dim"), Text()]
    spread = "unknown" if line.spread is None else f"{line.spread:.3f}"
    common = (("source", line.src), ("target", line.dst), ("port", line.p))
    shared = ", ".join(f"{name} {value}" for name, value in common if value not in ("", None))
    sure = percentage(line.confidence)
    rows += [
        _pair("confidence", f"{sure}, {line.rarity}" if line.rarity else sure),
        _pair("score", f"{line.score:.4f} of threshold {line.threshold:.4f}"),
        _pair("members", f"differ by {spread} (standard deviation)"),
        _pair("flows", f"{line.flows:,}, {when(line.first_ts)} to {when(line.last_ts)} UTC"),
        _pair("shared", shared or "nothing"),
        _pair("latest flow", f"{line.flow}  uid {line.uid or '-'}"),
    ]
    if line.community_id:
        rows.append(_pair("", f"community id {line.community_id}"))
    rows.append(_pair("ATT&CK", " ".join(line.techniques) or "-"))
    rows += [_pair(what, text) for what, text in line.told()]
    for other in counterparts:
        seen = f"by another sensor ({', '.join(other.sensors)})"
        rows.append(_pair("also seen", f"{seen}: {other.latest.id}  {other.latest.msg}"))
    rows.append(_pair("bundle", line.bundle or "-"))
    rows += [Text(), Text("Why (largest first)", style="bold")]
    rows += [Text(f"  {reason}") for reason in line.why] or [Text("  not known")]
    rows += [Text(), Text("Lines so far, the latest first", style="bold")]
    rows += [
        Text(f"  {when(told.ts)}  {told.seq:>3} {told.state:<7} {told.flows:>9,} flows  {told.msg}")
        for told in reversed(incident.lines)
    ]
    if history:
        rows += [Text(), Text("Labels", style="bold")]
    for label in history:
        said = f"{when(label.at)}  {label.word}"
        parts = [said, label.threat, f"by {label.who}", label.note]
        rows.append(Text("  " + "  ".join(part for part in parts if part)))
    return rows


def evidence_rows(lines: Sequence[NoticeLine]) -> list[Text]:
    """What an incident rests on, as far as it is kept: scores, contacts of its pair, flows."""
    kept = [line.evidence for line in lines if line.evidence is not None]
    if not kept:
        return []
    rows = [Text(), Text("Members' scores of the latest line's flow", style="bold")]
    rows.append(Text("  " + "  ".join(f"{score:.3f}" for score in kept[-1].members)))
    if timing := pair_timing(lines):
        rows += [Text(), *(Text(line) for line in timeline_lines(timing))]
    if related := related_flows(lines):
        rows += [Text(), Text("Flows that opened it, the strongest first", style="bold")]
    for flow in related:
        ends = f"{flow.orig_h} {flow.orig_p} to {flow.resp_h} {flow.resp_p}"
        told = f"{flow.proto} {flow.service or ''}  uid {flow.uid or '-'}"
        rows.append(Text(f"  {when(flow.ts)}  {flow.score:.3f}  {ends}  {told}"))
    return rows


def _pair(name: str, value: str) -> Text:
    text = Text(f"{name:<12}", style="bold")
    text.append(value, style="not bold")
    return text


def picture_lines(source: Source, policy: Policy | None, width: int) -> Iterator[Text]:
    """The picture as lines of text, cut to so many columns; the source was polled before."""
    # a run that is over has closed all its incidents
    shown = source.incidents.shown(Filter(closed=not source.live))
    everything = [attack[0] for attack in source.incidents.attacks]
    yield from _cut(health_text(source).split("\n"), width)
    yield Text()
    yield Text("Incidents over time", style="bold")
    yield from over_time(everything, min(width, _TIME_COLUMNS + 13))
    yield Text()
    kind = "open" if source.live else "all"
    yield Text(f"Incidents ({kind}): {len(shown):,}", style="bold")
    yield from _cut([Text(ONE_LINE_HEADING, style="underline")], width)
    yield from _cut([one_line(incident, source) for incident in shown[:SHOWN]], width)
    if len(shown) > SHOWN:
        yield Text(f"{len(shown) - SHOWN:,} less severe incidents are not listed.")
    counts = totals(shown)
    for title, pairs in (
        ("Top sources", counts.sources),
        ("Top targets", counts.targets),
        ("ATT&CK tactics", tactics(counts, policy)),
    ):
        yield Text()
        yield Text(title, style="bold")
        yield from count_rows(pairs, min(width, 50), _TOP) or [Text("none")]


def picture_data(source: Source, policy: Policy | None) -> dict[str, Any]:
    """The picture as data: health, incidents in the order of the text, and totals."""
    shown = source.incidents.shown(Filter(closed=not source.live))
    counts = totals(shown)
    line = timeline([attack[0] for attack in source.incidents.attacks], _TIME_COLUMNS)
    health = source.health
    return {
        "source": source.name,
        "live": source.live,
        "health": {
            "inputs": list(health.inputs),
            "records_read": health.records,
            "records_rejected": health.rejected,
            "silenced": health.suppressed,
            "last_ts": health.last_ts,
            "bundle": health.bundle,
            "thresholds": dict(health.thresholds),
            "lag_seconds": health.lag,
            "incidents_today": health.today,
            "notices_per_day": health.budget,
            "problems": [
                {name: getattr(problem, name) for name in ("id", "ts", "severity", "msg")}
                for problem in source.incidents.problems.values()
            ],
            "adapted": None if source.decision is None else msgspec.to_builtins(source.decision),
        },
        "open": source.incidents.open_count,
        "severities": counts.severities,
        "over_time": {"begin": line.begin, "span": line.span, "counts": line.counts},
        "incidents": [_incident(i, source) for i in shown],
        "sources": _pairs(counts.sources),
        "targets": _pairs(counts.targets),
        "tactics": _pairs(tactics(counts, policy)),
    }


def _incident(incident: Tracked, source: Source) -> dict[str, Any]:
    line = incident.latest
    label = source.labels.get(line.id)
    return {
        **{name: getattr(line, name) for name in _TOLD},
        "src": line.src or None,
        "dst": line.dst or None,
        "p": line.p,
        "msg": line.msg,
        "why": list(line.why),
        "sensors": source.incidents.sensors(incident),
        "label": None if label is None else label.truth,
    }


def _pairs(pairs: list[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"name": name, "incidents": count} for name, count in pairs]


def _cut(rows: Any, width: int) -> Iterator[Text]:
    for row in rows:
        row.truncate(width, overflow="ellipsis")
        yield row
