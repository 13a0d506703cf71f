"""`zeekml calibrate`: thresholds for a site, from its own logs and a budget of notices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeekml.cli import options
from zeekml.cli.options import Setup

if TYPE_CHECKING:
    from zeekml.calibration.calibrate import Calibrated

_EPILOG = """\b
Examples:
  zeekml calibrate /opt/zeek/logs --notices-per-day 5 --out /etc/zeekml/bundle
  zeekml calibrate eve.json.gz --notices-per-day 0.5 --out site-bundle --json
"""


@click.command(epilog=_EPILOG)
@options.inputs_argument
@click.option(
    "--notices-per-day",
    type=click.FloatRange(min=0, min_open=True, max=100_000),
    required=True,
    metavar="N",
    help="Incidents a day that you are ready to look at.",
)
@options.bundle_out_option
@click.option("--name", help="Name kept in the manifest [default: that of the bundle].")
@options.overwrite_option
@options.setup_options
@options.progress_option
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def calibrate(
    inputs: tuple[str, ...],
    out: Path,
    overwrite: bool,
    setup: Setup,
    no_progress: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Fit thresholds to your own logs and a budget of notices; no labels are needed.

    INPUT is what `zeekml score` reads: a week or more of ordinary days. Writes a bundle with the
    same models, the thresholds that give so many incidents a day on these logs, and what is usual
    at your site.
    """
    from zeekml.calibration.calibrate import calibrate as run
    from zeekml.cli.console import say
    from zeekml.cli.run.progress import input_progress, step_progress
    from zeekml.detection.allowlist import load_allowlist
    from zeekml.detection.policy import load_policy
    from zeekml.ensemble.bundle_writer import check_place
    from zeekml.errors import DataError
    from zeekml.outputs import refuse_output_among_inputs
    from zeekml.readers.files.discovery import discover
    from zeekml.readers.shortfall import shortfall

    config = setup.config
    # said before minutes of work, not after
    check_place(out, overwrite=overwrite)
    refuse_output_among_inputs(inputs, out)
    loaded = config.load_bundle(setup.bundle)
    policy, allowlist = load_policy(setup.rules), load_allowlist(setup.rules)
    discovery = discover(inputs, exclude=(out,))
    with (
        input_progress("Scoring", discovery.size or None, hidden=no_progress) as advance,
        step_progress(hidden=no_progress) as step,
    ):
        found = run(
            discovery.streams,
            out,
            bundle=loaded,
            policy=policy,
            allowlist=allowlist,
            config=config,
            overwrite=overwrite,
            progress=advance,
            trying=lambda done, total: step("trying thresholds", done, total),
            **given,
        )
    for warning in [*allowlist.warnings(), *found.warnings()]:
        say(f"zeekml: warning: {warning}", err=True)
    if as_json:
        say(json.dumps(found.as_dict(), indent=2))
    else:
        _print(found)
    short = shortfall(found.traffic.counters, discovery.streams)
    if short is not None:
        raise DataError(short)


def _print(found: Calibrated) -> None:
    from zeekml.cli.console import PlainTable, output_console

    console = output_console()
    low, high = found.days.interval(found.chosen)
    counters = found.traffic.counters
    console.say(
        f"{counters.accepted:,} flows of {found.days.observed:.1f} observed days. "
        f"{found.days.per_day(found.before):.1f} notices a day at the thresholds so far, "
        f"{found.days.per_day(found.chosen):.1f} at the new ones (95 % interval {low:.1f} to "
        f"{high:.1f}; budget {found.budget:g})."
    )
    threats = list(found.chosen.thresholds)
    right = ("a day", *threats)
    table = PlainTable("thresholds", *right, title="Incidents by threshold", right=right)
    shown = None
    for volume in found.curve:
        telling = volume is found.chosen or volume is found.before
        if not telling and shown is not None and volume.opened == shown.opened:
            continue  # a step that changes nothing
        shown = volume
        counts = volume.by_threat()
        marks = [f"{volume.shift:+g}"]
        if volume.shift == 0:
            marks.append("as they were")
        if volume is found.chosen:
            marks.append("chosen")
        table.add(
            ", ".join(marks),
            f"{found.days.per_day(volume):.1f}",
            *(f"{counts.get(threat, 0):,}" for threat in threats),
            style="bold" if volume is found.chosen else "",
        )
    console.print(table)
    console.say("Moved by so much on the log-odds of evidence; + is stricter.", "dim")
    console.say(f"bundle written to {found.bundle.path}, sha256 {found.bundle.digest}")
