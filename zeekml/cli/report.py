"""The closing tables of a scoring run: what was read, and who did what to whom."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zeekml.batch.run import RunResult
from zeekml.cli.console import output_console
from zeekml.core.text import printable
from zeekml.core.units import when
from zeekml.detection.notice import NOTES, SEVERITIES, Notice
from zeekml.readers.files.discovery import Discovery
from zeekml.triage.correlation import attacks

SHOWN: Final = 50
"""Most incidents listed; the rest is in notice.log."""

_STYLES: Final = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}


@dataclass(slots=True)
class Seen:
    """One incident and the streams that showed it."""

    notice: Notice
    streams: list[str] = field(default_factory=list)


def merged_incidents(notices: Iterable[Notice]) -> list[Seen]:
    """Incidents with those that several streams saw shown once, the earliest first.

    Logs that are copies of each other have incidents of the same name; two sensors' logs have
    incidents of the same group.
    """
    seen: dict[str, Seen] = {}
    for notice in sorted(notices, key=lambda n: (n.first_ts, n.id)):
        entry = seen.setdefault(notice.id, Seen(notice))
        if notice.stream not in entry.streams:
            entry.streams.append(notice.stream)
    merged = []
    for attack in attacks(entry.notice for entry in seen.values()):
        streams = (stream for notice in attack for stream in seen[notice.id].streams)
        merged.append(Seen(attack[0], list(dict.fromkeys(streams))))
    return merged


def print_run(result: RunResult, discovery: Discovery, out: Path) -> None:
    """Print the closing summary to standard output."""
    console = output_console()
    summary = result.summary
    console.print(_reading_table(summary))
    incidents = merged_incidents(n for r in result.results for n in r.incidents)
    if incidents:
        _print_incidents(console, incidents, _short_names([r.stream for r in result.results]))
    else:
        console.print("No incidents: nothing in these records reached a threshold of the policy.")
    if summary["context_evicted"]:
        console.print(
            f"{summary['context_evicted']:,} records left the context early for want of room; "
            "raise context_records in the configuration.",
            style="yellow",
        )
    for reason, count in sorted(discovery.files_skipped.items()):
        names = discovery.skipped_names.get(reason, [])
        shown = ", ".join(printable(name, 60) for name in names[:3])
        more = ", …" if count > 3 else ""
        console.print(Text(f"not read ({reason}): {count:,}: {shown}{more}"), style="dim")
    if doubled := discovery.doubled:
        named = f"files_doubled in {out / 'summary.json'}"
        told = f"flows in two logs, which count twice: {len(doubled):,} files; see {named}"
        console.print(Text(told), style="dim")
    rejected = sum(summary["records_rejected"].values())
    if rejected:
        console.print(Text(f"{rejected:,} lines could not be read; see {out / 'rejects.jsonl'}"))
    console.print(
        Text(f"Notices: {out / 'notice.log'} (Zeek), {out / 'eve.json'} (EVE alerts)"), style="dim"
    )


def _reading_table(summary: dict[str, object]) -> Table:
    table = Table(box=SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    rejected, skipped = summary["records_rejected"], summary["records_skipped"]
    unknown = summary["values_unknown"]
    assert isinstance(rejected, dict)
    assert isinstance(skipped, dict)
    assert isinstance(unknown, dict)
    table.add_row(
        "records",
        Text(
            f"{summary['records_read']:,} read = {summary['records_scored']:,} scored "
            f"+ {sum(rejected.values()):,} rejected + {sum(skipped.values()):,} skipped"
        ),
    )
    if rejected:
        table.add_row("rejected", Text(", ".join(f"{k} {v:,}" for k, v in rejected.items())))
    if skipped:
        table.add_row("skipped", Text(", ".join(f"{k} {v:,}" for k, v in skipped.items())))
    if unknown:
        listed = ", ".join(f"{k} {v:,}" for k, v in unknown.items())
        table.add_row("unknown", Text(f"values not understood: {listed}"))
    if isinstance(unwrapped := summary["unwrapped"], dict) and unwrapped:
        table.add_row("unwrapped", Text(", ".join(f"{k} {v:,}" for k, v in unwrapped.items())))
    first, last = summary["first_ts"], summary["last_ts"]
    if isinstance(first, float) and isinstance(last, float):
        table.add_row("time", Text(f"{when(first)} to {when(last)} UTC"))
    table.add_row("bundle", Text(str(summary["bundle"])[:12]))
    return table


def _short_names(streams: list[str]) -> dict[str, str]:
    """Stream names without what all share: leading directories, and the log's own name."""
    common = os.path.commonpath(streams) if len(streams) > 1 and all(streams) else ""
    short = {name: os.path.relpath(name, common) if common else name for name in streams}
    directories = {name: text.rpartition("/")[0] for name, text in short.items()}
    plain = len(set(directories.values())) == len(streams) and all(directories.values())
    return directories if plain else short


def _print_incidents(console: Console, incidents: list[Seen], names: dict[str, str]) -> None:
    def rank(entry: Seen) -> tuple[int, float]:
        return (-SEVERITIES.index(entry.notice.severity), -entry.notice.score)

    chosen = sorted(incidents, key=rank)[:SHOWN]
    chosen.sort(key=lambda entry: entry.notice.first_ts)
    counts = {
        threat: n for threat in NOTES if (n := sum(e.notice.threat == threat for e in incidents))
    }
    heading = ", ".join(f"{threat} {n:,}" for threat, n in counts.items())
    table = Table(box=SIMPLE, pad_edge=False, title=Text(f"Incidents: {heading}"), expand=True)
    table.add_column("from (UTC)", no_wrap=True)
    table.add_column("severity", no_wrap=True)
    table.add_column("threat", no_wrap=True)
    table.add_column("what happened", ratio=1, overflow="fold")
    table.add_column("flows", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    if len(names) > 1:
        table.add_column("seen in", overflow="fold", max_width=28)
    for entry in chosen:
        notice = entry.notice
        row: list[Text | str] = [
            Text(when(notice.first_ts)),
            Text(notice.severity, style=_STYLES[notice.severity]),
            Text(notice.threat),
            Text(notice.msg),
            f"{notice.flows:,}",
            f"{notice.score:.3f}",
        ]
        if len(names) > 1:
            row.append(Text(", ".join(sorted(names.get(s, s) for s in entry.streams))))
        table.add_row(*row)
    console.print(table)
    if len(incidents) > len(chosen):
        console.print(f"{len(incidents) - len(chosen):,} less severe incidents are not listed.")
