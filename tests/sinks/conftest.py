"""Messages and certificates that the tests of sinks share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from certificates import Authority

from zeekml.alerts.zeek_notice import encode_json
from zeekml.detection.notice import Notice
from zeekml.sinks.message import Message


@pytest.fixture
def line(make_notice: Callable[..., Notice]) -> bytes:
    """A line of notice.log about an incident."""
    return encode_json(make_notice()).rstrip(b"\n")


@pytest.fixture
def message(line: bytes) -> Message:
    return Message.of(line, "notice")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))
