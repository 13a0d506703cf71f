"""`zeekml rules`: check and show the policy."""

from __future__ import annotations

from pathlib import Path

import click

from zeekml.cli.options import rules_option


@click.group()
def rules() -> None:
    """Check or show the rules."""


@rules.command()
@rules_option
def check(rules: Path | None) -> None:
    """Read policy.yaml and report the first mistake with its line."""
    from zeekml.notices.policy import load_policy

    policy = load_policy(rules)
    click.echo(f"{policy.file}: {len(policy.detectors)} detectors, no mistakes")


@rules.command()
@rules_option
def show(rules: Path | None) -> None:
    """Show the detectors in force."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from zeekml.notices.policy import load_policy

    policy = load_policy(rules)
    table = Table(title=None, caption=policy.file)
    for heading in (
        "threat",
        "group by",
        "threshold",
        "window",
        "top",
        "flows",
        "members",
        "quiet",
    ):
        table.add_column(heading)
    for d in policy.detectors:
        table.add_row(
            Text(d.threat if d.enabled else f"{d.threat} (off)"),
            Text(", ".join(d.group_by)),
            "auto" if d.threshold is None else f"{d.threshold:g}",
            f"{d.window:g} s",
            str(d.top),
            str(d.minimum_flows),
            str(d.minimum_members),
            f"{d.suppress_for:g} s",
        )
    Console().print(table)
