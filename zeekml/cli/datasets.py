"""`zeekml datasets`: what labelled data hold, before anything is trained on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from zeekml.cli.options import progress_option

if TYPE_CHECKING:
    from zeekml.datasets.data_report import DataReport
    from zeekml.datasets.read import Skipped

_SHOWN: Final = 200
_FULL: Final = 0.9995  # less than this is not "100.0 %"

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
    from zeekml.cli.run.progress import step_progress
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
    _print(reports, collection.skipped)


def _print(reports: Sequence[DataReport], skipped: Sequence[Skipped]) -> None:
    """One row per environment, then what has to be known about each."""
    from zeekml.cli.console import PlainTable, output_console
    from zeekml.core.text import printable

    console = output_console()
    heads = ("environment", "sensor", "rows", "distinct", "labels", "span", "figures")
    table = PlainTable(*heads, right=("rows", "distinct"))
    for report in reports:
        table.add(
            printable(report.name, 60),
            ", ".join(printable(sensor, 20) for sensor in report.sensors) or "-",
            f"{report.rows:,}",
            f"{report.distinct:,}",
            ", ".join(f"{name} {count:,}" for name, count in report.classes.items()),
            f"{report.span_seconds / 3600:,.1f} h in {report.captures}",
            "yes" if report.evaluated else "no",
        )
    console.print(table)
    for report in reports:
        console.say(printable(report.name, _SHOWN), "bold")
        remarks = [f"origin: {report.title}", f"terms: {report.licence}"]
        if report.caution:
            remarks.append(f"caution: {report.caution}")
        remarks += report.notes
        if report.contradictions:
            remarks.append(
                f"{report.contradictions:,} rows equal one of the other side (benign, malicious) "
                "in all that a record tells by itself"
            )
        gaps = [f"{name} {share:.1%}" for name, share in report.families.items() if share < _FULL]
        if gaps:
            told = "values that records tell, by feature family"
            remarks.append(f"{told}: {', '.join(gaps)}; all others 100%")
        if report.why_not:
            remarks.append(f"no figure is computed on it: {report.why_not}")
        for remark in remarks:
            console.say(f"  {printable(remark, 4 * _SHOWN)}")
    for left_out in skipped:
        reason = printable(left_out.reason, _SHOWN)
        console.say(f"not used: {printable(left_out.name)}: {reason}", "yellow")
