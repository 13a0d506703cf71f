"""Notices about the sensor and about us, beside those about what the sensor saw.

They follow the wall clock, not the records', and stand in the same files: as lines of a notice.log
(`zeek_notice`), and as the engine event that an eve.json begins with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from zeekml.core.text import printable
from zeekml.core.units import utc
from zeekml.detection.notice import digest_of

SENSOR_HEALTH: Final = "ZeekML::Sensor_Health"
SENSOR_PROBLEM: Final = "ZeekML::Sensor_Problem"
MODEL_DRIFT: Final = "ZeekML::Model_Drift"

SHORTEST_START: Final = 1100
"""Characters of the first notice's `sub`: with it alone the file is longer than 1,024 bytes."""

_MSG_LENGTH: Final = 400
_SUB_LENGTH: Final = 4000
_DETAIL_LENGTH: Final = 256
_ID_BYTES: Final = 12
_PADDING_SAYS: Final = (
    "; what follows makes this line longer than 1,024 bytes, because shippers that tell files by "
    "their first 1,024 bytes do not read a shorter one: "
)
# Suricata's words for the levels of its own log
_LOG_LEVEL: Final = {"low": "Info", "medium": "Warning", "high": "Error", "critical": "Error"}

HealthState = Literal["open", "closed"]


@dataclass(frozen=True, slots=True)
class HealthNotice:
    """One line about the health of what is watched."""

    ts: float  # wall clock, epoch seconds
    note: str  # SENSOR_HEALTH, SENSOR_PROBLEM or MODEL_DRIFT
    msg: str  # what is the matter; since when, how much, and what to do about it. Plain text
    sub: str
    # open and 0 when a problem begins, closed and 1 when it is over. What happens and is over
    # at once has one line, closed and 0
    state: HealthState
    seq: int
    id: str  # 24 hexadecimal digits, the same for both lines of a problem; (id, seq) is unique
    severity: str  # one of SEVERITIES
    stream: str  # what it is about, as the caller names it; stream is empty for what is about all
    sensor: str
    details: Mapping[str, str | int | float]  # figures by name

    def described(self) -> tuple[str, ...]:
        """What it is about and the figures, each as plain ``name=value``."""
        about = {"sensor": self.sensor, "stream": self.stream}
        pairs = {name: value for name, value in about.items() if value} | dict(self.details)
        shown = {
            name: f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            for name, value in pairs.items()
        }
        return tuple(printable(f"{name}={value}", _DETAIL_LENGTH) for name, value in shown.items())


def health_id(*parts: str) -> str:
    """Name of a problem: 24 hexadecimal digits of BLAKE2b over the parts, each after its length."""
    return digest_of(_ID_BYTES, *parts)


def first_notice(
    ts: float, msg: str, facts: Mapping[str, str], *, sensor: str, stream: str = ""
) -> HealthNotice:
    """The notice that a live notice.log or eve.json begins with, longer than 1,024 bytes."""
    sub = printable("; ".join(f"{name}: {value}" for name, value in facts.items()), _SUB_LENGTH)
    if len(sub) < SHORTEST_START:
        sub = (sub + _PADDING_SAYS).ljust(SHORTEST_START, ".")
    return HealthNotice(
        ts=ts,
        note=SENSOR_HEALTH,
        msg=printable(msg, _MSG_LENGTH),
        sub=sub,
        state="closed",
        seq=0,
        id=health_id(SENSOR_HEALTH, sensor, stream, f"{ts:.6f}"),
        severity="low",
        stream=printable(stream),
        sensor=printable(sensor),
        details={},
    )


def health_event(notice: HealthNotice) -> bytes:
    """The notice as an EVE event of type ``engine``, which Suricata's schema allows."""
    record: dict[str, object] = {
        "timestamp": f"{utc(notice.ts):%Y-%m-%dT%H:%M:%S.%f}+0000",
        "log_level": _LOG_LEVEL[notice.severity],
        "event_type": "engine",
        "engine": {"module": "zeekml", "message": f"{notice.note}: {notice.msg}; {notice.sub}"},
    }
    if notice.sensor:
        record["host"] = notice.sensor
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"
