"""Sinks: whether what they need on this machine is there. Nothing is sent."""

from __future__ import annotations

import os
from pathlib import Path

from zeekml.doctor.access import Account, obstacle
from zeekml.doctor.finding import Check, Finding
from zeekml.sink_config import AnySink, CommandSettings
from zeekml.sinks.message import DeliveryError
from zeekml.sinks.new_sink import new_sink
from zeekml.sinks.secrets import read_secret
from zeekml.sinks.sink_filter import about_sink

_FILES = ("url_file", "token_file", "ca_file", "cert_file", "key_file")
_SECRETS = ("url", "token")
_CREDENTIALS = "/run/credentials/"
"""Where systemd puts what a unit loads; nobody but the unit's own processes can look there."""


def examine_sink(name: str, settings: AnySink, account: Account) -> Finding:
    """Judge one sink of the configuration."""
    check = Check("sink", about_sink(name))
    needed = [(key, getattr(settings, key, None), os.R_OK) for key in _FILES]
    if isinstance(settings, CommandSettings):
        needed.append(("argv", settings.argv[0], os.R_OK | os.X_OK))
    for key, path, need in needed:
        if path is None:
            continue
        if path.startswith(_CREDENTIALS):
            text = f"{key} {path} is there for the service alone"
            return check.unknown(text, "see that the unit has LoadCredential= for it")
        try:
            wall = obstacle(Path(path), account, need)
        except OSError as error:
            return check.fail(f"{key} {path}: {error.strerror}", "name a file that is there")
        if wall is not None:
            return wall.finding(check, account, f"use {key}")
    told = new_sink(settings).target
    unset = [v for key in _SECRETS if (v := getattr(settings, f"{key}_env", None)) is not None]
    try:
        for key in _SECRETS:
            read_secret(key, getattr(settings, f"{key}_file", None), None)
    except DeliveryError as error:
        return check.fail(error.told, "put the secret alone into the file, on one line")
    if unset:
        text = f"{told}; whether the service has {', '.join(unset)} in its environment"
        return check.unknown(f"{text} cannot be seen from here", f"try: zeekml sinks test {name}")
    return check.ok(f"{told}; what it needs is there; to send something: zeekml sinks test {name}")
