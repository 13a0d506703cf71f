"""`zeekml watch`: follow the logs of a live sensor."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import Any

import click

from zeekml.cli import interrupts, options
from zeekml.cli.options import Setup, chosen_path, path_option
from zeekml.core.text import printable
from zeekml.errors import DataError

_EPILOG = """\b
Examples:
  zeekml watch --out /var/log/zeekml --state /var/lib/zeekml
  zeekml watch --zeek /opt/zeek/logs/current --out notices --state state
  zeekml watch --out /var/log/zeekml --state /var/lib/zeekml --feed /var/log/zeekml/feed
  zeekml watch --suricata /var/log/suricata/eve.json --out notices --state state
  zeekml watch --out notices --state state --also ecs:notices/zeekml.ecs.json
  zeekml watch --out /var/log/zeekml --state /var/lib/zeekml \\
      --suricata-socket /run/suricata/suricata-command.socket
  zeekml watch --zeek conn.log --out notices --state state --until-idle 5
  zeekml watch --out notices --state state --metrics-listen 9977

\b
Signals: SIGTERM and SIGINT end the watch after what was read has been committed; SIGHUP reads the
rules again and opens the outputs anew.
Exit codes: 0 stopped, 65 nothing of what was read until it was idle could be scored,
66 no log to follow, 74 output or state cannot be written, 78 configuration or rules wrong,
130 interrupted.
"""

# whether something can be read is found out by reading it: the watcher waits for a log until it can
# be, and rights that a service was given one by one are not known to a check ahead
_PATH = click.Path(path_type=Path, readable=False)
_LOG: dict[str, Any] = {"type": _PATH, "multiple": True}
_MORE = "May be given several times."


@click.command(epilog=_EPILOG)
@path_option(
    "--zeek", "PATH", f"A conn.log that Zeek writes, or the directory it writes to. {_MORE}", **_LOG
)
@path_option(
    "--suricata", "PATH", f"An eve.json that Suricata writes, or its directory. {_MORE}", **_LOG
)
@path_option("--out", "DIR", "Where notices go; files that are there are appended to.", type=_PATH)
@path_option(
    "--state",
    "DIR",
    "Where the watch remembers how far it is; one watch at a time may use it.",
    type=_PATH,
)
@options.feed_option
@path_option(
    "--suricata-socket",
    "PATH",
    "Command socket of a running Suricata; its datasets zeekml-attackers, zeekml-servers and "
    "zeekml-hosts are made to hold the hosts that notices name.",
    type=_PATH,
)
@options.setup_options
@path_option(
    "--shadow",
    "BUNDLE",
    "A second bundle that scores, too, and raises nothing: STATE/shadow.json tells what it would "
    "have raised and dropped.",
    type=_PATH,
)
@click.option("--enriched", is_flag=True, help="Write conn_scored.log: each record with its score.")
@options.notice_options
@click.option(
    "--metrics-listen",
    metavar="HOST:PORT",
    callback=lambda _context, _option, text: _listen_address(text),
    help="Serve the figures for Prometheus at http://HOST:PORT/metrics; a port alone is on "
    "127.0.0.1.",
)
@click.option(
    "--until-idle",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="SECONDS",
    help="Stop when nothing has come for so long, and close all incidents.",
)
def watch(
    zeek: tuple[Path, ...],
    suricata: tuple[Path, ...],
    out: Path | None,
    state: Path | None,
    feed: Path | None,
    suricata_socket: Path | None,
    setup: Setup,
    shadow: Path | None,
    metrics_listen: str | None,
    until_idle: float | None,
    **outputs: Any,
) -> None:
    """Follow the logs of a live sensor and write notices as they come.

    Without --zeek and --suricata, and where the configuration names no logs, those in the usual
    places are followed. Every complete line counts exactly once, through rotations and restarts.
    """
    interrupts.remember_reloads()
    # for a service, SIGTERM is the usual end, at any time
    interrupts.install(terminated=0)
    from zeekml.live.tail.files_at_start import open_live_files

    live_files = open_live_files([*zeek, *suricata])
    config = setup.config
    if not zeek and not suricata:
        zeek, suricata = tuple(map(Path, config.zeek)), tuple(map(Path, config.suricata))
        live_files = open_live_files([*zeek, *suricata])
    out = chosen_path(out, config.out)
    state = chosen_path(state, config.state)
    feed = chosen_path(feed, config.feed)
    if out is None or state is None:
        missing = "--out" if out is None else "--state"
        raise click.UsageError(f"{missing} is needed, as an option or in the configuration.")
    if metrics_listen is not None:
        from msgspec.structs import replace

        config = replace(config, metrics_listen=metrics_listen)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_InertLines("%(asctime)s %(levelname)s %(message)s"))
    ours = logging.getLogger("zeekml")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    outputs["also"] = outputs["also"] or config.also
    output_options = options.output_options(config, outputs)
    from zeekml.core.arrow import do_without_pandas
    from zeekml.live.memory_trim import give_back_large_blocks

    give_back_large_blocks()
    do_without_pandas()
    from zeekml.alerts.also import check_also
    from zeekml.live.health.prometheus import check_metrics_file
    from zeekml.live.startup import Startup
    from zeekml.live.tail.default_paths import look_around
    from zeekml.live.tail.inputs import found_logs, named_logs
    from zeekml.outputs import OUTPUT_NAMES, refuse_nested, refuse_output_among_inputs

    logs = named_logs(zeek, suricata) if zeek or suricata else found_logs(look_around())
    paths = [path for group in logs for path in group.paths]
    for option, directory in (("--out", out), ("--state", state), ("--feed", feed)):
        if directory is not None:
            refuse_output_among_inputs([path.parent for path in paths], directory, option)
    refuse_nested(out, state)
    written = [out / name for name in OUTPUT_NAMES]
    if config.metrics_file is not None:
        check_metrics_file(Path(config.metrics_file), written)
        written.append(Path(config.metrics_file))
    kept_from = [state] if feed is None else [state, feed]
    check_also(output_options.also, logs=paths, taken=written, kept_from=kept_from, appends=True)
    received: list[int] = []
    with Startup(logs, state, live_files) as begun:
        from zeekml.live.service import Watcher, WatchJob
        from zeekml.triage.labels import FalseAlarms

        job = WatchJob(
            logs=logs,
            out=out,
            state=state,
            config=config,
            bundle=setup.bundle,
            rules=setup.rules,
            options=output_options,
            feed=feed,
            false_alarms=FalseAlarms(state),
            suricata_socket=chosen_path(suricata_socket, config.suricata_socket),
            shadow=shadow,
            until_idle=until_idle,
        )
        with Watcher(job, begun) as watcher:

            def end(number: int, _frame: object) -> None:
                received.append(number)
                watcher.stop()

            signal.signal(signal.SIGTERM, end)
            signal.signal(signal.SIGINT, end)
            interrupts.on_reload(watcher.reload)
            interrupts.check()
            watcher.run()
    if signal.SIGINT in received:
        sys.exit(130)
    if until_idle is not None and not received and watcher.scored_nothing:
        raise DataError("nothing that was read could be scored; notice.log says what came instead")


def _listen_address(text: str | None) -> str | None:
    from zeekml.core.listen_address import parse_listen_address

    try:
        return None if text is None else str(parse_listen_address(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


class _InertLines(logging.Formatter):
    """A message is one line, whatever name or text of others is in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging calls it so
        return printable(super().formatMessage(record), None)
