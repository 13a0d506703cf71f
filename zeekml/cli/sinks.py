"""`zeekml sinks`: where notices are pushed to, whether that works, and what did not get there."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeekml.cli.options import Setup, chosen_path, config_option, path_option

if TYPE_CHECKING:
    from zeekml.sink_config import AnySink
    from zeekml.sinks.queue_reader import QueueReader, SinkStatus

_EPILOG = """\b
Examples:
  zeekml sinks list
  sudo -u zeekml zeekml sinks test soc
  zeekml sinks status --state /var/lib/zeekml
  zeekml sinks dead soc --state /var/lib/zeekml
  zeekml sinks retry soc --state /var/lib/zeekml
"""
_TEST_EPILOG = """\b
Examples:
  sudo -u zeekml zeekml sinks test soc
  zeekml sinks test soc --config zeekml.toml

\b
Exit codes: 0 it was taken, 1 it was not, 66 there is no such sink, 78 configuration wrong.
"""

_state_option = path_option(
    "--state", "DIR", "Of `zeekml watch` [default: that of the configuration]."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


@click.group(epilog=_EPILOG)
def sinks() -> None:
    """See and try the sinks that notices are pushed to."""


@sinks.command("list")
@config_option
@_json_option
def list_(config_file: Path | None, as_json: bool) -> None:
    """Show the sinks of the configuration, and which notices each gets."""
    from zeekml.cli.console import PlainTable, output_console, say
    from zeekml.sinks.new_sink import new_sink

    configured = Setup(config_file).config.sinks
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "type": _type(settings),
            "target": new_sink(settings).target,
            "form": getattr(settings, "template", None) or settings.format,
            "severity": settings.severity,
            "threats": list(settings.threats),
            "states": list(settings.states),
            "health": settings.health,
        }
        for name, settings in configured.items()
    ]
    if as_json:
        click.echo(json.dumps({"sinks": rows}, indent=2))
        return
    if not rows:
        say("No sinks; see [sinks.NAME] in docs/configuration.md.")
        return
    table = PlainTable("sink", "type", "goes to", "form", "from severity", "threats", "states")
    for row in rows:
        threats = ", ".join(row["threats"]) + (", health" if row["health"] else "")
        cells = [row[key] for key in ("name", "type", "target", "form", "severity")]
        table.add(*cells, threats, ", ".join(row["states"]))
    output_console().print(table)


@sinks.command(epilog=_TEST_EPILOG)
@click.argument("name", metavar="NAME")
@config_option
def test(name: str, config_file: Path | None) -> None:
    """Send a message that says it is a test, and show what the receiver answered.

    It goes out at once, past filters and queue. Run it as the user of the service, to see whether
    that user may read the secrets.
    """
    from contextlib import closing

    from zeekml.cli.console import say
    from zeekml.errors import InputError, ZeekmlError
    from zeekml.sinks.message import DeliveryError
    from zeekml.sinks.new_sink import new_sink
    from zeekml.sinks.trial import trial_message

    configured = Setup(config_file).config.sinks
    if name not in configured:
        known = ", ".join(configured) or "there are none"
        raise InputError(f"{name}: no such sink in the configuration; those are: {known}")
    message = trial_message(name, configured[name].format)
    with closing(new_sink(configured[name])) as sink:
        try:
            said = sink.send(message)
        except DeliveryError as error:
            again = "not tried again" if error.permanent else "would be tried again"
            raise ZeekmlError(f"sink {name}: {error.told} ({again} if it were a notice)") from None
        say(f"{name}: {sink.target}: {said} (key {message.key})")


@sinks.command()
@_state_option
@config_option
@_json_option
def status(state: Path | None, config_file: Path | None, as_json: bool) -> None:
    """Show what waits for each sink, what got there, and what is wrong."""
    from zeekml.cli.console import PlainTable, output_console, say
    from zeekml.core.text import printable
    from zeekml.core.units import duration, when

    setup = Setup(config_file)
    found, now = _queue(state, setup).status(), time.time()
    configured = setup.config.sinks
    if as_json:
        rows = [_as_json(sink, configured, now) for sink in found]
        click.echo(json.dumps({"sinks": rows}, indent=2))
        return
    if not found:
        say("Nothing was pushed yet.")
        return
    heads = ("waiting", "oldest", "delivered", "retried", "given up", "kept of these")
    table = PlainTable("sink", *heads, "last delivered (UTC)", "last error (UTC)", right=heads)
    for sink in found:
        tally = sink.tally
        oldest = duration(now - sink.oldest) if sink.oldest is not None else ""
        numbers = (tally.delivered, tally.retried, tally.dead, sink.dead_kept)
        last = when(tally.delivered_at) if tally.delivered_at is not None else "never"
        error = f"{when(tally.error_at)}: {tally.error}" if tally.error_at is not None else ""
        name = sink.name if sink.name in configured else f"{sink.name} (not configured)"
        cells = [f"{sink.waiting:,}", oldest, *(f"{n:,}" for n in numbers), last]
        table.add(printable(name), *cells, printable(error, 400))
    output_console().print(table)


@sinks.command()
@click.argument("name", metavar="[NAME]", required=False)
@_state_option
@config_option
def dead(name: str | None, state: Path | None, config_file: Path | None) -> None:
    """Print the notices that were given up, as JSON lines: sink, key, queued, why, notice."""
    for letter in _queue(state, Setup(config_file)).dead(name):
        told = {
            "sink": letter.sink,
            "key": f"{letter.id}/{letter.seq}",
            "queued": letter.at,
            "why": letter.why,
            "notice": json.loads(letter.line),
        }
        click.echo(json.dumps(told))


@sinks.command()
@click.argument("name", metavar="NAME")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@_state_option
@config_option
def retry(name: str, ids: tuple[str, ...], state: Path | None, config_file: Path | None) -> None:
    """Put notices that were given up back into the queue: all, or those of some incidents.

    A watch that runs sends them within seconds, else the next one does. ID is a notice's zeekml_id.
    """
    from zeekml.cli.console import say
    from zeekml.core.units import counted

    number = _queue(state, Setup(config_file)).retry(name, time.time(), ids)
    say(f"{counted(number, 'notice')} back in the queue of {name}")


def _queue(state: Path | None, setup: Setup) -> QueueReader:
    from zeekml.sinks.queue_reader import QueueReader

    directory = chosen_path(state, setup.config.state)
    if directory is None:
        raise click.UsageError("--state is needed, as an option or in the configuration.")
    return QueueReader(directory)


def _type(settings: AnySink) -> str:
    return str(settings.__struct_config__.tag)


def _as_json(sink: SinkStatus, configured: dict[str, AnySink], now: float) -> dict[str, Any]:
    tally = sink.tally
    return {
        "name": sink.name,
        "configured": sink.name in configured,
        "waiting": sink.waiting,
        "oldest_seconds": round(now - sink.oldest, 3) if sink.oldest is not None else 0,
        "delivered": tally.delivered,
        "retried": tally.retried,
        "dead": tally.dead,
        "dead_kept": sink.dead_kept,
        "last_delivered": tally.delivered_at,
        "last_error": tally.error,
        "last_error_at": tally.error_at,
    }
