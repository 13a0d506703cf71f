"""`zeekml label`: say of an incident whether it was one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from zeekml.cli.options import PATH


@click.command()
@click.argument("incident", metavar="ID", required=False)
@click.argument("verdict", type=click.Choice(["true", "false"]), required=False)
@click.option("--threat", metavar="T", help="What it was, if not what the notice says.")
@click.option("--note", default="", metavar="TEXT", help="Why, for whoever reads the label.")
@click.option("--list", "listed", is_flag=True, help="Show the labels; with ID, its history.")
@click.option(
    "--state", type=PATH, required=True, metavar="DIR", help="State directory of the watch."
)
def label(
    incident: str | None,
    verdict: str | None,
    threat: str | None,
    note: str,
    listed: bool,
    state: Path,
) -> None:
    """Say that an incident is true, or a false alarm.

    ID is the notice's zeekml_id, or as much of it as no other incident begins with. Labels are kept
    in the state directory, with who gave them and when; a later one takes the place of an earlier
    one, which stays on record.
    """
    if listed:
        if verdict is not None or threat is not None or note:
            raise click.UsageError("--list only shows labels; leave the rest out.")
        _show(state, incident)
        return
    if incident is None or verdict is None:
        raise click.UsageError("ID and true or false are needed, or --list.")
    from zeekml.cli.console import say
    from zeekml.live.state.labels import label_incident
    from zeekml.live.state.reader import StateReader

    with closing(StateReader(state)) as reader:
        name, line = reader.incident(incident)
        evidence = reader.evidence(name)
    truth = verdict == "true"
    new = label_incident(
        state, name, truth, line, threat=threat or "", note=note, evidence=evidence
    )
    say(f"{name}: {verdict}" + ("" if new else ", as before"))


def _show(state: Path, incident: str | None) -> None:
    from zeekml.cli.console import PlainTable, output_console, say
    from zeekml.core.text import printable
    from zeekml.core.units import when
    from zeekml.errors import InputError
    from zeekml.live.state.labels import Labels, present_labels

    if not state.is_dir():
        raise InputError(f"{state}: is no state directory")
    shown = present_labels(state)
    if incident is not None:
        names = sorted({label.id for label in shown if label.id.startswith(incident)})
        if len(names) > 1:
            raise InputError(f"several labelled incidents begin with {incident}; give more of it")
        shown = []
        if names:
            with closing(Labels(state)) as labels:
                shown = labels.history(names[0])
    if not shown:
        say("No labels.")
        return
    table = PlainTable("incident", "label", "threat", "when (UTC)", "who", "note")
    for label in shown:
        truth = "true" if label.truth else "false"
        given = (when(label.at), printable(label.who, 80), printable(label.note, 1000))
        table.add(printable(label.id, 24), truth, printable(label.threat, 40), *given)
    output_console().print(table)
