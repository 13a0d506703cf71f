"""Syslog messages, read back by a strict parser of RFC 5424."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syslog_parser import frames, parse

from zeekml.core.text import printable
from zeekml.sink_config import FACILITIES
from zeekml.sinks.message import Message
from zeekml.sinks.rfc5424 import SD_ID, encode_syslog, framed

HOSTILE = st.text(max_size=80) | st.sampled_from(
    ['"]', "\\", '\\"', "]\n<0>1 - - - - - - x", "a\x00b", "\u2028", "\ud800", '[x@1 y="z"]']
)
VALUES = st.fixed_dictionaries(
    {"note": HOSTILE, "msg": HOSTILE, "zeekml_severity": HOSTILE, "zeekml_state": HOSTILE},
    optional={"zeekml_threat": HOSTILE, "ts": st.floats()},
)


def test_golden(message: Message) -> None:
    data = encode_syslog(message, "local4", "sensor-1")
    parsed = parse(data)
    assert data.startswith(b"<16")
    assert parsed[:6] == (20, parsed.severity, "sensor-1", "zeekml", parsed.msgid, SD_ID)
    assert parsed.msgid == message.values["note"]
    assert parsed.params == {
        "id": message.id,
        "seq": str(message.seq),
        "note": message.values["note"],
        "severity": message.values["zeekml_severity"],
        "state": message.values["zeekml_state"],
        "threat": message.values["zeekml_threat"],
    }
    assert parsed.message == message.body


@pytest.mark.parametrize(
    ("word", "number"), [("critical", 2), ("high", 3), ("medium", 4), ("low", 5)]
)
def test_severities(message: Message, word: str, number: int) -> None:
    line = json.dumps({**message.values, "zeekml_severity": word}).encode()
    assert parse(encode_syslog(Message.of(line, "notice"), "kern", "h")).severity == number


@given(VALUES, HOSTILE, st.sampled_from(FACILITIES), st.binary(max_size=50))
def test_nothing_leaves_its_field(
    values: dict[str, object], host: str, facility: str, body: bytes
) -> None:
    line = json.dumps({"zeekml_id": "ab" * 12, "zeekml_seq": 7, **values}).encode()
    message = Message.of(line, "notice")
    message = Message(message.id, message.seq, message.values, body)
    parsed = parse(encode_syslog(message, facility, host))
    assert parsed.facility == FACILITIES.index(facility)
    assert parsed.params["id"] == "ab" * 12
    assert parsed.params["seq"] == "7"
    assert parsed.params["state"] == printable(str(values["zeekml_state"]))
    assert len(parsed.message) == len(body)
    assert not set(parsed.message) & set(range(32))


@given(st.lists(st.binary(min_size=1, max_size=300)))
def test_frames_are_told_apart(messages: list[bytes]) -> None:
    assert frames(b"".join(map(framed, messages))) == messages
