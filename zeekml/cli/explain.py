"""`zeekml explain`: why an incident was raised, and what would silence it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeekml.cli.options import bundle_option

if TYPE_CHECKING:
    from rich.console import Console

    from zeekml.triage.explanation import Explained

_EPILOG = """\b
Examples:
  zeekml explain 3f9a --state /var/lib/zeekml
  zeekml explain CmvrSS1wIiuOGYCbfi --out scored --json
"""
_BAR = 20


@click.command(epilog=_EPILOG)
@click.argument("name", metavar="ID_OR_UID")
@click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="Of `zeekml watch`.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Of `zeekml score`.")
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
        return
    _print(output_console(), found)


def _print(console: Console, found: Explained) -> None:
    from rich.text import Text

    from zeekml.core.text import printable

    def say(text: str = "", style: str = "") -> None:
        console.print(Text(text, style=style))

    notice = found.notice
    say(printable(str(notice["msg"]), 400), "bold")
    say(
        f"{notice['note']}, {notice['zeekml_severity']}, {notice['zeekml_state']}; "
        f"incident {notice['zeekml_id']}, "
        f"group {printable(str(notice.get('zeekml_group', '-')), 40)}"
    )
    say(printable(str(notice["sub"]), 400))
    attack = " ".join(map(str, notice.get("zeekml_attack", ())))
    if attack:
        say(f"ATT&CK {attack}")
    signatures = notice.get("zeekml_signatures", ())
    if signatures:
        say(
            "Suricata alerts on its flows: " + "; ".join(printable(str(s), 120) for s in signatures)
        )
    _print_lines(console, found)
    if found.at is None or found.at.evidence is None:
        say("What its lines rest on is no longer kept.")
    else:
        _print_reasons(console, found)
        _print_members(console, found)
        _print_flows(console, found)
    say()
    say("To silence the like of it, and nothing else:", "bold")
    console.print(Text(found.silence), soft_wrap=True)


def _print_lines(console: Console, found: Explained) -> None:
    from zeekml.core.units import when

    table = _table("line", "written", "state", "flows", "highest score", title="Lines")
    for line in found.lines:
        n = line.notice
        table.add_row(
            str(n["zeekml_seq"]),
            when(float(n["ts"])),
            str(n["zeekml_state"]),
            f"{n['zeekml_flows']:,}",
            f"{n['zeekml_score']:.3f}",
        )
    console.print(table)


def _print_reasons(console: Console, found: Explained) -> None:
    from rich.text import Text

    from zeekml.core.text import printable

    assert found.at is not None
    if not found.reasons:
        why = found.at.notice.get("zeekml_why", ())
        if not found.same_bundle:
            text = "another bundle made this notice; name it with --bundle for all reasons"
            console.print(Text(text, style="yellow"))
        for reason in why:
            console.print(Text(f"  {printable(str(reason), 300)}"))
        return
    whose = "of this site" if found.usual_is_of == "site" else "of the networks it was trained on"
    table = _table("what", "usual (5 % to 95 %)", "", "log-odds", title=f"Why, usual {whose}")
    for reason in found.reasons:
        table.add_row(
            Text(reason.words),
            Text(reason.usual),
            Text(reason.place),
            f"{reason.contribution.contribution:+.2f}",
        )
    console.print(table)


def _print_members(console: Console, found: Explained) -> None:
    from rich.text import Text

    assert found.at is not None
    assert found.at.evidence is not None
    threshold = float(found.at.notice["zeekml_threshold"])
    scores = found.members
    console.print(
        Text(
            f"{found.agreeing} of {len(scores)} members reach the threshold of {threshold:.3f} on "
            "the flow by themselves:"
        )
    )
    for number, score in enumerate(scores):
        bar = "#" * max(1, round(_BAR * score))
        mark = "*" if score >= threshold else " "
        console.print(Text(f"  {number:>3}  {score:.3f} {mark} {bar}"))
    classes: dict[str, float] | None = found.at.evidence["classes"]
    if classes:
        shares = sorted(classes.items(), key=lambda item: -item[1])
        told = ", ".join(f"{threat} {share:.0%}" for threat, share in shares if share >= 0.005)
        console.print(Text(f"If it is malicious, it is: {told}"))


def _print_flows(console: Console, found: Explained) -> None:
    from rich.text import Text

    from zeekml.core.text import printable
    from zeekml.core.units import when
    from zeekml.triage.explanation import end_of

    related = found.related
    if not related:
        return
    table = _table("began", "from", "to", "service", "score", "uid", title="Flows that opened it")
    for flow in related:
        table.add_row(
            when(float(flow["ts"])),
            Text(end_of(flow, "orig")),
            Text(f"{end_of(flow, 'resp')}/{printable(str(flow['proto']), 20)}"),
            Text(printable(str(flow["service"] or ""), 40)),
            f"{float(flow['score']):.3f}",
            Text(printable(str(flow["uid"] or ""), 40)),
        )
    console.print(table)


def _table(*heads: str, title: str) -> Any:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, pad_edge=False, title=Text(title), title_justify="left")
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    return table
