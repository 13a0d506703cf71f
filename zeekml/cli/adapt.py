"""`zeekml adapt`: learn from a site's labels, if a gate lets what was learned through."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zeekml.cli.options import PATH, Setup, overwrite_option, progress_option, setup_options

if TYPE_CHECKING:
    from zeekml.adaptation.adapt import Adapted

REFUSED = 3
"""Exit code where the old bundle stays."""

_EPILOG = """\b
Examples:
  zeekml adapt --out scored logs/2026-11 --to my-bundle
  zeekml adapt --state /var/lib/zeekml /opt/zeek/logs/2026-11-29 --to my-bundle --dry-run
  zeekml adapt --out scored logs/2026-11 --bundle my-bundle --to my-bundle-2 --json
"""


@click.command(epilog=_EPILOG)
@click.argument("inputs", nargs=-1, metavar="[INPUT...]")
@click.option("--state", type=PATH, metavar="DIR", help="Labels of a `zeekml watch`.")
@click.option("--out", type=PATH, metavar="DIR", help="Labels of a `zeekml score`.")
@click.option(
    "--to", type=PATH, metavar="BUNDLE", help="Directory of the bundle to write; see --overwrite."
)
@overwrite_option
@click.option("--dry-run", is_flag=True, help="Write nothing; the exit code is the same.")
@setup_options
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def adapt(
    inputs: tuple[str, ...],
    state: Path | None,
    out: Path | None,
    to: Path | None,
    overwrite: bool,
    dry_run: bool,
    setup: Setup,
    no_progress: bool,
    as_json: bool,
) -> None:
    """Adapt a bundle to a site by labels (see `zeekml label`), and never to a worse one.

    INPUT is the logs that the labels are about, as `zeekml score` takes them. Without them, only
    what is kept of each incident is at hand: its first flow.

    Tried are, from mild to strong, higher thresholds, fewer members, site rules (what the false
    alarms have in common, in words), and new last layers of the members. Each is judged by labels
    held back, by the bundle's reference set of attacks, and by the incidents at the site. The
    mildest of the best becomes a new bundle, with the old one as its parent; if none is better
    without being worse in anything, the old one stays, and the exit code is 3.
    """
    from zeekml.adaptation.adapt import adapt as run
    from zeekml.adaptation.adapt import write_adapted
    from zeekml.adaptation.labelled_site import other_bundles, site_as_kept, site_of_logs
    from zeekml.adaptation.what_opens import Detection
    from zeekml.cli.console import say
    from zeekml.cli.run.progress import input_progress, step_progress
    from zeekml.detection.allowlist import load_allowlist
    from zeekml.detection.policy import load_policy
    from zeekml.ensemble.bundle_writer import check_place
    from zeekml.errors import InputError
    from zeekml.readers.files.discovery import discover
    from zeekml.triage.adaptation_decision import keep_decision
    from zeekml.triage.kept_incidents import kept_incidents
    from zeekml.triage.labels import present_labels

    if (state is None) == (out is None):
        raise click.UsageError("name one of --state and --out")
    if to is None and not dry_run:
        raise click.UsageError("--to BUNDLE is needed, or --dry-run")
    directory = state or out
    assert directory is not None
    if to is not None and not dry_run:
        # said before the work, not after
        check_place(to, overwrite=overwrite)
    labels = present_labels(directory)
    if not labels:
        raise InputError(f"{directory}: nobody gave a label; see `zeekml label --help`")
    config = setup.config
    detection = Detection(
        config.load_bundle(setup.bundle),
        load_policy(setup.rules),
        load_allowlist(setup.rules),
        tuple(config.local_nets),
    )
    with step_progress(hidden=no_progress or bool(inputs)) as step:
        if inputs:
            found_logs = discover(inputs, exclude=[directory])
            with input_progress("Scoring", found_logs.size or None, hidden=no_progress) as advance:
                of_logs = site_of_logs(
                    found_logs.streams, labels, detection, config, progress=advance
                )
                with of_logs as site:
                    found = run(site, detection, tell=step)
        else:
            kept = kept_incidents(state=state, out=out)
            base_rate = detection.bundle.manifest.calibration.base_rate
            found = run(site_as_kept(labels, kept, base_rate), detection, tell=step)
    if found.promoted and to is not None and not dry_run:
        found = write_adapted(found, to, overwrite=overwrite)
    if not dry_run:
        keep_decision(directory, time.time(), found.as_dict())
    warnings = list(found.warnings)
    if others := other_bundles(labels, detection.bundle.digest):
        warnings.append(
            f"labels are about incidents of another bundle ({', '.join(others)}); if it is still "
            "there, name it with --bundle"
        )
    for warning in warnings:
        say(f"zeekml: warning: {warning}", err=True)
    if as_json:
        say(json.dumps(found.as_dict(), indent=2))
    else:
        _print(found)
    if not found.promoted:
        raise click.exceptions.Exit(REFUSED)


def _print(found: Adapted) -> None:
    from zeekml.cli.console import PlainTable, output_console
    from zeekml.detection.site_rules import words

    console = output_console()
    heads = ("candidate", "false alarms left", "true lost", "missed found", "incidents", "")
    table = PlainTable(*heads, title="Judged by labels held back", right=heads[1:5])
    old = found.gate.old
    total = len(found.gate.false)
    table.add("as it is", f"{total} of {total}", "0", "0", f"{old.incidents:,}", "")
    for verdict in found.verdicts:
        figures = verdict.figures
        table.add(
            verdict.learner,
            f"{figures.false_raised} of {total}",
            f"{figures.true_lost}",
            f"{figures.missed_found}",
            f"{figures.incidents:,}",
            "promoted" if verdict is found.winner else "passed" if verdict.passed else "refused",
        )
    if found.verdicts:
        console.print(table)
    for reason in found.reasons:
        console.say(reason)
    if found.winner is not None:
        for rule in found.winner.change.rules:
            console.say(f"site rule {rule.name}, from {rule.labels} labels: {rule.threat} is not")
            console.say(f"  raised by flows with {words(rule)}")
    if found.bundle is not None:
        console.say(f"bundle written to {found.bundle.path}, sha256 {found.bundle.digest}")
    elif found.winner is None:
        console.say("The bundle stays as it is.")
