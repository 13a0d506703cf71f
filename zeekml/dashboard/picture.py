"""A snapshot of the dashboard for a pipe: as text, or as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rich.text import Text

from zeekml.dashboard.panes import ONE_LINE_HEADING, count_rows, health_text, one_line, over_time
from zeekml.detection.policy import Policy
from zeekml.triage.incident_list import Filter, Tracked, tactics, timeline, totals
from zeekml.triage.source import Source

SHOWN: Final = 50  # most incidents in the text; the data has all
_TIME_COLUMNS: Final = 60
_TOP: Final = 10
_TOLD: Final = (
    *("id", "seq", "state", "note", "threat", "severity", "score", "spread", "threshold"),
    *("flows", "first_ts", "last_ts"),
)


def lines(source: Source, policy: Policy | None, width: int) -> Iterator[Text]:
    """The picture as lines of text, cut to so many columns; the source was polled before."""
    chosen = _chosen(source)
    shown = source.incidents.shown(chosen)
    everything = [attack[0] for attack in source.incidents.attacks]
    yield from _cut(health_text(source).split("\n"), width)
    yield Text()
    yield Text("Incidents over time", style="bold")
    yield from over_time(everything, min(width, _TIME_COLUMNS + 13))
    yield Text()
    kind = "all" if chosen.closed else "open"
    yield Text(f"Incidents ({kind}): {len(shown):,}", style="bold")
    yield from _cut([Text(ONE_LINE_HEADING, style="underline")], width)
    rows = [
        one_line(i, source.labels.get(i.latest.id), source.incidents.sensors(i))
        for i in shown[:SHOWN]
    ]
    yield from _cut(rows, width)
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


def data(source: Source, policy: Policy | None) -> dict[str, Any]:
    """The picture as data: health, incidents in the order of the text, and totals."""
    shown = source.incidents.shown(_chosen(source))
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
        },
        "open": source.incidents.open_count,
        "severities": counts.severities,
        "over_time": {"begin": line.begin, "span": line.span, "counts": line.counts},
        "incidents": [_incident(i, source) for i in shown],
        "sources": _pairs(counts.sources),
        "targets": _pairs(counts.targets),
        "tactics": _pairs(tactics(counts, policy)),
    }


def _chosen(source: Source) -> Filter:
    # a run that is over has closed all its incidents
    return Filter(closed=not source.live)


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
