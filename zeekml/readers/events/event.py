"""One event, and how its texts are made inert."""

from __future__ import annotations

from typing import Any, NamedTuple

from zeekml.core.text import printable
from zeekml.readers.events.event_schema import LONGEST_TEXT
from zeekml.readers.values import UNREADABLE, UNSET, read_text, understood


class Event(NamedTuple):
    """An event with the values of `EVENT_SCHEMA`."""

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
    more: int = 0


def event_text(value: Any) -> str | None:
    """A text of an event without control characters and of bounded length; None for none."""
    if type(value) is not str:
        value = understood(read_text, value)
        if value is None or value is UNREADABLE:
            return None
    return None if value in UNSET else printable(value, LONGEST_TEXT)


def event_name(value: Any) -> str | None:
    """A name of a host as DNS compares them: in lower case, without the dot at its end."""
    text = event_text(value)
    return None if text is None else text.lower().rstrip(".") or None
