"""`zeekml evaluate`: what the recipe or a bundle is worth on networks held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zeekml.cli.options import learner_option, path_option, progress_option, report_option

if TYPE_CHECKING:
    from zeekml.html.sections import Report
    from zeekml.training.trainer import Learner

_EPILOG = """\b
Examples:
  zeekml evaluate labelled/ --report report
  zeekml evaluate labelled/ office=lab/flows.parquet --quick
  zeekml evaluate new_network.parquet --bundle my-bundle --report report
  zeekml evaluate --bundle my-bundle --benign quiet=logs/2026-11-01 --benign home/conn.log
"""

# sections, and how many of their tables
_PRINTED = {"headline": 2, "baselines": 2, "infections": 1, "families": 1, "benign-networks": 1}


@click.command(epilog=_EPILOG)
@click.argument("datasets", nargs=-1, metavar="[DATASET...]")
@path_option(
    "--bundle", "DIR", "Score with this finished bundle instead of fitting the recipe anew."
)
@report_option("directory", "report.html and report.json (needs matplotlib)")
@click.option(
    "--benign",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Logs of a network taken to be benign, as `zeekml score` takes them: never trained on, "
    "and every notice is false. May be repeated.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Repeat every fit with so many seeds [default: 5].",
)
@click.option("--exclude", multiple=True, metavar="NAME", help="Environment to leave out.")
@click.option(
    "--ablations",
    is_flag=True,
    help="Also leave out each synthetic kind and each feature family in turn; takes hours.",
)
@click.option(
    "--adapting",
    type=click.IntRange(1, 1000),
    metavar="DRAWS",
    help="Also label false alarms of each network, adapt as `zeekml adapt` does, and see what "
    "follows, so many times for each of 1, 5, 10 and 50 labels; takes some 10 s a draw.",
)
@learner_option
@click.option("--quick", is_flag=True, help="One seed and rough intervals, for trying.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the tables.")
def evaluate(
    datasets: tuple[str, ...],
    bundle: Path | None,
    benign: tuple[str, ...],
    directory: Path | None,
    seeds: int | None,
    exclude: tuple[str, ...],
    ablations: bool,
    adapting: int | None,
    learner: Learner,
    quick: bool,
    no_progress: bool,
    as_json: bool,
) -> None:
    """Evaluate the recipe, leaving one network out, or a finished bundle.

    DATASET is what `zeekml train` takes: [NAME=]PATH[::LABELS], tables of labelled flows or logs
    with labels. Each environment is scored by what was fitted on all others alone: scaling,
    members, calibration, thresholds and the baselines that it is compared with.

    Besides, every recording is run by itself: is an infected host named, what does benign traffic
    raise, network by network, and which feature decides. With --bundle that takes seconds. Without,
    it costs fits, with the first seed alone: some for environments that serve training only, two
    for each that holds 20 infections of known families, and one with --benign.

    With --report, trained members are kept in DIR.unfinished until the report is written: the same
    command after one that was cut short goes on from them.
    """
    from zeekml.cli.run.progress import step_progress
    from zeekml.errors import OutputError
    from zeekml.evaluation.evaluate import evaluate as run
    from zeekml.evaluation.settings import Settings
    from zeekml.html.figures import require_matplotlib
    from zeekml.html.page import check_directory, check_page, json_text, report_page, write_report
    from zeekml.training.trainer import MemberPlan
    from zeekml.training.training_checkpoints import TrainingCheckpoints

    if not datasets and (bundle is None or not benign):
        raise click.UsageError("give a DATASET, or both --bundle and --benign")
    if bundle is not None and ablations:
        raise click.UsageError("--ablations fits the recipe anew; it cannot go with --bundle")
    if bundle is not None and seeds is not None:
        raise click.UsageError("--seeds repeats fits; with --bundle nothing is fitted")
    if directory is not None:
        require_matplotlib()  # said before minutes of work, not after
        page = report_page(directory)
        check_page(page)
        check_directory(page.parent, other_than=[bundle] if bundle is not None else [])
    if bundle is not None and learner != "joint":
        raise click.UsageError("--learner says how members are trained; --bundle has its own")
    checkpoints = None
    if directory is not None and bundle is None:
        checkpoints = TrainingCheckpoints.beside(directory)
        try:
            check_directory(checkpoints.directory)
        except OutputError as error:
            click.echo(f"zeekml: warning: trained members are not kept: {error}", err=True)
            checkpoints = None
    settings = Settings(
        plan=MemberPlan.of(learner),
        ablations=ablations,
        adapting=adapting or 0,
        checkpoints=checkpoints,
    )
    if quick:
        settings = replace(settings, seeds=seeds or 1, draws=50, few_draws=3, groups=2)
    elif seeds is not None:
        settings = replace(settings, seeds=seeds)
    with step_progress(hidden=no_progress) as progress:
        report = run(
            datasets,
            benign=benign,
            exclude=exclude,
            settings=settings,
            bundle=bundle,
            progress=progress,
        )
    if directory is not None:
        write_report(report, directory)
    if checkpoints is not None:
        checkpoints.remove()
    if as_json:
        click.echo(json_text(report), nl=False)
        return
    if checkpoints is not None and checkpoints.taken:
        click.echo(f"{checkpoints.taken} members were there from a run that had not ended")
    _print(report)
    if directory is not None:
        click.echo(f"Report: {page}, {page.with_suffix('.json')}")


def _print(report: Report) -> None:
    """Print headline, comparison and what an analyst sees; the rest is in the report."""
    from zeekml.cli.console import PlainTable, output_console
    from zeekml.core.text import printable

    console = output_console()
    for key, count in _PRINTED.items():
        section = report.section(key)
        for table in () if section is None else section.tables[:count]:
            # what a baseline is stands in the report
            shown = len(table.heads) - (table.heads[-1] == "what it is")
            heads = table.heads[:shown]
            drawn = PlainTable(*heads, title=table.caption, right=heads[1:], title_style="bold")
            for number, row in enumerate(table.rows):
                style = "bold" if number in table.strong else ""
                drawn.add(*map(printable, row[:shown]), style=style)
            console.print(drawn)
