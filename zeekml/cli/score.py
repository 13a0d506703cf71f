"""`zeekml score`: archived logs in, notices and a summary out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from zeekml.cli.options import (
    bundle_option,
    chosen_path,
    column_options,
    config_option,
    given_header,
    inputs_argument,
    notice_options,
    progress_option,
    rules_option,
    settings,
)
from zeekml.cli.say import say

_EPILOG = """\b
Examples:
  zeekml score /opt/zeek/logs/2026-11-2* --out scored
  zeekml score /var/log/suricata/eve.json --out scored --scores --enriched
  zeekml score conn.log --out scored --report scored/report.html
  zcat conn.*.log.gz | zeekml score - --out scored --json
  zeekml score no_header.log --like conn.log --out scored

\b
Exit codes: 0 all input read (rejected lines are in the summary), 65 input cut short,
less than half of the records could be read, or nothing could be scored
(what could be is written all the same), 66 no usable input, 74 output cannot be written,
78 configuration or rules wrong, 130 interrupted.
"""


@click.command(epilog=_EPILOG)
@inputs_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Where results go; files of an earlier run there are replaced at the end.",
)
@click.option("--scores", is_flag=True, help="Write scores.parquet: one row per record.")
@click.option("--enriched", is_flag=True, help="Write conn_scored.log: each record with its score.")
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Write what was found as one web page that needs nothing else.",
)
@column_options
@bundle_option
@rules_option
@config_option
@notice_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes to score with; small inputs use fewer. Results are the same for any number.",
)
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def score(
    inputs: tuple[str, ...],
    out: Path,
    scores: bool,
    enriched: bool,
    page: Path | None,
    columns: str | None,
    like: Path | None,
    bundle: Path | None,
    rules: Path | None,
    config_file: Path | None,
    notice_format: str | None,
    strict_notice: bool,
    workers: int,
    no_progress: bool,
    as_json: bool,
) -> None:
    """Score archived logs and write notices.

    INPUT is a Zeek conn.log (TSV or JSON), a Suricata eve.json, a directory of such files, a
    Parquet table of flows, or - for standard input. Compressed files (gzip, Zstandard, bzip2, xz)
    are read as they are; files of other kinds in a directory are skipped and counted. JSON records
    may be in arrays, over several lines, behind a prefix of syslog or in what a shipper puts around
    them.
    """
    from zeekml.batch.run import ScoreJob
    from zeekml.batch.run import score as run
    from zeekml.cli.progress import input_progress
    from zeekml.cli.report import print_run
    from zeekml.core.text import printable
    from zeekml.errors import DataError
    from zeekml.outputs import OutputOptions, refuse_output_among_inputs
    from zeekml.readers.files.discovery import discover
    from zeekml.readers.shortfall import shortfall

    config = settings(config_file)
    refuse_output_among_inputs(inputs, out)
    if page is not None:
        _check_page(page, out)
    discovery = discover(inputs, exclude=(out,), columns=given_header(columns, like))
    job = ScoreJob(
        out=out,
        config=config,
        bundle=chosen_path(bundle, config.bundle),
        rules=chosen_path(rules, config.rules),
        options=OutputOptions(
            scores=scores,
            enriched=enriched,
            notice_format=notice_format or config.notice_format,
            strict_notice=strict_notice,
            rejects_per_file=config.rejects_per_file,
        ),
        workers=workers,
    )
    with input_progress("Scoring", discovery.size or None, hidden=no_progress) as advance:
        result = run(discovery, job, advance)
    if page is not None:
        from zeekml.detection.policy import load_policy
        from zeekml.triage import score_report, write_score_report

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
    short = shortfall(
        result.counters, discovery.streams, rejects=printable(str(out / "rejects.jsonl"), 4096)
    )
    if short is not None:
        raise DataError(short)


def _check_page(page: Path, out: Path) -> None:
    """Refuse a place for the page before the work and not after it."""
    from zeekml.errors import OutputError
    from zeekml.html.page import is_page
    from zeekml.html.write import check_directory
    from zeekml.outputs import OUTPUT_NAMES

    if page.exists() and not is_page(page):
        # a slip of the keyboard must not cost a log
        raise OutputError(f"{page}: is there and is no such page; choose another --report")
    if page.resolve().parent == out.resolve() and page.name in OUTPUT_NAMES:
        raise OutputError(f"{page}: the run writes {page.name} there; choose another --report")
    check_directory(page.parent)
