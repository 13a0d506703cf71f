"""`zeekml train`: labelled flows in, a model bundle with its card out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeekml.cli import options

if TYPE_CHECKING:
    from zeekml.training.trainer import Learner

_EPILOG = """\b
Examples:
  zeekml train labelled/ --out my-bundle
  zeekml train labelled/ office=lab/flows.parquet --exclude old_set --out my-bundle --seed 7
  zeekml train labelled/ dmz=logs/2026-11-23::dmz-labels.csv --out my-bundle
"""


@click.command(epilog=_EPILOG)
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...")
@options.bundle_out_option
@click.option("--name", default="zeekml", show_default=True, help="Name kept in the manifest.")
@click.option("--exclude", multiple=True, metavar="NAME", help="Environment to leave out.")
@click.option(
    "--reference",
    multiple=True,
    metavar="NAME",
    help="Environment of which the bundle carries rows of features, for `zeekml adapt` to check "
    "that old threats are still found [default: all]. May be repeated.",
)
@options.overwrite_option
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of everything random.")
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="report.json",
    help="Report of `zeekml evaluate` on the same data, whose figures the model card is to hold.",
)
@options.learner_option
@options.progress_option
@click.option("--json", "as_json", is_flag=True, help="Print the evaluation as JSON.")
def train(
    datasets: tuple[str, ...],
    out: Path,
    evaluation: Path | None,
    learner: Learner,
    no_progress: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train an ensemble on labelled flows of several networks and write it as a bundle.

    DATASET is [NAME=]PATH[::LABELS]. PATH is a Parquet table of labelled flows, a directory of such
    tables (each one an environment), a log, or a directory of logs (one environment). LABELS is a
    label file (CSV); without it, labels.csv beside the logs is taken, or the labels inside of them
    (conn.log.labeled). See `zeekml datasets` for what such data hold. The bundle's model card says
    how the recipe did on each environment when it was left out of training.

    Trained members are kept in BUNDLE.unfinished until the bundle is written: the same command
    after one that was cut short goes on from them, and makes the same bundle.
    """
    from zeekml.cli.console import say
    from zeekml.cli.run.progress import step_progress
    from zeekml.training.build import build_bundle
    from zeekml.training.leave_one_out import as_markdown
    from zeekml.training.trainer import MemberPlan

    known = None
    if evaluation is not None:
        from zeekml.features.feature_schema import SCHEMA_HASH
        from zeekml.training.bundle_parts.evaluation_report import read_evaluation

        known = read_evaluation(evaluation, feature_schema=SCHEMA_HASH)
    with step_progress(hidden=no_progress) as progress:
        plan = MemberPlan.of(learner)
        report = build_bundle(
            datasets, out, plan=plan, evaluation=known, progress=progress, **given
        )
    bundle = report.bundle
    if as_json:
        summary = {
            "bundle": str(bundle.path),
            "sha256": bundle.digest,
            "skipped": [{"name": s.name, "reason": s.reason} for s in report.skipped],
            "evaluation": bundle.manifest.evaluation,
        }
        say(json.dumps(summary, indent=2))
        return
    if report.taken:
        say(f"{report.taken} members were there from a run that had not ended")
    for skipped in report.skipped:
        say(f"not used: {skipped.name}: {skipped.reason}")
    say("Leaving one environment out:")
    say(as_markdown(report.fitted.figures))
    say(f"bundle written to {bundle.path}, sha256 {bundle.digest}")
