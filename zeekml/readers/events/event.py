"""One event, and how its texts are made inert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from zeekml.core.text import printable
from zeekml.readers.batch_builder import canonical_address
from zeekml.readers.events.event_schema import LONGEST_TEXT
from zeekml.readers.values import (
    UNREADABLE,
    UNSET,
    read_count,
    read_number,
    read_text,
    read_time,
    understood,
)

MOST_ANSWERS: Final = 16
"""Addresses kept of one answer."""

MOST_STATUS: Final = 999


class Event(NamedTuple):
    """An event with the values of `EVENT`."""

    kind: str
    ts: float | None
    name: str | None
    query_type: str | None = None
    rcode: str | None = None
    answers: list[str] | None = None
    ttl: float | None = None
    method: str | None = None
    uri: str | None = None
    user_agent: str | None = None
    referrer: str | None = None
    mime_type: str | None = None
    status: int | None = None
    version: str | None = None
    subject: str | None = None
    issuer: str | None = None
    not_valid_before: float | None = None
    not_valid_after: float | None = None


def event_text(value: Any) -> str | None:
    """A text of an event without control characters and of bounded length; None for none."""
    if value is None:
        return None
    if type(value) is str:
        # nearly all are; the other way they would pass through unchanged, at twice the time
        if len(value) <= LONGEST_TEXT and value.isprintable():
            return None if value in UNSET else value
    else:
        value = understood(read_text, value)
        if value is UNREADABLE:
            return None
    return None if value in UNSET else printable(value, LONGEST_TEXT)


def event_name(value: Any) -> str | None:
    """A name of a host as DNS compares them: in lower case, without the dot at its end."""
    return event_text(value.lower().rstrip(".") if type(value) is str else value)


def event_host(value: Any) -> str | None:
    """The name or address in an HTTP request's Host, without the port that may stand behind it."""
    name = event_name(value)
    host, _, port = (name or "").rpartition(":")
    return host if host and port.isdigit() and (":" not in host or host.endswith("]")) else name


def event_time(value: Any) -> float | None:
    """A moment in epoch seconds; None for none."""
    time = understood(read_time, value)
    return None if time is UNREADABLE else time


def event_ttl(values: Sequence[Any]) -> float | None:
    """The shortest of the times, in seconds, for which answers may be remembered."""
    ttls = [value for value in values if type(value) is int and value >= 0]
    if len(ttls) < len(values):
        known = (understood(read_number, value) for value in values)
        ttls = [n for n in known if n is not None and n is not UNREADABLE and n >= 0]
    return float(min(ttls)) if ttls else None


def event_status(value: Any) -> int | None:
    """The status of a response; None for none."""
    status = value if type(value) is int else understood(read_count, value)
    return status if type(status) is int and 0 <= status <= MOST_STATUS else None


def event_addresses(values: Sequence[Any]) -> list[str]:
    """The first `MOST_ANSWERS` addresses among what was answered."""
    found = [canonical_address(value) for value in values if type(value) is str]
    return [address for address in found if address is not None][:MOST_ANSWERS]
