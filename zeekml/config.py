"""Settings that a user may put into a TOML file; flags of the command line win over them.

Every key and its default stands in `Config`; `docs/configuration.md` explains them to users.
"""

from __future__ import annotations

import ipaddress
import math
import re
import tomllib
from pathlib import Path
from typing import Final

import msgspec

from zeekml.alerts.also import read_also
from zeekml.core.listen_address import parse_listen_address
from zeekml.detection.notice import SEVERITIES
from zeekml.errors import ConfigError
from zeekml.features.feature_schema import LOCAL_NETS, MOST_RECORDS
from zeekml.readers.events.event_schema import CONTEXT_HOLD
from zeekml.readers.flow_schema import SURICATA_HOLD

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
    feed_expire: float = (
        86_400.0  # seconds from an incident's last line until its hosts leave a feed
    )
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
    try:
        config = msgspec.convert(values, Config)
        _check(config)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(_located(path, text, str(error))) from error
    return config


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


def _located(path: Path, text: str, problem: str) -> str:
    """The problem with the line of the key it is about, as far as the message tells."""
    key = re.search(r"unknown field `(\w+)`", problem) or re.search(r"`\$\.(\w+)", problem)
    what = problem.split(" - at ")[0]
    if "unknown field" in problem and key:
        known = ", ".join(Config.__struct_fields__)
        what = f"unknown key '{key[1]}'; known keys are {known}"
    elif key:
        what = f"{key[1]}: {what}"
    if key:
        for number, line in enumerate(text.splitlines(), 1):
            if re.match(rf"\s*['\"]?{key[1]}['\"]?\s*=", line):
                return f"{path}:{number}: {what}"
    return f"{path}: {what}"
