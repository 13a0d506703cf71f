"""`zeekml dashboard`: incidents as they stand, at a terminal."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

import click

from zeekml.cli.options import PATH, Setup, config_option, rules_option


@click.command()
@click.option("--state", type=PATH, metavar="DIR", help="State directory of a zeekml watch.")
@click.option("--out", type=PATH, metavar="DIR", help="Output directory of a zeekml score.")
@click.option("--once", is_flag=True, help="Print one picture as text and leave.")
@click.option("--json", "as_json", is_flag=True, help="Print one picture as JSON and leave.")
@click.option(
    "--svg", type=PATH, metavar="FILE", help="Write a picture of the first screen and leave."
)
@rules_option
@config_option
def dashboard(
    state: Path | None,
    out: Path | None,
    once: bool,
    as_json: bool,
    svg: Path | None,
    rules: Path | None,
    config_file: Path | None,
) -> None:
    """Show incidents as they stand: beside a running watch, or of a finished run.

    Incidents can be opened, labelled true or false (with --state), and silenced, which adds an
    entry to the allowlist in the directory of rules. Press ? there for the keys.
    """
    if (state is None) == (out is None):
        raise click.UsageError("--state or --out is needed, and not both.")
    from zeekml.detection.policy import load_policy
    from zeekml.triage.source import OutputSource, StateSource

    rules = Setup(config_file, rules=rules).rules
    policy = load_policy(rules)
    with closing(StateSource(state) if state else OutputSource(out or Path())) as source:
        source.poll()
        if as_json:
            from zeekml.dashboard.panes import picture_data

            click.echo(json.dumps(picture_data(source, policy), indent=2))
        elif once:
            from zeekml.cli.console import output_console
            from zeekml.dashboard.panes import picture_lines

            console = output_console()
            for line in picture_lines(source, policy, console.width):
                console.print(line, soft_wrap=True, highlight=False)
        elif svg is not None:
            from zeekml.dashboard.app import write_svg

            write_svg(source, policy, rules, svg)
        elif not all(s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)):
            raise click.UsageError("this is no terminal; --once or --json print one picture.")
        else:
            from zeekml.dashboard.app import DashboardApp

            DashboardApp(source, policy, rules).run()
