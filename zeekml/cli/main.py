"""Entry point: the command group, and errors turned into one line and an exit code.

Only click is imported here and at the top of the command modules, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import gc
import os
import resource
import sys

import click

from zeekml._version import __version__
from zeekml.cli import interrupts
from zeekml.cli.adapt import adapt
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
from zeekml.cli.sinks import sinks
from zeekml.cli.train import train
from zeekml.cli.watch import watch
from zeekml.core.text import printable
from zeekml.errors import DataError, OutputError, ZeekmlError

EXIT_INTERRUPTED = 130

_LEAST = 512 << 20  # bytes of address space without which not even the libraries can be loaded
_NEEDED = (
    "scoring with the usual context_records needs 5 GiB of address space, most of it never used"
)

_NO_THREAD = ("can't start new thread", "Failed to launch worker thread")  # Python's, Arrow's

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


for _command in (score, watch, explain, calibrate, dashboard, label, adapt, features):
    cli.add_command(_command)
for _command in (datasets, train, evaluate, bundle, rules, sinks, check):
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
    # what is imported stays: to look for garbage among it takes a tenth of a start
    gc.set_threshold(50_000)
    interrupts.install()
    try:
        if (problem := prepare_memory()) is not None and not _HELP.intersection(sys.argv):
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
        if (problem := memory_shortage(error)) is not None:
            _fail(problem, 1)
        if not isinstance(error, OSError):
            raise
        what = error.filename or "file system"
        _fail(f"{what}: {error.strerror or error}", OutputError.exit_code)


def prepare_memory() -> str | None:
    """Prepare for a limit of this process's memory; return what is wrong if it is too low."""
    if (limit := _limit()) is None:
        return None
    # one buffer of its own per processor, for matrix products that scoring does without
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return _told("the libraries cannot be loaded") if limit < _LEAST else None


def memory_shortage(error: BaseException) -> str | None:
    """What to say of an error that comes from want of memory; None for any other."""
    if isinstance(error, MemoryError):
        return _told(str(error).partition("\n")[0])
    text = str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return _told(str(error.filename or ""))
    # the dynamic loader and the thread libraries of Python and Arrow say it in words only
    if isinstance(error, ImportError) and "failed to map segment" in text:
        return _told(text)
    if any(words in text for words in _NO_THREAD):
        return _told("no thread can be started")
    # an extension module that found no memory and did not say so
    if isinstance(error, SystemError) and _limit() is not None:
        return _told("the libraries cannot be loaded")
    return None


def _told(detail: str) -> str:
    told, remedy = f"not enough memory ({detail})" if detail else "not enough memory", "free some"
    if (limit := _limit()) is not None:
        told += f": this process is limited to {limit >> 20:,} MiB (ulimit -v)"
        remedy = "raise the limit"
    return f"{told}; {remedy}, or lower context_records; {_NEEDED}"


def _limit() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def _fail(message: str, code: int) -> None:
    # a file name may hold anything, and the message stays one line on any terminal
    click.echo(f"zeekml: {printable(message, None)}", err=True)
    sys.exit(code)
