"""From an incident to the allowlist entry that would have suppressed it, and no more."""

from __future__ import annotations

from zeekml.detection.allowlist import Scope, expiry_from_now
from zeekml.detection.incidents.message import has_ports
from zeekml.errors import InputError
from zeekml.triage.notice_reader import NoticeLine


def scopes(line: NoticeLine) -> dict[str, Scope]:
    """The scopes of the entry: what all flows of an incident share, and its note."""
    shared: dict[str, Scope] = {
        name: host for name, host in (("src", line.src), ("dst", line.dst)) if host
    }
    if line.p is not None and has_ports(line.proto):
        shared["port"] = line.p
    return {**shared, "note": line.note}


def allow_command(line: NoticeLine) -> str:
    """The command that adds the entry; reason and owner are left to whoever runs it."""
    options = " ".join(f"--{name} {value}" for name, value in scopes(line).items())
    return f'zeekml rules allow --rules DIR {options} --reason "..." --owner "..." --expiry 30d'


def entry_for(line: NoticeLine, *, reason: str, owner: str, expiry: str) -> dict[str, Scope]:
    """The entry that covers an incident's flows for its note.

    `InputError`: the flows share no host, so that the entry would suppress the note everywhere; or
    reason, owner or expiry (a date, days from now such as ``30d``, or ``never``) is missing.
    """
    if not (line.src or line.dst):
        raise InputError(
            "the incident's flows share no host; write an entry by hand (zeekml rules allow)"
        )
    given = {"reason": reason.strip(), "owner": owner.strip(), "expiry": expiry.strip()}
    for name, text in given.items():
        if not text:
            raise InputError(f"{name} is needed")
    return {**scopes(line), **given, "expiry": expiry_from_now(given["expiry"])}
