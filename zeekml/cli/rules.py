"""`zeekml rules`: policy, allowlist, and content for other tools."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeekml.cli.options import PATH, path_option, rules_option

if TYPE_CHECKING:
    from zeekml.cli.console import PlainTable
    from zeekml.detection.allowlist import Allowlist, Entry
    from zeekml.detection.policy import Policy

_ALLOW_EPILOG = """\b
Examples:
  zeekml rules allow --rules /etc/zeekml/rules --src 10.0.0.5 --threat scan \\
      --reason "weekly scan" --owner alice@example.org --expiry 90d
  zeekml rules allow --rules /etc/zeekml/rules --src 10.0.8.0/24 --dst 192.0.2.10 --port 443 \\
      --note ZeekML::Exfiltration --reason "nightly backup" --owner bob --expiry 2027-06-30
"""
_CONTENT_EPILOG = """\b
Examples:
  zeekml rules content
  zeekml rules content wazuh sigma --to /etc/zeekml/content
"""


@click.group()
def rules() -> None:
    """Check or show the rules, add to the allowlist, or list content for other tools."""


@rules.command()
@rules_option
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def check(rules: Path | None, as_json: bool) -> None:
    """Read policy.yaml and allowlist.yaml and report the first mistake with its line."""
    from zeekml.cli.console import say
    from zeekml.detection.allowlist import load_allowlist
    from zeekml.detection.policy import load_policy

    policy = load_policy(rules)
    allowlist = load_allowlist(rules)
    if as_json:
        found = {
            "policy": {"file": policy.file, "detectors": len(policy.detectors)},
            "allowlist": {"file": allowlist.file, "entries_in_force": len(allowlist.active)},
            "warnings": list(allowlist.warnings()),
        }
        say(json.dumps(found, indent=2))
        return
    say(f"{policy.file}: {len(policy.detectors)} detectors, no mistakes")
    say(f"{allowlist.file}: {len(allowlist.active)} entries in force, no mistakes")
    for warning in allowlist.warnings():
        say(f"zeekml: warning: {warning}", err=True)


@rules.command()
@rules_option
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def show(rules: Path | None, as_json: bool) -> None:
    """Show the detectors and the allowlist in force."""
    from zeekml.cli.console import output_console, say
    from zeekml.detection.allowlist import load_allowlist
    from zeekml.detection.policy import load_policy

    policy, allowlist = load_policy(rules), load_allowlist(rules)
    if as_json:
        # a threshold of null is the bundle's
        expired = set(allowlist.expired)
        entries = [
            {
                "id": entry.id,
                "line": entry.line,
                **_scope_values(entry),
                "note": sorted(entry.notes),
                "reason": entry.reason,
                "owner": entry.owner,
                "until": entry.until,
                "expired": entry in expired,
            }
            for entry in allowlist.entries
        ]
        told = {
            "policy": policy.file,
            "detectors": [asdict(detector) for detector in policy.detectors],
            "allowlist": allowlist.file,
            "entries": entries,
        }
        say(json.dumps(told, indent=2))
        return
    console = output_console()
    console.print(_detectors(policy))
    if any(d.floor or d.alone for d in policy.detectors):
        console.print(_single_flows(policy))
    if allowlist.entries:
        console.print(_entries(allowlist))
    else:
        say(f"{allowlist.file}: no entries")


@rules.command(epilog=_ALLOW_EPILOG)
@click.option(
    "--rules", type=PATH, required=True, metavar="DIR", help="Directory of allowlist.yaml."
)
@click.option("--cidr", multiple=True, metavar="NET", help="Either host; may be repeated.")
@click.option("--src", multiple=True, metavar="NET", help="The host that starts the flow.")
@click.option("--dst", multiple=True, metavar="NET", help="The host that is contacted.")
@click.option("--port", multiple=True, type=int, help="Port of the host that is contacted.")
@click.option("--service", multiple=True, help="Service, as the sensor names it.")
@click.option("--direction", multiple=True, help="inbound, outbound, internal or external.")
@click.option("--domain", multiple=True, help="Names asked for: this one and those under it.")
@click.option("--sni", multiple=True, help="The same of server names in TLS alone.")
@click.option("--agent", multiple=True, help="User agent; * at its end stands for any rest.")
@click.option("--note", multiple=True, help="Note that the flows shall not raise.")
@click.option("--threat", multiple=True, help="The same by the threat.")
@click.option("--uid", multiple=True, help="A single flow.")
@click.option("--id", "name", metavar="NAME", help="By what silenced.jsonl calls the entry.")
@click.option("--reason", required=True, help="Why this is no incident.")
@click.option("--owner", required=True, help="Who says so.")
@click.option("--expiry", required=True, help="2027-01-31, 30d (from now), or never.")
def allow(
    rules: Path, name: str | None, reason: str, owner: str, expiry: str, **scopes: tuple[Any, ...]
) -> None:
    """Add an entry to allowlist.yaml.

    The file keeps its text and comments, and is replaced only by one without mistakes. A running
    `zeekml watch` takes it up within seconds.
    """
    from zeekml.cli.console import say
    from zeekml.detection.allowlist import Scope, allowlist_path, append_entry, expiry_from_now

    values: dict[str, Scope] = {"reason": reason, "owner": owner, "expiry": expiry_from_now(expiry)}
    if name is not None:
        values["id"] = name
    for scope, given in scopes.items():
        if given:
            values[scope] = given[0] if len(given) == 1 else given
    path = allowlist_path(rules)
    entry = append_entry(path, values)
    say(f"{path}:{entry.line}: entry {entry.id}, until {entry.until}")


@rules.command(epilog=_CONTENT_EPILOG)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@path_option("--to", "DIR", "Copy it below this directory, each NAME into one of its own.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there and differ.")
@click.option("--json", "as_json", is_flag=True, help="Print names, directories and files as JSON.")
def content(names: tuple[str, ...], to: Path | None, overwrite: bool, as_json: bool) -> None:
    """List or copy what comes for other tools: rules, templates, boards.

    All of it without a NAME. What each file is for is told by the README.md beside it.
    """
    from zeekml.alerts.shipped_content import copy_content, shipped_content
    from zeekml.cli.console import PlainTable, output_console, say

    found = {content.name: content for content in shipped_content()}
    if unknown := [name for name in names if name not in found]:
        raise click.BadParameter(f"{unknown[0]}: there is {', '.join(found)}", param_hint="NAME")
    if overwrite and to is None:
        raise click.UsageError("--overwrite needs --to DIR")
    chosen = [found[name] for name in dict.fromkeys(names)] or list(found.values())
    copied = copy_content(chosen, to, overwrite=overwrite) if to is not None else ()
    if as_json:
        told = [
            {
                "name": content.name,
                "title": content.title,
                "directory": str(to / content.name if to is not None else content.directory),
                "files": list(map(str, content.files)),
            }
            for content in chosen
        ]
        say(json.dumps(told, indent=2))
    elif copied:
        say("\n".join(map(str, copied)))
    elif names:
        say("\n".join(str(c.directory / file) for c in chosen for file in c.files))
    else:
        table = PlainTable("name", "what", "directory")
        for content in chosen:
            table.add(content.name, content.title, str(content.directory))
        output_console().print(table)


def _detectors(policy: Policy) -> PlainTable:
    from zeekml.cli.console import PlainTable

    heads = ("threat", "group by", "threshold", "window", "top", "flows", "members", "quiet")
    table = PlainTable(*heads, "severity", "ATT&CK", caption=policy.file)
    for d in policy.detectors:
        bands = ", ".join(
            f"{band.severity} from {band.score:g}"
            + (f" and {band.confidence} % confidence" if band.confidence else "")
            + (f" and {band.flows:,} flows" if band.flows > 1 else "")
            for band in d.bands
        )
        threat = d.threat if d.enabled else f"{d.threat} (off)"
        threshold = "auto" if d.threshold is None else f"{d.threshold:g}"
        numbers = (str(d.top), str(d.minimum_flows), str(d.minimum_members))
        row = (threat, ", ".join(d.group_by), threshold, f"{d.window:g} s", *numbers)
        attack = " ".join((d.tactic, *d.techniques)).strip()
        table.add(*row, f"{d.suppress_for:g} s", bands, attack)
    return table


def _single_flows(policy: Policy) -> PlainTable:
    """What one flow alone is enough by."""
    from zeekml.cli.console import PlainTable

    table = PlainTable("threat", "key", "one flow that meets all of this is enough")
    for d in policy.detectors:
        threat = d.threat if d.enabled else f"{d.threat} (off)"
        for key, rules in (("floor", d.floor), ("alone", d.alone)):
            for rule in rules:
                table.add(threat, key, str(rule))
    return table


def _entries(allowlist: Allowlist) -> PlainTable:
    from zeekml.cli.console import PlainTable
    from zeekml.core.text import printable

    heads = ("entry", "line", "covers", "for", "reason", "owner", "until")
    table = PlainTable(*heads, caption=allowlist.file)
    expired = set(allowlist.expired)
    for entry in allowlist.entries:
        scopes = [
            f"{name} {', '.join(printable(str(value), 80) for value in values)}"
            for name, values in _scope_values(entry).items()
        ]
        covers = "; ".join(scopes) or "all flows"
        notes = ", ".join(sorted(entry.notes)) or "all notes"
        until = f"{entry.until} (expired)" if entry in expired else entry.until
        table.add(entry.id, str(entry.line), covers, notes, entry.reason, entry.owner, until)
    return table


def _scope_values(entry: Entry) -> dict[str, list[Any]]:
    """The keys that say which flows an entry covers; nets and names as text."""
    nets = {"cidr": entry.cidr, "src": entry.src, "dst": entry.dst}
    scopes: dict[str, Iterable[Any]] = {name: map(str, given) for name, given in nets.items()}
    scopes |= {"port": entry.ports, "service": entry.services}
    scopes |= {"direction": entry.directions, "domain": entry.domains}
    scopes |= {"sni": entry.server_names, "agent": entry.agents, "uid": entry.uids}
    return {name: values for name, given in scopes.items() if (values := sorted(given))}
