"""`zeekml features`: the feature matrix, for anyone's own models."""

from __future__ import annotations

import json
from pathlib import Path

import click

from zeekml.cli import options
from zeekml.cli.options import Setup, column_options

_EPILOG = """\b
Examples:
  zeekml features conn.log --out features.parquet
  zeekml features /opt/zeek/logs/2026-11-23 --out day.parquet --json

\b
Exit codes: those of zeekml score. It also writes each rejected line to a file.
"""


@click.command(epilog=_EPILOG)
@options.inputs_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE.parquet",
    help="Parquet file to write; replaced when the run is complete.",
)
@column_options
@options.config_option
@options.progress_option
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def features(
    inputs: tuple[str, ...],
    out: Path,
    header: options.GivenHeader,
    config_file: Path | None,
    no_progress: bool,
    as_json: bool,
) -> None:
    """Write the feature matrix of logs as a Parquet table.

    One row per record in stream order: sensor, source, line, uid and ts, then the features as
    float32, null where the record does not tell.
    """
    from zeekml.cli.run.progress import input_progress
    from zeekml.errors import DataError
    from zeekml.features.parquet_export import write_feature_table
    from zeekml.readers.files.discovery import discover
    from zeekml.readers.shortfall import shortfall

    config = Setup(config_file).config
    discovery = discover(inputs, exclude=(out,), columns=header())
    size = discovery.size or None
    with input_progress("Computing features", size, hidden=no_progress) as advance:
        counters = write_feature_table(
            discovery.streams,
            out,
            local_nets=config.local_nets,
            max_records=config.context_records,
            progress=advance,
        )
    counters.files_skipped.update(discovery.files_skipped)
    if as_json:
        report = {
            "records_read": counters.records_read,
            "rows": counters.accepted,
            "records_rejected": counters.rejected,
            "records_skipped": counters.skipped,
            "files_skipped": counters.files_skipped,
            "truncated": counters.truncated,
            "values_unknown": counters.values_unknown,
            "out": str(out),
        }
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo(
            f"{counters.accepted:,} rows written to {out} ({counters.records_read:,} records read, "
            f"{counters.rejected.total():,} rejected, {counters.skipped.total():,} skipped)"
        )
    for remark in counters.remarks:
        click.echo(f"zeekml: note: {remark}", err=True)
    if rejected := ", ".join(f"{reason} {n:,}" for reason, n in counters.rejected.most_common()):
        click.echo(f"zeekml: warning: records that could not be read: {rejected}", err=True)
    short = shortfall(counters, discovery.streams, done="written")
    if short is not None:
        raise DataError(short)
