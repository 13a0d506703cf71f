"""Messages in every form that a notice has: one line, under its key, whatever a log says."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sink_receivers import HttpReceiver
from syslog_parser import parse

from zeekml.alerts.formats import FORMATS
from zeekml.config import load_config
from zeekml.sink_config import WebhookSettings
from zeekml.sinks.message import Message
from zeekml.sinks.rfc5424 import encode_syslog
from zeekml.sinks.trial import trial_message
from zeekml.sinks.webhook import Webhook

HOSTILE = 'a"]} \\ [x@1 y="z"] |=\x00\x1b[2J\r\nforged: line\u2028 \ud800 ü'


def messages(line: bytes, form: str) -> list[Message]:
    """One about an incident, one that a log has a say in, and one about the watch itself."""
    values: dict[str, Any] = json.loads(line)
    hostile = {**values, "msg": HOSTILE, "sub": HOSTILE, "zeekml_why": [HOSTILE]}
    encoded = (line, json.dumps(hostile).encode())
    return [*(Message.of(each, form) for each in encoded), trial_message("soc", form)]


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_can_be_configured_and_sent(tmp_path: Path, line: bytes, form: str) -> None:
    config = tmp_path / "zeekml.toml"
    with HttpReceiver() as server:
        config.write_text(
            f'[sinks.soc]\ntype = "webhook"\nurl = "{server.url()}"\nformat = "{form}"\n'
        )
        settings = load_config(config).sinks["soc"]
        assert isinstance(settings, WebhookSettings)
        sent = messages(line, settings.format)
        with closing(Webhook(settings)) as sink:
            for message in sent:
                sink.send(message)
    assert [request.body for request in server.requests] == [message.body for message in sent]
    for request, message in zip(server.requests, sent, strict=True):
        assert request.headers["idempotency-key"] == message.key
        if form == "cef":
            assert request.headers["content-type"] == "text/plain; charset=utf-8"
            assert request.body.startswith(b"CEF:")
        else:
            assert request.headers["content-type"] == "application/json"
            assert isinstance(json.loads(request.body), dict)


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_is_one_message_of_syslog(line: bytes, form: str) -> None:
    for message in messages(line, form):
        told = parse(encode_syslog(message, "local0", "sensor-7"))
        assert (told.params["id"], told.params["seq"]) == (message.id, str(message.seq))
        assert told.message == message.body
        assert message.body.decode()
        assert not {*b"\r\n\0\x1b"} & {*message.body}
