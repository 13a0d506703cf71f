"""Messages for chats: Slack, Mattermost, Teams.

What a log says stands in elements that the chat shows as they are, so that no name in it becomes a
link, a mention or a heading.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from zeekml.core.text import printable
from zeekml.core.units import when
from zeekml.sinks.message import Message

_TITLE: Final = 140
_TEXT: Final = 1500
_FACT: Final = 400
_WHY: Final = 3
_STATES: Final = {"open": "opened", "update": "goes on", "closed": "over"}


def _slack(message: Message) -> bytes:
    title, text, facts = _told(message)
    fields = [f"{name}: {value}" for name, value in facts]
    return _json(
        {
            "text": _escaped(f"{title}: {text}"),
            "mrkdwn": False,
            "blocks": [
                {"type": "header", "text": _plain(title)},
                {"type": "section", "text": _plain(text)},
                {"type": "section", "fields": [_plain(field) for field in fields[:10]]},
            ],
        }
    )


def _plain(text: str) -> dict[str, object]:
    return {"type": "plain_text", "text": _escaped(text), "emoji": False}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mattermost(message: Message) -> bytes:
    title, text, facts = _told(message)
    # within a fence nothing is a mention or markup, and no text may end it
    lines = [text, *(f"{name}: {value}" for name, value in facts)]
    inside = "\n".join(line.replace("`", "'") for line in lines)
    return _json({"text": f"**{title}**\n```\n{inside}\n```"})


def _teams(message: Message) -> bytes:
    title, text, facts = _told(message)
    # of all elements, text runs alone know no markup
    lines = [text, *(f"{name}: {value}" for name, value in facts)]
    heading = {"type": "TextRun", "text": title, "weight": "Bolder", "size": "Medium"}
    body = [{"type": "RichTextBlock", "inlines": [heading]}]
    body += [{"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": t}]} for t in lines]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    kind = "application/vnd.microsoft.card.adaptive"
    attachment = {"contentType": kind, "contentUrl": None, "content": card}
    return _json({"type": "message", "attachments": [attachment]})


CHAT_TEMPLATES: Final[Mapping[str, Callable[[Message], bytes]]] = MappingProxyType(
    {"slack": _slack, "mattermost": _mattermost, "teams": _teams}
)
"""Each template by its name; gives the body of the request."""


def _told(message: Message) -> tuple[str, str, list[tuple[str, str]]]:
    """A title in words of our own, what is the matter, and facts by name."""
    values = message.values
    threat = _word(values.get("zeekml_threat")) or "sensor"
    state = _STATES.get(str(values.get("zeekml_state")), "told")
    title = f"{_word(values.get('zeekml_severity')).upper()} {threat} {state}"
    text = printable(str(values.get("msg") or "-"), _TEXT)
    return title[:_TITLE], text, list(_facts(message))


def _word(value: Any) -> str:
    """A word of our vocabularies; nothing else gets where markup would count."""
    text = str(value or "")
    return text if text.isascii() and text.isalnum() and len(text) <= 32 else ""


def _facts(message: Message) -> Iterator[tuple[str, str]]:
    values = message.values
    named = (
        ("note", "note"),
        ("from", "src"),
        ("to", "dst"),
        ("port", "p"),
        ("flows", "zeekml_flows"),
        ("confidence", "zeekml_confidence"),
        ("details", "sub"),
    )
    for name, column in named:
        if (value := values.get(column)) not in (None, "", "-"):
            yield name, printable(str(value), _FACT)
    if why := values.get("zeekml_why"):
        yield "why", printable("; ".join(map(str, why[:_WHY])), _FACT)
    if isinstance(ts := values.get("ts"), int | float):
        yield "at", f"{when(ts)} UTC"
    yield "key", message.key


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
