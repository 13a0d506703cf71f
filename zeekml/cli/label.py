"""`zeekml label`: say of incidents and flows whether they were attacks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zeekml.cli.options import PATH

if TYPE_CHECKING:
    from zeekml.triage.label_table import LabelRow

_EPILOG = """\b
Examples:
  zeekml label 3f9a false --note "the backup server" --state /var/lib/zeekml
  zeekml label 3f9a 77c0 81be true --threat c2 --out scored
  zeekml label CmvrSS1wIiuOGYCbfi true --threat exfil --out scored
  zeekml label --from labels.csv --out scored
  zeekml label list --out scored
  zeekml label undo 3f9a --out scored
"""
_USAGE = "say ID... true or ID... false, --from FILE, list, or undo ID..."


@click.command(epilog=_EPILOG)
@click.argument("words", metavar="ID... true|false", nargs=-1)
@click.option("--threat", metavar="T", help="What it was, if not what the notice says.")
@click.option("--note", default="", metavar="TEXT", help="Why, for whoever reads the label.")
@click.option(
    "--from",
    "table",
    type=PATH,
    metavar="FILE",
    help="CSV with the columns id or uid, label (true or false), and threat and note if wanted; "
    "- is standard input.",
)
@click.option("--state", type=PATH, metavar="DIR", help="Of `zeekml watch`.")
@click.option("--out", type=PATH, metavar="DIR", help="Of `zeekml score`.")
def label(
    words: tuple[str, ...],
    threat: str | None,
    note: str,
    table: Path | None,
    state: Path | None,
    out: Path | None,
) -> None:
    """Say that incidents are true, or false alarms.

    ID is a notice's zeekml_id, as much of it as no other incident begins with, or the uid of one of
    its flows: all flows of an incident are one example. A flow that raised nothing, such as one of
    an attack that was missed, is named by its uid or community id, with the --out of a run with
    --scores. `label list [ID]` shows what was said, `label undo ID...` takes it back.

    Labels are kept beside state or outputs, with who gave them and when; a later one takes the
    place of an earlier one, which stays on record. `zeekml adapt` learns from them.
    """
    if (state is None) == (out is None):
        raise click.UsageError("name one of --state and --out")
    directory = state or out
    assert directory is not None
    first = words[0] if words else ""
    if first in ("list", "undo") and (threat or note or table):
        raise click.UsageError(f"label {first} takes no labels; leave the options out")
    if first == "list":
        if len(words) > 2:
            raise click.UsageError("label list takes one ID at most")
        _show(directory, words[1] if len(words) == 2 else None)
    elif first == "undo":
        _undo(directory, words[1:])
    else:
        _put(_rows(words, threat, note, table), state, out)


def _rows(
    words: Sequence[str], threat: str | None, note: str, table: Path | None
) -> list[LabelRow]:
    from zeekml.triage.label_table import (
        LabelRow,
        bounded_lines,
        read_label_file,
        read_label_table,
    )

    if table is not None:
        if words or threat or note:
            raise click.UsageError("--from tells labels by itself; leave the rest out")
        if str(table) == "-":
            name = "standard input"
            return read_label_table(bounded_lines(sys.stdin, name), name)
        return read_label_file(table)
    if len(words) < 2 or words[-1] not in ("true", "false"):
        raise click.UsageError(_USAGE)
    truth = words[-1] == "true"
    return [LabelRow(name, truth, threat or "", note) for name in dict.fromkeys(words[:-1])]


def _put(rows: Sequence[LabelRow], state: Path | None, out: Path | None) -> None:
    import time

    from zeekml.cli.console import say
    from zeekml.core.text import printable
    from zeekml.triage.labels import Label, Labels, this_user
    from zeekml.triage.lookup import find_named

    named = find_named([row.name for row in rows], state=state, out=out)
    said: dict[str, LabelRow] = {}
    for row in rows:
        before = said.setdefault(named[row.name].id, row)
        if (before.truth, before.threat) != (row.truth, row.threat):
            shown = printable(row.name, 60)
            raise click.UsageError(f"{shown}: is labelled twice, and not alike; nothing was stored")
    who, now = this_user(), time.time()
    new = 0
    with closing(Labels(state or out or Path())) as labels:
        for row in said.values():
            what = named[row.name]
            told = row.truth, row.threat, row.note, who, now, what.line, what.evidence
            stored = labels.put(Label(what.id, *told))
            new += stored
            if len(said) <= 20:
                say(f"{what.id}: {str(row.truth).lower()}" + ("" if stored else ", as before"))
    if len(said) > 20:
        say(f"{new:,} labels stored, {len(said) - new:,} as before")


def _undo(directory: Path, names: Sequence[str]) -> None:
    from zeekml.cli.console import say
    from zeekml.errors import InputError
    from zeekml.triage.labels import FLOW, label_incident, present_labels

    if not names:
        raise click.UsageError("label undo needs an ID")
    present = {label.id: label for label in present_labels(directory)}
    for name in names:
        found = [of for of in present if of.startswith(name) or of == FLOW + name]
        if len(found) != 1:
            told = "no label begins" if not found else f"{len(found)} labels begin"
            raise InputError(f"{told} with {name}; see `zeekml label list`")
        label_incident(directory, found[0], None, present[found[0]].line)
        say(f"{found[0]}: taken back")


def _show(directory: Path, incident: str | None) -> None:
    from zeekml.cli.console import PlainTable, output_console, say
    from zeekml.core.text import printable
    from zeekml.core.units import when
    from zeekml.errors import InputError
    from zeekml.triage.labels import LABELS_FILE, Labels, present_labels

    if not directory.is_dir():
        raise InputError(f"{directory}: is no directory of a watch or a run")
    shown = present_labels(directory)
    if incident is not None and (directory / LABELS_FILE).exists():
        with closing(Labels(directory)) as labels:
            names = labels.ids(incident)
            if len(names) > 1:
                raise InputError(f"several labels begin with {incident}; give more of it")
            shown = labels.history(names[0]) if names else []
    if not shown:
        say("No labels.")
        return
    table = PlainTable("incident", "label", "threat", "when (UTC)", "who", "note")
    for label in shown:
        given = (when(label.at), printable(label.who, 80), printable(label.note, 1000))
        table.add(printable(label.id, 40), label.word, printable(label.threat, 40), *given)
    output_console().print(table)
