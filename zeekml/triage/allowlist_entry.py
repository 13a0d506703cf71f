"""From an incident to an entry of the allowlist that would have silenced it."""

from __future__ import annotations

from zeekml.detection.allowlist_edit import Scope, expiry_from_now
from zeekml.detection.incidents.message import has_ports
from zeekml.errors import InputError
from zeekml.triage.notice_reader import NoticeLine


def entry_for(line: NoticeLine, *, reason: str, owner: str, expiry: str) -> dict[str, Scope]:
    """The entry that covers an incident's flows for its note, and no more than it must.

    Parameters
    ----------
    line
        Of the incident: what all its flows share are the scopes.
    reason, owner
        As the allowlist asks for them.
    expiry
        Date, number of days from now (``30d``), or ``never``.

    Raises
    ------
    InputError
        The flows share no host, so that the entry would silence the note everywhere; or reason,
        owner or expiry is missing.
    """
    if not (line.src or line.dst):
        raise InputError(
            "the incident's flows share no host; write an entry by hand (zeekml rules allow)"
        )
    given = {"reason": reason.strip(), "owner": owner.strip(), "expiry": expiry.strip()}
    for name, text in given.items():
        if not text:
            raise InputError(f"{name} is needed")
    values: dict[str, Scope] = {}
    if line.src:
        values["src"] = line.src
    if line.dst:
        values["dst"] = line.dst
    if line.p is not None and has_ports(line.flow.rpartition(" ")[2]):
        values["port"] = line.p
    values["note"] = line.note
    return {**values, **given, "expiry": expiry_from_now(given["expiry"])}


def described(values: dict[str, Scope]) -> str:
    """An entry in one line."""
    return ", ".join(f"{key} {value}" for key, value in values.items())
