"""`zeekml check`: what is usually wrong with a sensor and the service beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from zeekml.cli import options

_EPILOG = """\b
Examples:
  zeekml check
  sudo -u zeekml zeekml check
  zeekml check --zeek /opt/zeek/logs/current/conn.log --out /var/log/zeekml --state /var/lib/zeekml

\b
Exit codes: 0 nothing that keeps zeekml from working, 1 something does (a line begins with `fail`).
"""

# what cannot be read is to be reported, not refused
_DIRECTORY = click.Path(path_type=Path, readable=False)


@click.command(epilog=_EPILOG)
@click.option(
    "--zeek",
    multiple=True,
    metavar="PATH",
    help="Live conn.log of Zeek; may be repeated [default: as for `zeekml watch`].",
)
@click.option(
    "--suricata",
    multiple=True,
    metavar="PATH",
    help="Live eve.json of Suricata; may be repeated [default: as for `zeekml watch`].",
)
@click.option("--out", type=_DIRECTORY, metavar="DIR", help="Where outputs go.")
@click.option("--state", type=_DIRECTORY, metavar="DIR", help="Where state goes.")
@options.column_options
@options.bundle_option
@options.rules_option
@options.config_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(
    header: options.GivenHeader, config_file: Path | None, as_json: bool, **places: Any
) -> None:
    """Look for what is usually wrong with a sensor, its logs and the service.

    Prints a line for each thing looked at: ok, warn (it works worse than it could), fail (it does
    not work) or unknown (it cannot be told), and what to do about it. Nothing is changed. Run as
    root, it looks at the rights of the user zeekml, if there is one.
    """
    from zeekml.doctor.examination import Wanted, examine
    from zeekml.doctor.finding import Level

    findings = examine(Wanted(columns=header(), config=config_file, **places))
    counts = {level: sum(f.level is level for f in findings) for level in Level}
    if as_json:
        keys = ("check", "level", "about", "text", "remedy")
        listed = [{key: str(getattr(f, key)) for key in keys} for f in findings]
        click.echo(json.dumps({"counts": counts, "findings": listed}, indent=2))
    else:
        for finding in findings:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            click.echo(f"{finding.level:<7} {finding.about}: {finding.text}{remedy}")
        click.echo(", ".join(f"{level} {n}" for level, n in counts.items()))
    if counts[Level.FAIL]:
        raise click.exceptions.Exit(1)
