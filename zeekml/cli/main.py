"""Entry point: the command group, and errors turned into one line and an exit code.

Only click is imported here and at the top of the command modules, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys

import click

from zeekml._version import __version__
from zeekml.cli import interrupts, memory
from zeekml.cli.bundle import bundle
from zeekml.cli.calibrate import calibrate
from zeekml.cli.check import check
from zeekml.cli.dashboard import dashboard
from zeekml.cli.datasets import datasets
from zeekml.cli.evaluate import evaluate
from zeekml.cli.explain import explain
from zeekml.cli.features import features
from zeekml.cli.label import label
from zeekml.cli.rules import rules
from zeekml.cli.score import score
from zeekml.cli.train import train
from zeekml.cli.watch import watch
from zeekml.core.text import printable
from zeekml.errors import DataError, OutputError, ZeekmlError

EXIT_INTERRUPTED = 130

_HELP = frozenset({"-h", "--help", "--version"})

_EPILOG = """\b
Examples:
  zeekml score /opt/zeek/logs --out scored
  zeekml score eve.json.gz --out scored --scores --json
  zcat conn.log.gz | zeekml score - --out scored
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(__version__, prog_name="zeekml")
def cli() -> None:
    """Machine learning beside a Zeek or Suricata sensor: flows in, explained notices out."""


for _command in (score, watch, explain, calibrate, dashboard, label, features):
    cli.add_command(_command)
for _command in (datasets, train, evaluate, bundle, rules, check):
    cli.add_command(_command)


@cli.command()
def version() -> None:
    """Print the versions of zeekml, its feature schema and the shipped bundle."""
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.errors import BundleError
    from zeekml.features.feature_schema import FEATURES, SCHEMA_HASH

    click.echo(f"zeekml {__version__}")
    click.echo(f"feature schema {SCHEMA_HASH[:12]} ({len(FEATURES)} features)")
    try:
        shipped = load_bundle()
        click.echo(f"shipped bundle {shipped.short_digest} ({shipped.manifest.name})")
    except BundleError as error:
        click.echo(f"shipped bundle: {error}")


def main() -> None:
    """Run the command line and leave with the exit code that fits."""
    interrupts.install()
    try:
        if (problem := memory.prepare()) is not None and not _HELP.intersection(sys.argv):
            _fail(problem, 1)
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail("interrupted; nothing was changed", EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ZeekmlError as error:
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        # the reader of our output went away, which is its right: keep Python from complaining
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except RecursionError:
        _fail("an input is nested too deeply to be read", DataError.exit_code)
    except Exception as error:
        if (problem := memory.shortage(error)) is not None:
            _fail(problem, 1)
        if not isinstance(error, OSError):
            raise
        what = error.filename or "file system"
        _fail(f"{what}: {error.strerror or error}", OutputError.exit_code)


def _fail(message: str, code: int) -> None:
    # a file name may hold anything, and the message stays one line on any terminal
    click.echo(f"zeekml: {printable(message, None)}", err=True)
    sys.exit(code)
