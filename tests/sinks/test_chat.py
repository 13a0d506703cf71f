"""Chat messages: whatever a log says, nothing in it is markup, a mention or a link."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.sink_config import TEMPLATES
from zeekml.sinks.chat import CHAT_TEMPLATES
from zeekml.sinks.message import Message

HOSTILE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["<!channel>", "@here", "```\n@all", "[x](http://evil)", "*_~`", "&lt;", "\x1b[2J", '"}],"']
    ),
)
WORDS = st.fixed_dictionaries(
    dict.fromkeys(("msg", "sub", "note", "src", "zeekml_threat", "zeekml_state"), HOSTILE)
    | {"zeekml_why": st.lists(HOSTILE, max_size=4), "zeekml_severity": HOSTILE}
)


def told(template: str, values: dict[str, Any]) -> Any:
    line = json.dumps({"zeekml_id": "ab" * 12, "zeekml_seq": 1, "ts": 1.5, **values})
    return json.loads(CHAT_TEMPLATES[template](Message.of(line.encode(), "notice")))


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


def test_every_template_that_may_be_configured_is_there() -> None:
    assert tuple(CHAT_TEMPLATES) == TEMPLATES


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_notice_for_people(template: str, message: Message) -> None:
    shown = "\n".join(texts(json.loads(CHAT_TEMPLATES[template](message))))
    assert message.key in shown
    assert message.values["msg"].split(",")[0] in shown
    assert "HIGH" in shown or "CRITICAL" in shown or "MEDIUM" in shown
    assert str(message.values["src"]) in shown


@given(WORDS)
def test_slack(values: dict[str, Any]) -> None:
    body = told("slack", values)
    assert body["mrkdwn"] is False
    for block in body["blocks"]:
        for text in [block.get("text"), *block.get("fields", [])]:
            if text is not None:
                assert text["type"] == "plain_text"
                assert 0 < len(text["text"]) <= 3000
    assert len(body["blocks"][0]["text"]["text"]) <= 150
    assert len(body["blocks"][2]["fields"]) <= 10
    for text in texts(body):
        assert "<" not in text
        assert ">" not in text
        assert text.isprintable()


@given(WORDS)
def test_mattermost(values: dict[str, Any]) -> None:
    lines = told("mattermost", values)["text"].split("\n")
    assert lines[0].startswith("**")
    assert lines[0].strip("*").replace(" ", "").isalnum()
    assert (lines[1], lines[-1]) == ("```", "```")
    assert not [line for line in lines[2:-1] if "`" in line or not line.isprintable()]


@given(WORDS)
def test_teams(values: dict[str, Any]) -> None:
    (attachment,) = told("teams", values)["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert card["type"] == "AdaptiveCard"
    for block in card["body"]:
        assert block["type"] == "RichTextBlock"
        assert [run["type"] for run in block["inlines"]] == ["TextRun"]
        assert all(run["text"].isprintable() for run in block["inlines"])
