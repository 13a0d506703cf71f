"""A message that says it is a test."""

from __future__ import annotations

import socket
import time

from zeekml.alerts.health_notice import SENSOR_HEALTH, HealthNotice, health_id
from zeekml.alerts.zeek_notice import encode_json
from zeekml.sinks.message import Message
from zeekml.sinks.sink_filter import about_sink


def trial_message(name: str, form: str) -> Message:
    """A notice about nothing, for one sink; each has a key of its own."""
    now, host = time.time(), socket.gethostname()
    notice = HealthNotice(
        ts=now,
        note=SENSOR_HEALTH,
        msg="TEST: this message was sent by `zeekml sinks test`; nothing has happened",
        sub="nothing is to be done",
        state="closed",
        seq=0,
        id=health_id("test", name, host, f"{now:.6f}"),
        severity="low",
        stream=about_sink(name),
        sensor=host,
        details={"test": 1},
    )
    return Message.of(encode_json(notice), form)
