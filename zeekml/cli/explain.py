"""`zeekml explain`: why an incident was raised, and what would suppress the like of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zeekml.cli.options import PATH, bundle_option

if TYPE_CHECKING:
    from zeekml.cli.console import InertConsole
    from zeekml.triage.explanation import Explained
    from zeekml.triage.notice_reader import LineEvidence

_EPILOG = """\b
Examples:
  zeekml explain 3f9a --state /var/lib/zeekml
  zeekml explain CmvrSS1wIiuOGYCbfi --out scored --json
"""
_BAR = 20


@click.command(epilog=_EPILOG)
@click.argument("name", metavar="ID_OR_UID")
@click.option("--state", type=PATH, metavar="DIR", help="Of `zeekml watch`.")
@click.option("--out", type=PATH, metavar="DIR", help="Of `zeekml score`.")
@bundle_option
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def explain(
    name: str, state: Path | None, out: Path | None, bundle: Path | None, as_json: bool
) -> None:
    """Show the whole picture of an incident.

    ID_OR_UID is the incident's zeekml_id or the beginning of it, or the uid of one of its flows.
    """
    from zeekml.cli.console import output_console
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.triage.explanation import explain_incident
    from zeekml.triage.lookup import find_incident

    if (state is None) == (out is None):
        raise click.UsageError("name one of --state and --out")
    found = explain_incident(find_incident(name, state=state, out=out), load_bundle(bundle))
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _print(output_console(), found)


def _print(console: InertConsole, found: Explained) -> None:
    from zeekml.cli.console import PlainTable
    from zeekml.core.units import when
    from zeekml.triage.explanation import allow_command

    line = found.latest
    console.say(line.msg, "bold")
    console.say(
        f"{line.note}, {line.severity}, {line.state}; incident {line.id}, group {line.group or '-'}"
    )
    console.say(line.sub)
    for what, text in line.told():
        console.say(f"{what[0].upper()}{what[1:]}: {text}")
    heads = ("line", "written", "state", "flows", "highest score")
    table = PlainTable(*heads, title="Lines", title_justify="left")
    for n in found.lines:
        table.add(str(n.seq), when(n.ts), n.state, f"{n.flows:,}", f"{n.score:.3f}")
    console.print(table)
    if found.told.evidence is None:
        console.say("What its lines rest on is no longer kept.")
    else:
        _print_evidence(console, found, found.told.evidence)
    console.say()
    console.say("To silence the like of it, and nothing else:", "bold")
    console.print(allow_command(line), soft_wrap=True, markup=False, highlight=False)


def _print_evidence(console: InertConsole, found: Explained, evidence: LineEvidence) -> None:
    from zeekml.cli.console import PlainTable
    from zeekml.core.units import when
    from zeekml.triage.explanation import pair_timing, related_flows
    from zeekml.triage.pair_timeline import timeline_lines

    if found.rule:
        console.say("One flow alone was enough to open it:", "bold")
        console.say(f"  {found.rule}")
    if found.reasons:
        site = found.usual_is_of == "site"
        whose = "of this site" if site else "of the networks it was trained on"
        heads = ("what", "usual (5 % to 95 %)", "", "log-odds")
        table = PlainTable(*heads, title=f"Why, usual {whose}", title_justify="left")
        for why in found.reasons:
            table.add(why.words, why.usual, why.place, f"{why.contribution.contribution:+.2f}")
        console.print(table)
    else:
        if not found.same_bundle:
            text = "another bundle made this notice; name it with --bundle for all reasons"
            console.say(text, "yellow")
        for reason in found.told.why:
            if reason == found.rule:
                continue
            console.say(f"  {reason}")
    console.say(
        f"{found.agreeing} of {len(found.members)} members reach the threshold of "
        f"{found.told.threshold:.3f} on the flow by themselves:"
    )
    for number, score in enumerate(found.members):
        bar = "#" * max(1, round(_BAR * score))
        mark = "*" if score >= found.told.threshold else " "
        console.say(f"  {number:>3}  {score:.3f} {mark} {bar}")
    if evidence.classes:
        shares = sorted(evidence.classes.items(), key=lambda item: -item[1])
        told = ", ".join(f"{threat} {share:.0%}" for threat, share in shares if share >= 0.005)
        console.say(f"If it is malicious, it is: {told}")
    if timing := pair_timing(found.lines):
        for text in timeline_lines(timing):
            console.say(text)
    if related := related_flows(found.lines):
        flows = ("began", "from", "to", "service", "score", "uid")
        table = PlainTable(*flows, title="Flows that opened it", title_justify="left")
        for flow in related:
            named = (flow.service or "", f"{flow.score:.3f}", flow.uid or "")
            table.add(when(flow.ts), flow.source, flow.target, *named)
        console.print(table)
