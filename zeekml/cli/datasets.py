"""`zeekml datasets`: what labelled data hold, before anything is trained on them."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from zeekml.cli.options import progress_option

_EPILOG = """\b
Examples:
  zeekml datasets labelled/
  zeekml datasets iot23/CTU-IoT-Malware-Capture-34-1/bro/conn.log.labeled
  zeekml datasets office=lab/conn.log.gz::lab/labels.csv --json
"""


@click.command(epilog=_EPILOG)
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...")
@click.option("--exclude", multiple=True, metavar="NAME", help="Environment to leave out.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def datasets(
    datasets: tuple[str, ...], exclude: tuple[str, ...], no_progress: bool, as_json: bool
) -> None:
    """Report on labelled data: rows, labels, gaps, contradictions, terms.

    DATASET is what `zeekml train` takes: [NAME=]PATH[::LABELS], where PATH is a Parquet table of
    labelled flows, a directory of such tables (each one an environment), a log, or a directory of
    logs (one environment). LABELS is a label file (CSV); without it, labels.csv beside the logs
    is taken, or the labels inside of them (conn.log.labeled).
    """
    from zeekml.cli.progress import step_progress
    from zeekml.datasets.data_report import report_on
    from zeekml.datasets.read import collect

    with step_progress(hidden=no_progress) as progress:
        progress("reading", 0, 1)
        collection = collect(datasets, exclude=exclude)
        reports = []
        total = len(collection.environments)
        for done, environment in enumerate(collection.environments):
            progress(f"features of {environment.name}", done, total)
            reports.append(report_on(environment))
    if as_json:
        summary = {
            "environments": [asdict(report) for report in reports],
            "skipped": [asdict(skipped) for skipped in collection.skipped],
        }
        click.echo(json.dumps(summary, indent=2))
        return
    from zeekml.cli.data_tables import print_data

    print_data(reports, collection.skipped)
