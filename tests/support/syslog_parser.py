"""A strict parser of RFC 5424 and of octet counting, written from the grammar of the RFCs."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

_HEADER = re.compile(
    rb"<(0|[1-9][0-9]{0,2})>1 "  # PRI, VERSION
    rb"(-|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z) "
    rb"([\x21-\x7e]{1,255}) "  # HOSTNAME
    rb"([\x21-\x7e]{1,48}) "  # APP-NAME
    rb"([\x21-\x7e]{1,128}) "  # PROCID
    rb"([\x21-\x7e]{1,32}) "  # MSGID
)
_SD_NAME = rb"[\x21\x23-\x3c\x3e-\x5c\x5e-\x7e]{1,32}"
_PARAM = re.compile(rb" (" + _SD_NAME + rb')="((?:[^"\\\]]|\\["\\\]])*)"')


class Parsed(NamedTuple):
    facility: int
    severity: int
    hostname: str
    app: str
    msgid: str
    sd_id: str
    params: dict[str, str]
    message: bytes


def parse(data: bytes) -> Parsed:
    """Parse one message; anything the grammar does not allow is an AssertionError."""
    header = _HEADER.match(data)
    assert header, data
    priority = int(header[1])
    assert priority <= 191
    if header[2] != b"-":
        datetime.fromisoformat(header[2].decode())
    at = header.end()
    name = re.compile(rb"\[(" + _SD_NAME + rb")").match(data, at)
    assert name, data
    at, params = name.end(), {}
    while param := _PARAM.match(data, at):
        key = param[1].decode()
        assert key not in params
        params[key] = re.sub(rb'\\(["\\\]])', rb"\1", param[2]).decode("utf-8")
        at = param.end()
    assert data[at : at + 2] == b"] ", data[at:]
    fields = (header[3].decode(), header[4].decode(), header[6].decode(), name[1].decode())
    return Parsed(priority // 8, priority % 8, *fields, params, data[at + 2 :])


def frames(data: bytes) -> list[bytes]:
    """The messages of a stream with octet counting."""
    found = []
    while data:
        length = re.match(rb"([1-9][0-9]*) ", data)
        assert length, data[:40]
        end = length.end() + int(length[1])
        assert len(data) >= end
        found.append(data[length.end() : end])
        data = data[end:]
    return found
