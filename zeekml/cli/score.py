"""`zeekml score`: archived logs in, notices and a summary out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from zeekml.cli import options
from zeekml.cli.options import Setup

_EPILOG = """\b
Examples:
  zeekml score /opt/zeek/logs/2026-11-2* --out scored
  zeekml score /opt/zeek/logs --from 2026-11-20 --to 2026-11-27 --out scored
  zeekml score /var/log/suricata/eve.json --out scored --scores --enriched
  zeekml score conn.log --out scored --report scored
  zeekml score /opt/zeek/logs/2026-11-2* --out scored --feed scored/feed
  zeekml score conn.log --out scored --also ocsf:zeekml.ocsf.json --also cef:zeekml.cef
  zcat conn.*.log.gz | zeekml score - --out scored --json
  zeekml score no_header.log --like conn.log --out scored

\b
Exit codes: 0 all input read (rejected lines are in the summary), 65 input cut short,
less than half of the records could be read, or nothing could be scored
(what could be is written all the same), 66 no usable input, 74 output cannot be written,
78 configuration or rules wrong, 130 interrupted.
"""


@click.command(epilog=_EPILOG)
@options.inputs_argument
@options.path_option(
    "--out",
    "DIR",
    "Where results go; files of an earlier run there are replaced at the end.",
    required=True,
)
@click.option("--scores", is_flag=True, help="Write scores.parquet: one row per record.")
@click.option("--enriched", is_flag=True, help="Write conn_scored.log: each record with its score.")
@options.report_option("report", "report.html, what was found as one page that needs nothing else")
@options.dates_options
@options.feed_option
@options.column_options
@options.setup_options
@options.notice_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes to score with; small inputs use fewer. Results are the same for any number.",
)
@options.progress_option
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def score(
    inputs: tuple[str, ...],
    out: Path,
    report: Path | None,
    feed: Path | None,
    header: options.GivenHeader,
    setup: Setup,
    workers: int,
    dates: options.GivenDates,
    no_progress: bool,
    as_json: bool,
    **outputs: Any,
) -> None:
    """Score archived logs and write notices.

    INPUT is a Zeek conn.log (TSV or JSON), a Suricata eve.json, a directory of such files, a
    Parquet table of flows, or - for standard input. Compressed files (gzip, Zstandard, bzip2, xz)
    are read as they are; files of other kinds in a directory are skipped and counted. JSON records
    may be in arrays, over several lines, behind a prefix of syslog or in what a shipper puts around
    them.
    """
    from zeekml.core.arrow import do_without_pandas

    do_without_pandas()
    from zeekml.alerts.also import check_also
    from zeekml.batch.run import ScoreJob
    from zeekml.batch.run import score as run
    from zeekml.cli.console import say
    from zeekml.cli.run.progress import input_progress
    from zeekml.cli.run.summary import print_run
    from zeekml.core.text import printable
    from zeekml.detection.policy import load_policy
    from zeekml.errors import DataError
    from zeekml.html.page import check_page, report_page
    from zeekml.outputs import OUTPUT_NAMES, refuse_output_among_inputs
    from zeekml.readers.files.dated_files import on_dates
    from zeekml.readers.files.discovery import discover
    from zeekml.readers.shortfall import shortfall

    config = setup.config
    output_options = options.output_options(config, outputs)
    feed = options.chosen_path(feed, config.feed)
    ours = (out,) if feed is None else (out, feed)
    refuse_output_among_inputs(inputs, out)
    if feed is not None:
        refuse_output_among_inputs(inputs, feed, "--feed")
    page = None if report is None else report_page(report)
    if page is not None:
        check_page(page, {out / name for name in OUTPUT_NAMES})
    written = [out / name for name in OUTPUT_NAMES] + ([] if page is None else [page])
    kept_from = () if feed is None else (feed,)
    named = [path for given in inputs if (path := Path(given)).is_file()]
    check_also(output_options.also, logs=named, taken=written, kept_from=kept_from, appends=False)
    also_files = [also.path for also in output_options.also]
    wanted = dates()
    discovery = discover(inputs, exclude=(*ours, *also_files), columns=header())
    discovery = on_dates(discovery, wanted)
    logs = [file.path for stream in discovery.streams for file in stream.files if file.path]
    check_also(output_options.also, logs=logs, taken=written, kept_from=kept_from, appends=False)
    job = ScoreJob(
        out=out,
        config=config,
        bundle=setup.bundle,
        rules=setup.rules,
        feed=feed,
        options=output_options,
        dates=wanted,
        workers=workers,
    )
    with input_progress("Scoring", discovery.size or None, hidden=no_progress) as advance:
        result = run(discovery, job, advance)
    if page is not None:
        from zeekml.triage.score_report import score_report, write_score_report

        write_score_report(score_report(out, result.bundle, load_policy(job.rules)), page)
    for warning in result.warnings:
        say(f"zeekml: warning: {warning}", err=True)
    for remark in result.counters.remarks:
        say(f"zeekml: note: {remark}", err=True)
    if as_json:
        click.echo(json.dumps(result.summary, indent=2))
    else:
        print_run(result, discovery, out)
        if page is not None:
            click.echo(f"Report: {page}")
    rejects = printable(str(out / "rejects.jsonl"), 4096)
    short = shortfall(result.counters, discovery.streams, rejects=rejects)
    if short is not None:
        raise DataError(short)
