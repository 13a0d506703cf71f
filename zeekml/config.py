"""Settings that a user may put into a TOML file; flags of the command line win over them.

Every key and its default stands in `Config`; `docs/configuration.md` explains them to users.
"""

from __future__ import annotations

import ipaddress
import math
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from zeekml.alerts.also import read_also
from zeekml.core.listen_address import parse_listen_address
from zeekml.core.text import printable
from zeekml.detection.notice import SEVERITIES
from zeekml.errors import ConfigError
from zeekml.features.feature_schema import LOCAL_NETS, MOST_RECORDS
from zeekml.readers.events.event_schema import CONTEXT_HOLD
from zeekml.readers.flow_schema import SURICATA_HOLD
from zeekml.sink_config import SINK_TYPES, AnySink, check_sink

if TYPE_CHECKING:
    from zeekml.ensemble.bundle import Bundle

DEFAULT_CONFIG: Final = Path("/etc/zeekml/zeekml.toml")
"""Read when it exists and no other file is named."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings."""

    local_nets: tuple[str, ...] = LOCAL_NETS  # networks in CIDR notation that are the site's own
    # directory of the model bundle; None for the one that comes with zeekml
    bundle: str | None = None
    bundle_sha256: str | None = None  # digest the bundle must have, or None
    # public key in PEM, of whoever signs the bundles that may be used, or None
    bundle_public_key: str | None = None
    rules: str | None = None  # directory of the rules; None for those that come with zeekml
    notice_format: str = "json"  # form of notice.log: "json" or "tsv"
    context_records: int = 1 << 22  # most records of the last hour that are held per stream
    # most rejected lines of one file that are written per hour; the rest is counted
    rejects_per_file: int = 1000
    # live logs that zeekml watch follows; where both are empty it looks in the usual places
    zeek: tuple[str, ...] = ()
    suricata: tuple[str, ...] = ()
    # directories of the outputs and of the state of zeekml watch; None where only the command
    # line names them
    out: str | None = None
    state: str | None = None
    # directory of the files that Zeek and Suricata read, or None
    feed: str | None = None
    # seconds from an incident's last line until its hosts leave a feed
    feed_expire: float = 86_400.0
    feed_severity: str = "medium"  # the least severity of incidents whose hosts are in it
    # files that zeekml watch writes in further forms, each as FORMAT:FILE
    also: tuple[str, ...] = ()
    # command socket of a Suricata whose datasets shall hold these hosts, or None
    suricata_socket: str | None = None
    # seconds of log time for which Suricata's flows are held, to be put in order of their end
    suricata_hold: float = SURICATA_HOLD
    # seconds of log time by which Zeek's logs of events may be ahead of conn.log
    context_hold: float = CONTEXT_HOLD
    # file that gets the figures for Prometheus' node exporter, or None
    metrics_file: str | None = None
    # address on which the figures are served to Prometheus, or None
    metrics_listen: str | None = None
    # seconds without a record, or without one that can be scored, after which that is a
    # problem; 0 for never
    stall_after: float = 3600.0
    # seconds by which scoring may lag behind before that is a problem; 0 for never
    lag_after: float = 300.0
    # most megabytes (2**20 bytes) of the last hour's context that are kept on disk
    journal_mb: int = 1024
    # seconds of lag from which on records are passed over to catch up; 0 for never
    shed_lag: float = 0.0
    sinks: dict[str, AnySink] = {}  # where notices of zeekml watch are pushed to, by name

    def load_bundle(self, path: Path | None) -> Bundle:
        """The bundle at a path, None for the shipped one, if it is pinned and signed as wanted.

        Raises as `zeekml.ensemble.bundle.load_bundle` does.
        """
        # not needed by whoever only reads the configuration
        from zeekml.ensemble.bundle import load_bundle

        return load_bundle(path, pin=self.bundle_sha256, public_key=self.bundle_public_key)


MAX_HOLD: Final = 300.0
"""Longest `suricata_hold`, since notices come that much later, and `context_hold`; in seconds."""

_PATHS: Final = (
    *("bundle", "bundle_public_key", "rules", "zeek", "suricata", "out", "state", "feed"),
    *("suricata_socket", "metrics_file"),
)
_SECONDS: Final = (
    "suricata_hold",
    "context_hold",
    "stall_after",
    "lag_after",
    "shed_lag",
    "feed_expire",
)


def load_config(path: Path | None = None) -> Config:
    """Read the named file, or the default one if it exists, or take the defaults."""
    if path is None:
        if not DEFAULT_CONFIG.is_file():
            return Config()
        path = DEFAULT_CONFIG
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the configuration: {error}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        deep = "nested too deeply; no setting needs that"
        why = deep if isinstance(error, RecursionError) else error
        raise ConfigError(f"{path}: not valid TOML: {why}") from error
    sinks = _sinks(path, text, values.pop("sinks", {}))
    try:
        config = msgspec.structs.replace(msgspec.convert(values, Config), sinks=sinks)
        _check(config)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(_located(path, text, str(error))) from error
    return config


def _sinks(path: Path, text: str, tables: object) -> dict[str, AnySink]:
    """The `[sinks.NAME]` tables, each by itself, so that a mistake can be told with its line."""
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise ConfigError(_located(path, text, "must be tables [sinks.NAME] - at `$.sinks`"))
    sinks: dict[str, AnySink] = {}
    kinds: dict[str, type[AnySink]]
    kinds = {str(kind.__struct_config__.tag): kind for kind in SINK_TYPES}
    for name, table in tables.items():
        kind = kinds.get(str(table.get("type")))
        try:
            if kind is None:
                raise ValueError(f"must be one of {', '.join(kinds)} - at `$.type`")
            sink: AnySink = msgspec.convert(table, kind)
            check_sink(name, sink)
            sinks[name] = sink
        except (msgspec.ValidationError, ValueError) as error:
            known = ("type", *kind.__struct_fields__) if kind is not None else ()
            raise ConfigError(_located(path, text, str(error), known, name)) from error
    return sinks


def _check(config: Config) -> None:
    for net in config.local_nets:
        try:
            ipaddress.ip_network(net)
        except ValueError as error:
            raise ValueError(f"{error} - at `$.local_nets`") from error
    records = config.context_records
    for key, good, wanted in (
        ("notice_format", config.notice_format in ("json", "tsv"), "be 'json' or 'tsv'"),
        ("feed_severity", config.feed_severity in SEVERITIES, f"be one of {', '.join(SEVERITIES)}"),
        ("context_records", 1000 <= records <= MOST_RECORDS, f"be from 1000 to {MOST_RECORDS}"),
        ("rejects_per_file", config.rejects_per_file >= 0, "not be negative"),
        ("journal_mb", config.journal_mb >= 1, "be at least 1"),
    ):
        if not good:
            raise ValueError(f"must {wanted} - at `$.{key}`")
    for key in _PATHS:
        value = getattr(config, key)
        for path in (value,) if isinstance(value, str) else value or ():
            if not path or "\0" in path:
                raise ValueError(f"must be a path and must not be empty - at `$.{key}`")
    for text in config.also:
        try:
            read_also(text)
        except ValueError as error:
            raise ValueError(f"{error} - at `$.also`") from error
    if config.metrics_listen is not None:
        try:
            parse_listen_address(config.metrics_listen)
        except ValueError as error:
            raise ValueError(f"{error} - at `$.metrics_listen`") from error
    for key in _SECONDS:
        seconds = getattr(config, key)
        if not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"must be a number of seconds, 0 or more - at `$.{key}`")
    for key in ("suricata_hold", "context_hold"):
        if getattr(config, key) > MAX_HOLD:
            raise ValueError(f"must be at most {MAX_HOLD:g} - at `$.{key}`")


def _located(
    path: Path,
    text: str,
    problem: str,
    known: Iterable[str] = Config.__struct_fields__,
    sink: str | None = None,
) -> str:
    """The problem with the line of the key it is about, as far as the message tells.

    With `sink`, the key is one of that sink's table.
    """
    key = re.search(r"unknown field `([^`]+)`", problem) or re.search(r"`\$\.(\w+)", problem)
    what = problem.split(" - at ")[0]
    if "unknown field" in problem and key:
        what = f"unknown key '{printable(key[1], 60)}'; known keys are {', '.join(known)}"
    elif key:
        what = f"{key[1]}: {what}"
    section = ""
    if sink is not None:
        section = re.sub(r"['\"\s]", "", f"sinks.{sink}")
        what = f"sink {printable(sink, 80)}: {what}"
    line = _line_of(text, key[1] if key else "", section)
    return f"{path}:{line}: {what}" if line else f"{path}: {what}"


def _line_of(text: str, key: str, section: str) -> int:
    """The line on which a table has a key, or else the one on which it begins; 0 if unknown."""
    here, begins = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$", line):
            here = re.sub(r"['\"\s]", "", header[1])
            begins = number if here == section or (not begins and here == key) else begins
        elif here == section and key and re.match(rf"\s*['\"]?{re.escape(key)}['\"]?\s*=", line):
            return number
    return begins
