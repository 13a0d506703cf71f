"""The closing tables of a scoring run: what was read, and who did what to whom."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from zeekml.batch.run import RunResult
from zeekml.cli.console import InertConsole, PlainTable, output_console
from zeekml.core.text import printable
from zeekml.core.units import when
from zeekml.detection.notice import NOTES
from zeekml.readers.events.event_schema import BRING
from zeekml.readers.files.discovery import Discovery
from zeekml.triage.incident_list import IncidentList, worst_first
from zeekml.triage.notice_reader import read_notice

SHOWN: Final = 50  # most incidents listed; the rest is in notice.log
_STYLES: Final = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}


def print_run(result: RunResult, discovery: Discovery, out: Path) -> None:
    """Print the closing summary to standard output."""
    console = output_console()
    summary = result.summary
    console.print(_reading_table(summary))
    notices = [notice for r in result.results for notice in r.incidents]
    if notices:
        # logs that are copies of each other have incidents of the same name
        incidents = IncidentList(limit=len(notices))
        for notice in notices:
            incidents.add(read_notice(notice), notice.stream)
        _print_incidents(console, incidents, _short_names([r.stream for r in result.results]))
    else:
        console.say("No incidents: nothing in these records reached a threshold of the policy.")
    if summary["records_scored"] and not summary["with_events"]:
        # the first to be told of a sensor that logs flows alone
        console.say(f"No flow has dns, http or tls events; they {BRING}.", "dim")
    if evicted := summary["context_evicted"]:
        remedy = "raise context_records in the configuration"
        told = f"{evicted:,} records left the context early for want of room; {remedy}."
        console.say(told, "yellow")
    for reason, count in sorted(discovery.files_skipped.items()):
        names = discovery.skipped_names.get(reason, [])
        shown = ", ".join(printable(name, 60) for name in names[:3])
        more = ", …" if count > 3 else ""
        console.say(f"not read ({reason}): {count:,}: {shown}{more}", "dim")
    if doubled := discovery.doubled:
        named = f"files_doubled in {out / 'summary.json'}"
        told = f"flows in two logs, which count twice: {len(doubled):,} files; see {named}"
        console.say(told, "dim")
    if rejected := sum(summary["records_rejected"].values()):
        console.say(f"{rejected:,} lines could not be read; see {out / 'rejects.jsonl'}")
    console.say(f"Notices: {out / 'notice.log'} (Zeek), {out / 'eve.json'} (EVE alerts)", "dim")


def _reading_table(summary: Mapping[str, Any]) -> PlainTable:
    table = PlainTable(show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add(
        "records",
        f"{summary['records_read']:,} read = {summary['records_scored']:,} scored "
        f"+ {sum(summary['records_rejected'].values()):,} rejected "
        f"+ {sum(summary['records_skipped'].values()):,} skipped",
    )
    for key, name, what in (
        ("records_rejected", "rejected", ""),
        ("records_skipped", "skipped", ""),
        ("values_unknown", "unknown", "values not understood: "),
        ("unwrapped", "unwrapped", ""),
    ):
        if summary[key]:
            table.add(name, what + ", ".join(f"{k} {v:,}" for k, v in summary[key].items()))
    if summary["with_events"]:
        known = f"{summary['with_events']:,} of {summary['records_scored']:,} flows with events"
        if summary["without_flow"]:
            known += f"; events of {summary['without_flow']:,} flows that did not follow"
        table.add("events", known)
    first, last = summary["first_ts"], summary["last_ts"]
    if first is not None and last is not None:
        table.add("time", f"{when(first)} to {when(last)} UTC")
    table.add("bundle", str(summary["bundle"])[:12])
    return table


def _short_names(streams: list[str]) -> dict[str, str]:
    """Stream names without what all share: leading directories, and the log's own name."""
    common = os.path.commonpath(streams) if len(streams) > 1 and all(streams) else ""
    short = {name: os.path.relpath(name, common) if common else name for name in streams}
    directories = {name: text.rpartition("/")[0] for name, text in short.items()}
    plain = len(set(directories.values())) == len(streams) and all(directories.values())
    return directories if plain else short


def _print_incidents(
    console: InertConsole, incidents: IncidentList, names: Mapping[str, str]
) -> None:
    shown = [attack[0] for attack in incidents.attacks]
    worst = sorted(shown, key=worst_first)
    chosen = sorted(worst[:SHOWN], key=lambda i: i.latest.first_ts)
    counts = {threat: sum(i.latest.threat == threat for i in shown) for threat in NOTES}
    heading = ", ".join(f"{threat} {n:,}" for threat, n in counts.items() if n)
    table = PlainTable(title=f"Incidents: {heading}", expand=True)
    for head in ("from (UTC)", "severity", "sure", "threat"):
        table.add_column(head, no_wrap=True)
    table.add_column("what happened", ratio=1, overflow="fold")
    for head in ("flows", "score"):
        table.add_column(head, justify="right", no_wrap=True)
    if len(names) > 1:
        table.add_column("seen in", overflow="fold", max_width=28)
    for incident in chosen:
        line = incident.latest
        severity = Text(line.severity, style=_STYLES[line.severity])
        cells = [incident.confidence, line.threat, line.msg, f"{line.flows:,}", f"{line.score:.3f}"]
        if len(names) > 1:
            seen = incidents.streams(incident)
            cells.append(", ".join(sorted(names.get(stream, stream) for stream in seen)))
        table.add_row(Text(when(line.first_ts)), severity, *map(Text, cells))
    console.print(table)
    if len(shown) > len(chosen):
        console.say(f"{len(shown) - len(chosen):,} less severe incidents are not listed.")
